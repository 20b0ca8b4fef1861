"""What the figures show, free of any drawing library. Knows no summary either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from biasloop.report.palette import Look


@dataclass(frozen=True)
class Point:
    """One generation's figure; ``value`` is None where it is withheld or absent."""

    generation: int
    value: float | None
    low: float | None
    high: float | None
    n: int | None = None
    reason: str = ""
    withheld: bool = False


@dataclass(frozen=True)
class Series:
    """One regime over its generations: pooled over seeds, and each chain alone if several."""

    name: str
    look: Look
    points: tuple[Point, ...]
    chains: tuple[tuple[Point, ...], ...] = ()


@dataclass(frozen=True)
class Reference:
    """A level to compare with: the real articles', the base model's, or a limit."""

    name: str
    value: float
    look: Look


@dataclass(frozen=True)
class Chart:
    """One quantity over generations, a line per regime.

    Attributes
    ----------
    stem
        Name of the PNG file, without its ending.
    title, caption, unit
        For the reader; the unit is the title of the vertical axis.
    series, references
        What is drawn.
    span
        Lowest and highest value that the quantity can have; None leaves a side open.
    log
        Is the vertical axis logarithmic?
    """

    stem: str
    title: str
    caption: str
    unit: str
    series: tuple[Series, ...]
    references: tuple[Reference, ...] = ()
    span: tuple[float | None, float | None] = (None, None)
    log: bool = False

    @property
    def last(self) -> int:
        """The last generation of any series."""
        return max(point.generation for line in self.series for point in line.points)

    @property
    def floor(self) -> float:
        """The level at which withheld generations are marked; regimes stand side by side."""
        low, high = self._numbers()
        if self.log:
            return low / (high / low) ** 0.08
        return low - 0.08 * (high - low)

    @property
    def limits(self) -> tuple[float, float]:
        """The ends of the vertical axis."""
        low, high = self._numbers()
        if self.log:
            room = (high / low) ** 0.06
            return (self.floor / room if self.any_withheld else low / room), high * room
        room = 0.06 * (high - low)
        bottom = self.floor - room if self.any_withheld else low - room
        if not self.any_withheld and self.span[0] is not None and low >= self.span[0]:
            bottom = max(bottom, self.span[0] - room / 3)
        top = high + room
        if self.span[1] is not None and high <= self.span[1]:
            top = min(top, self.span[1] + room / 3)
        return bottom, top

    @property
    def any_withheld(self) -> bool:
        """Whether any generation's figure is withheld."""
        return any(point.withheld for line in self.series for point in line.points)

    def _numbers(self) -> tuple[float, float]:
        lines = [line.points for line in self.series]
        lines += [chain for line in self.series for chain in line.chains]
        found = [
            value
            for points in lines
            for point in points
            for value in (point.value, point.low, point.high)
            if value is not None
        ]
        found += [reference.value for reference in self.references]
        low, high = (min(found), max(found)) if found else (0.0, 1.0)
        if self.log:
            return (low / 1.5, high * 1.5) if low == high else (low, high)
        least = 10.0 if self.unit.endswith("%") else 0.02 * max(abs(low), abs(high), 1e-9)
        if high - low < least:
            middle = (low + high) / 2
            low, high = middle - least / 2, middle + least / 2
        return low, high


@dataclass(frozen=True)
class Place:
    """Where one generation stands in the two-axis figure; ``x`` quality, ``y`` share in %."""

    generation: int
    x: tuple[float, float | None, float | None]
    y: tuple[float, float | None, float | None]


@dataclass(frozen=True)
class Path:
    """One regime's way through the two-axis figure."""

    name: str
    look: Look
    places: tuple[Place, ...]


@dataclass(frozen=True)
class PathChart:
    """Bias against quality: one path per regime, and where real and base stand."""

    stem: str
    title: str
    caption: str
    x_title: str
    y_title: str
    paths: tuple[Path, ...]
    landmarks: tuple[Path, ...] = ()


@dataclass(frozen=True)
class CalibrationChart:
    """Accuracy against confidence on held-out articles; ``lines`` are name, look and bins."""

    stem: str
    title: str
    caption: str
    lines: tuple[tuple[str, Look, tuple[tuple[float, float, int], ...]], ...]


AnyChart = Chart | PathChart | CalibrationChart


def runs(points: Sequence[Point]) -> list[list[Point]]:
    """Split a line at the generations that have no value."""
    found: list[list[Point]] = [[]]
    for point in points:
        if point.value is None:
            found.append([])
        elif found[-1] and point.generation != found[-1][-1].generation + 1:
            found.append([point])
        else:
            found[-1].append(point)
    return [run for run in found if run]
