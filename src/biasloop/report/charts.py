"""What the figures show, from summaries: values, names and looks, free of any drawing library."""

from __future__ import annotations

import dataclasses
import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from biasloop import quantities
from biasloop.report import formatting as fmt
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


# What is drawn -----------------------------------------------------------------------------------

#: ``level`` a horizontal reference, ``chain`` a thin line, ``line`` and ``path`` lines with marks,
#: ``landmark`` and ``withheld`` marks alone; ``band`` lies between low and high, ``bars`` and
#: ``whisker`` reach from low to high at each point.
Kind = Literal["level", "band", "bars", "whisker", "chain", "line", "path", "landmark", "withheld"]


@dataclass(frozen=True)
class Trace:
    """One thing that is drawn.

    Attributes
    ----------
    kind, name, look
        How, and of what: traces of one name are shown and hidden together.
    x, y
        Points; a line has a gap where ``y`` is None.
    low, high
        Of bands and bars, a pair to each point; ``along`` the horizontal axis or the vertical one.
    hover
        What the page says of each point, as plotly's markup with the user's text escaped.
    labels
        Numbers beside the marks.
    """

    kind: Kind
    name: str
    look: Look
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    along: bool = False
    hover: Sequence[str] = ()
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Axis:
    """One axis; without ``limits`` all points fit in. ``last`` is set of an axis of generations."""

    title: str
    limits: tuple[float, float] | None = None
    log: bool = False
    last: int | None = None


@dataclass(frozen=True)
class Drawing:
    """What is drawn in one figure, in the order of drawing; for the rest see `Chart`."""

    stem: str
    title: str
    caption: str
    traces: Sequence[Trace]
    x: Axis
    y: Axis


def escape(text: str) -> str:
    """Escape a text for plotly, which reads ``<b>`` and ``<a href>`` as markup."""
    return html.escape(fmt.visible(text), quote=False)


# A quantity over generations ---------------------------------------------------------------------


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


def drawing_of(chart: Chart) -> Drawing:
    """Turn a chart into traces."""
    ends, count = (-0.35, chart.last + 0.35), len(chart.series)
    found = [
        Trace("level", one.name, one.look, ends, (one.value,) * 2,
              hover=(f"{escape(one.name)}: {_amount(chart, one.value)}",) * 2)
        for one in chart.references
    ]  # fmt: skip
    for index, series in enumerate(chart.series):
        found += _of_series(chart, series, (index - (count - 1) / 2) * min(0.12, 0.5 / count))
    x, y = Axis("generation", ends, last=chart.last), Axis(chart.unit, chart.limits, chart.log)
    return Drawing(chart.stem, chart.title, chart.caption, found, x, y)


def _of_series(chart: Chart, series: Series, aside: float) -> list[Trace]:
    """Bands first, then each chain, then the line; one generation alone has an error bar."""
    name, look, shown = series.name, series.look, f"<b>{escape(series.name)}</b>"
    shift = aside if chart.last == 0 else 0.0
    found = []
    for run in runs(series.points):
        x, y = [p.generation + shift for p in run], [p.value or 0.0 for p in run]
        low = [value if p.low is None else p.low for p, value in zip(run, y, strict=True)]
        high = [value if p.high is None else p.high for p, value in zip(run, y, strict=True)]
        found.append(Trace("band" if len(run) > 1 else "bars", name, look, x, y, low, high))
    for points in series.chains:
        chain = _with_gaps(points)
        x, y = [p.generation for p in chain], [p.value for p in chain]
        found.append(Trace("chain", name, look, x, y))
    line = _with_gaps(series.points)
    x, y = [p.generation + shift for p in line], [p.value for p in line]
    hover = [_hover(chart, shown, p) for p in line]
    found.append(Trace("line", name, look, x, y, hover=hover))
    held = [p for p in series.points if p.withheld]
    if held:
        hover = [
            f"{shown}, Generation {p.generation}: withheld<br>"
            + escape(p.reason).replace(" (", "<br>(", 1)
            for p in held
        ]
        x = [p.generation + aside for p in held]
        found.append(Trace("withheld", name, look, x, [chart.floor] * len(x), hover=hover))
    return found


