"""What the figures show, from summaries: values, names and looks, free of any drawing library."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from biasloop.report import words
from biasloop.tables import BASE, REAL

# Looks: the same in the page and in the PNG figures. The colours are those of Okabe and Ito (2008,
# "Color Universal Design"), which people with any common colour blindness can tell apart; dashes
# and marks differ too, for print without colour.

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: Plotly's and matplotlib's names.
_DASHES: tuple[tuple[str, Any], ...] = (
    ("solid", "-"),
    ("dash", "--"),
    ("dashdot", "-."),
    ("longdash", (0, (9, 2))),
)
_MARKS = (
    ("circle", "o"),
    ("square", "s"),
    ("diamond", "D"),
    ("triangle-up", "^"),
    ("triangle-down", "v"),
    ("pentagon", "p"),
)

INK = "#1d2733"
MUTED = "#5b6775"
GRID = "#e3e7ec"


@dataclass(frozen=True)
class Look:
    """How one line is drawn.

    Attributes
    ----------
    colour
        ``#rrggbb``.
    dash, mark
        Each as plotly and as matplotlib call it.
    """

    colour: str
    dash: tuple[str, Any]
    mark: tuple[str, str]


REAL_LOOK = Look(INK, ("dash", "--"), ("star", "*"))
BASE_LOOK = Look("#7a7f87", ("dot", ":"), ("x", "X"))


def look(index: int) -> Look:
    """Give the look of the index-th line; 24 lines differ in colour or dash."""
    colour = index % len(_COLOURS)
    dash = (index + index // len(_COLOURS)) % len(_DASHES)
    return Look(_COLOURS[colour], _DASHES[dash], _MARKS[index % len(_MARKS)])


# Charts -------------------------------------------------------------------------------------------


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
class RegimePath:
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
    paths: tuple[RegimePath, ...]
    landmarks: tuple[RegimePath, ...] = ()


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


# From summaries -----------------------------------------------------------------------------------


def line_chart(
    summary: pl.DataFrame,
    quantity: str,
    looks: Mapping[str, Look],
    stem: str,
    title: str,
    caption: str,
    unit: str,
    scale: float = 1.0,
    span: tuple[float | None, float | None] = (None, None),
    references: Sequence[str] = (REAL, BASE),
) -> Chart | None:
    """Draw one quantity over generations.

    Parameters
    ----------
    summary
        What `analysis.summarise` returned.
    quantity
        Which of its quantities.
    looks
        Regime -> look, in the order to draw.
    stem, title, caption, unit, span
        See `Chart`.
    scale
        Multiplies every value (100 for shares in %).
    references
        Which of ``real`` and ``base`` to draw as levels.

    Returns
    -------
    Chart or None
        None where no regime has a row of it, so that no figure is empty.
    """
    rows = summary.filter(pl.col("quantity") == quantity)
    series = []
    for regime, look in looks.items():
        own = rows.filter((pl.col("regime") == regime) & (pl.col("generation") >= 0))
        pooled = own.filter(pl.col("seed").is_null())
        if not pooled.height:
            continue
        found = own["seed"].drop_nulls().unique().sort().to_list()
        chains = tuple(_points(own.filter(pl.col("seed") == seed), scale) for seed in found)
        several = chains if len(chains) > 1 else ()
        series.append(Series(words.name(regime), look, _points(pooled, scale), several))
    if not series:
        return None
    levels = tuple(
        Reference(_REFERENCE_NAMES[regime], value * scale, _REFERENCE_LOOKS[regime])
        for regime in references
        if (value := _level(rows, regime)) is not None
    )
    chart = Chart(stem, title, caption, unit, tuple(series), levels, span)
    return _logarithmic(chart)


_REFERENCE_NAMES = {REAL: "real articles", BASE: "base model"}
_REFERENCE_LOOKS = {REAL: REAL_LOOK, BASE: BASE_LOOK}
#: A leaning's name on an axis is no longer than this.
_AXIS_NAME = 20
#: Values that span more than this factor are drawn on a logarithmic axis, where none is a share.
_LOG_FACTOR = 20


def _logarithmic(chart: Chart) -> Chart:
    if chart.span != (None, None):
        return chart
    values = [p.value for s in chart.series for p in s.points if p.value is not None]
    lows = [p.low for s in chart.series for p in s.points if p.low is not None]
    if not values or min(values + lows) <= 0 or max(values) / min(values) < _LOG_FACTOR:
        return chart
    return dataclasses.replace(chart, log=True)


def _points(rows: pl.DataFrame, scale: float) -> tuple[Point, ...]:
    return tuple(
        Point(
            row["generation"],
            _times(row["value"], scale),
            _times(row["low"], scale),
            _times(row["high"], scale),
            row["n"],
            words.visible(row["reason"]),
            row["withheld"],
        )
        for row in rows.sort("generation").iter_rows(named=True)
    )


def _level(rows: pl.DataFrame, regime: str) -> float | None:
    own = rows.filter((pl.col("regime") == regime) & pl.col("seed").is_null())
    return own["value"][0] if own.height else None


def _times(value: float | None, scale: float) -> float | None:
    return None if value is None or not math.isfinite(value) else value * scale


def path_chart(summary: pl.DataFrame, leaning: str, looks: Mapping[str, Look]) -> PathChart | None:
    """Draw bias against quality; None where no generation has both."""
    pooled = summary.filter(pl.col("seed").is_null())
    paths = [
        RegimePath(words.name(regime), look, places)
        for regime, look in looks.items()
        if (places := _places(pooled, regime, leaning))
    ]
    if not paths:
        return None
    landmarks = tuple(
        RegimePath(_REFERENCE_NAMES[regime], _REFERENCE_LOOKS[regime], places)
        for regime in (REAL, BASE)
        if (places := _places(pooled, regime, leaning))
    )
    shown = words.name(leaning, _AXIS_NAME)
    return PathChart(
        "bias_against_quality",
        "Bias against quality",
        "One path per regime; the number at a mark is the generation, the cross at a path's end "
        f"its {words.INTERVAL}s. To the left text quality falls, up or down the bias moves. "
        "Generations whose leaning figure is withheld are not on the path.",
        "text quality index (0 noise to 3 clean)",
        f"share of “{shown}”, %",
        tuple(paths),
        landmarks,
    )


def _places(pooled: pl.DataFrame, regime: str, leaning: str) -> tuple[Place, ...]:
    own = pooled.filter((pl.col("regime") == regime) & pl.col("value").is_not_null())
    share = {p.generation: p for p in _points(_only(own, f"share:{leaning}"), 100)}
    quality = {p.generation: p for p in _points(_only(own, "quality"), 1)}
    return tuple(
        Place(
            generation,
            (quality[generation].value or 0.0, quality[generation].low, quality[generation].high),
            (share[generation].value or 0.0, share[generation].low, share[generation].high),
        )
        for generation in sorted(set(share) & set(quality))
    )


def _only(rows: pl.DataFrame, quantity: str) -> pl.DataFrame:
    return rows.filter(pl.col("quantity") == quantity)
