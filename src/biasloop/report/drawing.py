"""Charts drawn twice from one list of traces: as plotly figures for the page, as PNG files.

Each kind of chart becomes traces and two axes here, in one place; plotly and matplotlib then draw
kinds of traces and know no chart. Equal charts give equal bytes.
"""

from __future__ import annotations

import html
import io
import json
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from biasloop.report import words
from biasloop.report.charts import (
    GRID,
    INK,
    MUTED,
    AnyChart,
    CalibrationChart,
    Chart,
    Look,
    PathChart,
    Point,
    Series,
    runs,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Up to this generation, every one has its tick.
_EVERY_TICK = 12

#: ``level`` a horizontal reference, ``chain`` a thin line, ``line`` and ``path`` lines with marks,
#: ``landmark`` and ``withheld`` marks alone; ``band`` lies between low and high, ``bars`` and
#: ``whisker`` reach from low to high at each point.
Kind = Literal["level", "band", "bars", "whisker", "chain", "line", "path", "landmark", "withheld"]
#: Kinds that join their points.
_LINES = ("level", "chain", "line", "path")
#: Kind -> width of the line and size of the marks on the page, and the same in a PNG.
_SIZES = {
    "level": (1.6, 0, 1.3, 0),
    "bars": (1.4, 1, 1.4, 0),
    "whisker": (1.3, 1, 1.2, 0),
    "chain": (1.0, 0, 0.8, 0),
    "line": (2.2, 7, 1.8, 5),
    "path": (2.0, 8, 1.8, 5),
    "landmark": (0, 13, 0, 11),
    "withheld": (0, 9, 0, 6),
}


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


# From charts to traces ----------------------------------------------------------------------------


def traces(chart: AnyChart) -> tuple[list[Trace], Axis, Axis]:
    """Say what a chart draws, in the order of drawing, and on which axes."""
    if isinstance(chart, Chart):
        return _of_lines(chart)
    return _of_paths(chart) if isinstance(chart, PathChart) else _of_calibration(chart)


def escape(text: str) -> str:
    """Escape a text for plotly, which reads ``<b>`` and ``<a href>`` as markup."""
    return html.escape(words.visible(text), quote=False)


def _of_lines(chart: Chart) -> tuple[list[Trace], Axis, Axis]:
    ends, count = (-0.35, chart.last + 0.35), len(chart.series)
    found = [
        Trace("level", one.name, one.look, ends, (one.value,) * 2,
              hover=(f"{escape(one.name)}: {_amount(chart, one.value)}",) * 2)
        for one in chart.references
    ]  # fmt: skip
    for index, series in enumerate(chart.series):
        found += _of_series(chart, series, (index - (count - 1) / 2) * min(0.12, 0.5 / count))
    x, y = Axis("generation", ends, last=chart.last), Axis(chart.unit, chart.limits, chart.log)
    return found, x, y


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
        text += f"<br>{words.INTERVAL} {ends}"
    return text + (f"<br>{words.counted(point.n, 'article')}" if point.n else "")


def _amount(chart: Chart, value: float) -> str:
    if chart.unit.endswith("%"):
        return f"{words.number(value, 1)} %"
    return words.scaled(value)


def _of_paths(chart: PathChart) -> tuple[list[Trace], Axis, Axis]:
    found = []
    for mark in chart.landmarks:
        (x, *_), (y, *_) = mark.places[0].x, mark.places[0].y
        hover = [_place_hover(escape(mark.name), "", x, y)]
        found.append(Trace("landmark", mark.name, mark.look, [x], [y], hover=hover))
    for path in chart.paths:
        name, look, places, last = path.name, path.look, path.places, path.places[-1]
        x, y = [place.x[0] for place in places], [place.y[0] for place in places]
        for figure, along in ((last.x, True), (last.y, False)):
            low, high = (figure[0] if end is None else end for end in figure[1:])
            found.append(Trace("whisker", name, look, x[-1:], y[-1:], [low], [high], along))
        hover = [
            _place_hover(escape(name), f", Generation {place.generation}", place.x[0], place.y[0])
            for place in places
        ]
        ends = {places[0].generation, last.generation}
        labels = [str(p.generation) if p.generation in ends else "" for p in places]
        found.append(Trace("path", name, look, x, y, hover=hover, labels=labels))
    return found, Axis(chart.x_title), Axis(chart.y_title)


def _place_hover(name: str, generation: str, quality: float, share: float) -> str:
    figures = f"quality {words.number(quality)}, share {words.number(share, 1)} %"
    return f"<b>{name}</b>{generation}<br>{figures}"


def _of_calibration(chart: CalibrationChart) -> tuple[list[Trace], Axis, Axis]:
    lowest = min((bin_[0] for _, _, bins in chart.lines for bin_ in bins), default=0.0)
    start = 100 * max(0.0, min(lowest, 0.5) - 0.05)
    diagonal = Look(MUTED, ("dot", ":"), ("circle", "o"))
    found = [Trace("level", "calibrated", diagonal, (start, 100.0), (start, 100.0))]
    for name, look, bins in chart.lines:
        x, y = [100 * bin_[0] for bin_ in bins], [100 * bin_[1] for bin_ in bins]
        hover = [
            f"<b>{escape(name)}</b><br>confidence {words.number(100 * c, 0)} %, right "
            f"{words.number(100 * a, 0)} % of {n:,}"
            for c, a, n in bins
        ]
        found.append(Trace("line", name, look, x, y, hover=hover))
    return found, Axis("confidence, %", (start, 103.0)), Axis("right, %", (-3.0, 103.0))


# For the page: plotly -----------------------------------------------------------------------------

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_TALL, _SHORT = 350, 270


def plotly_figure(chart: AnyChart, tall: bool = False) -> dict[str, Any]:
    """Draw a chart for the page; ``tall`` where it is one of the large figures.

    Returns
    -------
    dict
        ``data`` and ``layout`` as plotly.js takes them, checked by plotly's own schema. All text
        of the user's is escaped, so that plotly shows its markup and does not obey it.
    """
    import plotly.graph_objects as go

    found, x, y = traces(chart)
    layout = {
        "template": "none",
        "height": _TALL if tall else _SHORT,
        "autosize": True,
        "showlegend": False,
        "margin": {"l": 52, "r": 14, "t": 12, "b": 46},
        "font": {"family": _FONT, "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": MUTED, "font": {"color": INK}},
        "xaxis": _plotly_axis(x),
        "yaxis": _plotly_axis(y),
    }
    data = [_plotly_trace(trace) for trace in found]
    drawn = go.Figure({"data": data, "layout": layout}, skip_invalid=False)
    return json.loads(drawn.to_json(validate=True))


def _plotly_axis(axis: Axis) -> dict[str, Any]:
    found = {
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": MUTED,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": MUTED,
        "automargin": True,
        "fixedrange": False,
        "title": {"text": escape(axis.title), "standoff": 8},
    }
    if axis.limits:
        found["range"] = [math.log10(end) if axis.log else end for end in axis.limits]
    if axis.log:
        found |= {"type": "log", "dtick": "D2"}
    if axis.last is not None:
        every = axis.last <= _EVERY_TICK
        found |= {"dtick": 1, "tick0": 0} if every else {"tickformat": "d"}
    return found


def _plotly_trace(trace: Trace) -> dict[str, Any]:
    kind, colour, name = trace.kind, trace.look.colour, escape(trace.name)
    x, y = list(trace.x), list(trace.y)
    found: dict[str, Any] = {"type": "scatter", "name": name, "legendgroup": name, "x": x, "y": y}
    found |= {"hoverinfo": "text" if trace.hover else "skip"}
    if trace.hover:
        found["hovertext"] = list(trace.hover)
    if kind == "band":
        around = {"x": x + x[::-1], "y": [*trace.high, *reversed(trace.low)], "mode": "lines"}
        fill = {"fill": "toself", "fillcolor": _transparent(colour, 0.14), "line": {"width": 0}}
        return found | around | fill
    width, size, *_ = _SIZES[kind]
    found["mode"] = "+".join(["lines"] * (kind in _LINES) + ["markers"] * (size > 0))
    if kind in _LINES:
        dash = "solid" if kind in ("chain", "path") else trace.look.dash[0]
        shade = _transparent(colour, 0.35) if kind == "chain" else colour
        found |= {"line": {"color": shade, "width": width, "dash": dash}, "connectgaps": False}
    if size:
        symbol = "x-thin-open" if kind == "withheld" else trace.look.mark[0]
        edge = {"line": {"width": 2, "color": colour}} if kind == "withheld" else {}
        found["marker"] = {"color": colour, "size": size, "symbol": symbol, **edge}
    if trace.low:
        middle = x if trace.along else y
        found["error_x" if trace.along else "error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [abs(h - (m or 0)) for h, m in zip(trace.high, middle, strict=True)],
            "arrayminus": [abs((m or 0) - low) for low, m in zip(trace.low, middle, strict=True)],
            "color": _transparent(colour, 0.55) if kind == "whisker" else colour,
            "thickness": width,
            "width": 3 if kind == "whisker" else 4,
        }
    if trace.labels:
        found["mode"] += "+text"
        font = {"color": colour, "size": 13}
        found |= {"text": list(trace.labels), "textposition": "top right", "textfont": font}
        found["cliponaxis"] = False
    return found


def _transparent(colour: str, opacity: float) -> str:
    """Turn ``#rrggbb`` into CSS ``rgba(...)``."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


# As PNG: matplotlib -------------------------------------------------------------------------------

_SIZE = (7.2, 4.6)
_DPI = 150


def png(chart: AnyChart) -> bytes:
    """Draw a chart as PNG."""
    found, x, y = traces(chart)

    def draw(axes: Axes) -> None:
        if y.log:
            axes.set_yscale("log")
        for trace in found:
            _matplotlib_trace(axes, trace)
        _matplotlib_axes(axes, x, y)
        if any(trace.kind == "withheld" for trace in found):
            axes.plot([], [], linestyle="", marker="x", color=MUTED, label="withheld")

    return picture(chart.title, draw)


def _matplotlib_trace(axes: Axes, trace: Trace) -> None:
    kind, colour = trace.kind, trace.look.colour
    if kind == "band":
        axes.fill_between(trace.x, trace.low, trace.high, color=colour, alpha=0.14, linewidth=0)
        return
    *_, width, size = _SIZES[kind]
    y = [math.nan if value is None else value for value in trace.y]
    if trace.low:
        bars: dict[str, Any] = {"color": colour, "linewidth": width}
        bars |= {"alpha": 0.55} if kind == "whisker" else {}
        if trace.along:
            axes.hlines(y, trace.low, trace.high, **bars)
        else:
            axes.vlines(trace.x, trace.low, trace.high, **bars)
        return
    style: dict[str, Any] = {"color": colour, "linewidth": width or None, "linestyle": ""}
    if kind in _LINES:
        style["linestyle"] = "-" if kind in ("chain", "path") else trace.look.dash[1]
    if kind == "chain":
        style["alpha"] = 0.35
    if size:
        style |= {"marker": "x" if kind == "withheld" else trace.look.mark[1], "markersize": size}
    if kind not in ("chain", "withheld"):
        style["label"] = _plain(trace.name)
    axes.plot(trace.x, y, **style)
    for text, *at in zip(trace.labels, trace.x, y, strict=False):
        if text:
            axes.annotate(
                text, (at[0], at[1]), (5, 5), textcoords="offset points", color=colour, fontsize=10
            )


def _matplotlib_axes(axes: Axes, x: Axis, y: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(_plain(x.title))
    axes.set_ylabel(_plain(y.title))
    if x.limits and y.limits:
        axes.set_xlim(*x.limits)
        axes.set_ylim(*y.limits)
    else:
        axes.margins(0.1)
    if x.last is not None and x.last <= _EVERY_TICK:
        axes.set_xticks(range(x.last + 1))
    elif x.last is not None:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def picture(title: str, draw: Callable[[Axes], None]) -> bytes:
    """Draw into a frame, 1080 by 690 pixels, without time stamp or version in it."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context({"text.usetex": False, "font.family": ["DejaVu Sans"]}):
        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
        figure = Figure(figsize=_SIZE, dpi=_DPI, layout=layout)
        axes = figure.subplots()
        draw(axes)
        axes.set_title(_plain(title), fontsize=11, color=INK, loc="left")
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        handles, names = axes.get_legend_handles_labels()
        once = dict(zip(names, handles, strict=True))
        figure.legend(
            once.values(),
            once.keys(),
            loc="outside lower center",
            ncols=min(4, len(once)),
            frameon=False,
            fontsize=8,
        )
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            # A label in a script that the font lacks is drawn as boxes; the page shows it right.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            # Not `savefig`, which draws everything twice.
            FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _plain(text: str) -> str:
    """Keep matplotlib from reading ``$`` as mathematics."""
    return text.replace("$", r"\$")