def _with_gaps(points: Sequence[Point]) -> list[Point]:
    """Put a point without a value where generations are left out."""
    found: list[Point] = []
    for point in points:
        if found and point.generation > found[-1].generation + 1:
            found.append(Point(found[-1].generation + 1, None, None, None))
        found.append(point)
    return found


def _hover(chart: Chart, shown: str, point: Point) -> str:
    if point.value is None:
        return ""
    text = f"{shown}, Generation {point.generation}: {_amount(chart, point.value)}"
    if point.low is not None and point.high is not None:
        ends = f"{_amount(chart, point.low)} to {_amount(chart, point.high)}"
        text += f"<br>{fmt.INTERVAL} {ends}"
    return text + (f"<br>{fmt.counted(point.n, 'article')}" if point.n else "")


def _amount(chart: Chart, value: float) -> str:
    if chart.unit.endswith("%"):
        return f"{fmt.number(value, 1)} %"
    return fmt.scaled(value)


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
        series.append(Series(fmt.name(regime), look, _points(pooled, scale), several))
    if not series:
        return None
    levels = tuple(
        Reference(fmt.SETS[regime], value * scale, _REFERENCE_LOOKS[regime])
        for regime in references
        if (value := _level(rows, regime)) is not None
    )
    chart = Chart(stem, title, caption, unit, tuple(series), levels, span)
    return _logarithmic(chart)


def share_chart(
    summary: pl.DataFrame,
    leaning: str,
    looks: Mapping[str, Look],
    stem: str,
    caption: str,
    of: str = "",
    references: Sequence[str] = (REAL, BASE),
) -> Chart | None:
    """Draw the share of articles read as a leaning; ``of`` begins the title. See `line_chart`."""
    title, unit = f"{of}Articles read as “{fmt.name(leaning)}”", "share of articles, %"
    quantity, span = f"share:{leaning}", (0.0, 100.0)
    return line_chart(summary, quantity, looks, stem, title, caption, unit, 100, span, references)


def quantity_chart(
    summary: pl.DataFrame, record: quantities.Quantity, looks: Mapping[str, Look], more: str = ""
) -> Chart | None:
    """Draw a quantity that has a figure of its own; ``more`` goes on where its caption ends."""
    name = record.name
    stem = re.sub(r"\W+", "_", name) if record.family else name.partition(":")[0]
    scale, span = (100, (0.0, 100.0)) if record.percent else (1, record.bounds)
    caption = f"{record.caption}{more}"
    return line_chart(summary, name, looks, stem, record.title, caption, record.unit, scale, span)


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
            fmt.visible(row["reason"]),
            row["withheld"],
        )
        for row in rows.sort("generation").iter_rows(named=True)
    )


def _level(rows: pl.DataFrame, regime: str) -> float | None:
    own = rows.filter((pl.col("regime") == regime) & pl.col("seed").is_null())
    return own["value"][0] if own.height else None


def _times(value: float | None, scale: float) -> float | None:
    return None if value is None or not math.isfinite(value) else value * scale


# Other figures -----------------------------------------------------------------------------------


