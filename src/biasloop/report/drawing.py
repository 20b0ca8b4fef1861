"""Figures drawn twice: for the page by plotly, as PNG by matplotlib. Both draw kinds of traces.

Equal figures give equal bytes.
"""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from biasloop.report.charts import (
    GRID,
    INK,
    MUTED,
    Axis,
    Chart,
    Drawing,
    Trace,
    drawing_of,
    escape,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Up to this generation, every one has its tick.
_EVERY_TICK = 12
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


# For the page: plotly -----------------------------------------------------------------------------

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_TALL, _SHORT = 350, 270


def plotly_figure(chart: Chart | Drawing, tall: bool = False) -> dict[str, Any]:
    """Draw a chart for the page; ``tall`` where it is one of the large figures.

    Returns
    -------
    dict
        ``data`` and ``layout`` as plotly.js takes them, checked by plotly's own schema. All text
        of the user's is escaped, so that plotly shows its markup and does not obey it.
    """
    import plotly.graph_objects as go

    drawing = drawing_of(chart) if isinstance(chart, Chart) else chart
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
        "xaxis": _plotly_axis(drawing.x),
        "yaxis": _plotly_axis(drawing.y),
    }
    data = [_plotly_trace(trace) for trace in drawing.traces]
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


def png(chart: Chart | Drawing) -> bytes:
    """Draw a chart as PNG."""
    drawing = drawing_of(chart) if isinstance(chart, Chart) else chart

    def draw(axes: Axes) -> None:
        if drawing.y.log:
            axes.set_yscale("log")
        for trace in drawing.traces:
            _matplotlib_trace(axes, trace)
        _matplotlib_axes(axes, drawing.x, drawing.y)
        if any(trace.kind == "withheld" for trace in drawing.traces):
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