def path_chart(summary: pl.DataFrame, leaning: str, looks: Mapping[str, Look]) -> Drawing | None:
    """Draw bias against quality, a path per regime; None where no generation has both."""
    pooled = summary.filter(pl.col("seed").is_null() & pl.col("value").is_not_null())
    traces = []
    for regime, look in _REFERENCE_LOOKS.items():
        name = fmt.SETS[regime]
        for quality, share in _places(pooled, regime, leaning)[:1]:
            at = ([quality.value or 0.0], [share.value])
            hover = [_place_hover(name, "", quality, share)]
            traces.append(Trace("landmark", name, look, *at, hover=hover))
    landmarks = len(traces)
    for regime, look in looks.items():
        places, name = _places(pooled, regime, leaning), fmt.name(regime)
        if not places:
            continue
        x, y = [quality.value or 0.0 for quality, _ in places], [share.value for _, share in places]
        for figure, along in zip(places[-1], (True, False), strict=True):
            low, high = (figure.value if e is None else e for e in (figure.low, figure.high))
            ends = ([low or 0.0], [high or 0.0])
            traces.append(Trace("whisker", name, look, x[-1:], y[-1:], *ends, along))
        hover = [_place_hover(name, f", Generation {q.generation}", q, s) for q, s in places]
        first, last = places[0][0].generation, places[-1][0].generation
        labels = [str(q.generation) * (q.generation in (first, last)) for q, _ in places]
        traces.append(Trace("path", name, look, x, y, hover=hover, labels=labels))
    if len(traces) == landmarks:
        return None
    return Drawing(
        "bias_against_quality",
        "Bias against quality",
        "One path per regime; the number at a mark is the generation, the cross at a path's end "
        f"its {fmt.INTERVAL}s. To the left text quality falls, up or down the bias moves. "
        "Generations whose leaning figure is withheld are not on the path.",
        traces,
        Axis("text quality index (0 noise to 3 clean)"),
        Axis(f"share of “{fmt.name(leaning, _AXIS_NAME)}”, %"),
    )


def _places(pooled: pl.DataFrame, regime: str, leaning: str) -> list[tuple[Point, Point]]:
    """Give quality and share of every generation that has both."""
    quality, share = (
        {p.generation: p for p in _points(pooled.filter(regime=regime, quantity=name), scale)}
        for name, scale in (("quality", 1), (f"share:{leaning}", 100))
    )
    return [(quality[g], share[g]) for g in sorted(quality.keys() & share.keys())]


def _place_hover(name: str, generation: str, quality: Point, share: Point) -> str:
    figures = f"quality {fmt.number(quality.value)}, share {fmt.number(share.value, 1)} %"
    return f"<b>{escape(name)}</b>{generation}<br>{figures}"


def calibration_chart(card: Mapping[str, Any]) -> Drawing | None:
    """Draw an instrument's accuracy against its confidence on held-out articles, by its card."""
    held_out = card.get("held_out") or {}
    known = {part: (held_out.get(part) or {}).get("bins") for part in fmt.HELD_OUT}
    parts = {part: bins for part, bins in known.items() if bins}
    if not parts:
        return None
    lowest = min((bin_["confidence"] for bins in parts.values() for bin_ in bins), default=0.0)
    start = 100 * max(0.0, min(lowest, 0.5) - 0.05)
    diagonal = Look(MUTED, ("dot", ":"), ("circle", "o"))
    traces = [Trace("level", "calibrated", diagonal, (start, 100.0), (start, 100.0))]
    for part, bins in parts.items():
        x, y = ([100 * bin_[name] for bin_ in bins] for name in ("confidence", "accuracy"))
        hover = [
            f"<b>{fmt.HELD_OUT[part]}</b><br>confidence {fmt.number(confidence, 0)} %, right "
            f"{fmt.number(accuracy, 0)} % of {bin_['n']:,}"
            for confidence, accuracy, bin_ in zip(x, y, bins, strict=True)
        ]
        own = look(list(fmt.HELD_OUT).index(part))
        traces.append(Trace("line", fmt.HELD_OUT[part], own, x, y, hover=hover))
    return Drawing(
        f"calibration_{fmt.file_stem(card['metric'])}",
        f"Calibration: {fmt.name(card['metric'])}",
        "Accuracy against confidence on held-out text; on the diagonal a confidence of "
        "80\u202f% is right 80\u202f% of the time.",
        traces,
        Axis("confidence, %", (start, 103.0)),
        Axis("right, %", (-3.0, 103.0)),
    )
