"""Charts as plotly figures: JSON for the page's own script. Knows charts, not summaries."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from typing import Any

from biasloop.report import words
from biasloop.report.charts import (
    AnyChart,
    CalibrationChart,
    Chart,
    Path,
    PathChart,
    Point,
    Series,
    runs,
)
from biasloop.report.palette import GRID, INK, MUTED, transparent

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_TALL, _SHORT = 350, 270


def plotly_figure(chart: AnyChart, tall: bool = False) -> dict[str, Any]:
    """Draw a chart.

    Parameters
    ----------
    chart
        Any chart.
    tall
        Is it one of the large figures?

    Returns
    -------
    dict
        ``data`` and ``layout`` as plotly.js takes them, checked by plotly's own schema. All text
        of the user's is escaped, so that plotly shows its markup and does not obey it.
    """
    import plotly.graph_objects as go

    if isinstance(chart, Chart):
        data, layout = _lines(chart)
    elif isinstance(chart, PathChart):
        data, layout = _paths(chart)
    else:
        data, layout = _calibration(chart)
    layout = _base_layout(_TALL if tall else _SHORT) | layout
    drawn = go.Figure({"data": data, "layout": layout}, skip_invalid=False)
    return json.loads(drawn.to_json(validate=True))


def escape(text: str) -> str:
    """Escape a text for plotly, which reads ``<b>`` and ``<a href>`` as markup."""
    return html.escape(words.visible(text), quote=False)


def _base_layout(height: int) -> dict[str, Any]:
    axis = {
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": MUTED,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": MUTED,
        "automargin": True,
        "fixedrange": False,
    }
    return {
        "template": "none",
        "height": height,
        "autosize": True,
        "showlegend": False,
        "margin": {"l": 52, "r": 14, "t": 12, "b": 46},
        "font": {"family": _FONT, "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": MUTED, "font": {"color": INK}},
        "xaxis": dict(axis),
        "yaxis": dict(axis),
    }


def _axis(layout: Mapping[str, Any], key: str, title: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return layout[key] | {"title": {"text": title, "standoff": 8}} | more


def _lines(chart: Chart) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    data: list[dict[str, Any]] = []
    ends = [-0.35, chart.last + 0.35]
    for reference in chart.references:
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": ends,
                "y": [reference.value] * 2,
                "name": escape(reference.name),
                "legendgroup": escape(reference.name),
                "line": {
                    "color": reference.look.colour,
                    "width": 1.6,
                    "dash": reference.look.dash[0],
                },
                "hoverinfo": "text",
                "hovertext": f"{escape(reference.name)}: {_amount(chart, reference.value)}",
            }
        )
    count = len(chart.series)
    for index, series in enumerate(chart.series):
        data += _series(chart, series, (index - (count - 1) / 2) * min(0.12, 0.5 / count))
    base = _base_layout(0)
    layout: dict[str, Any] = {
        "xaxis": _axis(
            base,
            "xaxis",
            "generation",
            range=ends,
            **({"dtick": 1, "tick0": 0} if chart.last <= 12 else {"tickformat": "d"}),
        ),
        "yaxis": _axis(base, "yaxis", escape(chart.unit), range=_range(chart)),
    }
    if chart.log:
        layout["yaxis"] |= {"type": "log", "dtick": "D2"}
    return data, layout


def _range(chart: Chart) -> list[float]:
    low, high = chart.limits
    return [math.log10(low), math.log10(high)] if chart.log else [low, high]


def _series(chart: Chart, series: Series, aside: float) -> list[dict[str, Any]]:
    """Bands first, then each chain, then the line; one generation alone has an error bar."""
    look, shown = series.look, escape(series.name)
    parts = runs(series.points)
    lonely = {run[0].generation for run in parts if len(run) == 1}
    common: dict[str, Any] = {"type": "scatter", "name": shown, "legendgroup": shown}
    data: list[dict[str, Any]] = [
        common
        | {
            "x": [p.generation for p in run] + [p.generation for p in reversed(run)],
            "y": [_or(p.high, p.value) for p in run] + [_or(p.low, p.value) for p in reversed(run)],
            "mode": "lines",
            "line": {"width": 0},
            "fill": "toself",
            "fillcolor": transparent(look.colour, 0.14),
            "hoverinfo": "skip",
        }
        for run in parts
        if len(run) > 1
    ]
    data += [
        common
        | {
            "x": [p.generation for p in chain],
            "y": [p.value for p in chain],
            "mode": "lines",
            "line": {"color": transparent(look.colour, 0.35), "width": 1},
            "hoverinfo": "skip",
        }
        for chain in series.chains
    ]
    points = series.points
    single = chart.last == 0
    data.append(
        common
        | {
            "x": [p.generation + (aside if single else 0) for p in points],
            "y": [p.value for p in points],
            "mode": "lines+markers",
            "line": {"color": look.colour, "width": 2.2, "dash": look.dash[0]},
            "marker": {"color": look.colour, "size": 7, "symbol": look.mark[0]},
            "connectgaps": False,
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": [_bar(p, p.high, p.generation in lonely) for p in points],
                "arrayminus": [_bar(p, p.low, p.generation in lonely) for p in points],
                "color": look.colour,
                "thickness": 1.4,
                "width": 4,
            },
            "hoverinfo": "text",
            "hovertext": [_hover(chart, shown, p) for p in points],
        }
    )
    held = [p for p in points if p.withheld]
    if held:
        data.append(
            common
            | {
                "x": [p.generation + aside for p in held],
                "y": [chart.floor] * len(held),
                "mode": "markers",
                "marker": {"color": look.colour, "size": 9, "symbol": "x-thin-open"}
                | {"line": {"width": 2, "color": look.colour}},
                "hoverinfo": "text",
                "hovertext": [_held_hover(shown, p) for p in held],
            }
        )
    return data


def _held_hover(shown: str, point: Point) -> str:
    reason = escape(point.reason).replace(" (", "<br>(", 1)
    return f"<b>{shown}</b>, Generation {point.generation}: withheld<br>{reason}"


def _or(value: float | None, other: float | None) -> float | None:
    return other if value is None else value


def _bar(point: Point, end: float | None, drawn: bool) -> float:
    if not drawn or end is None or point.value is None:
        return 0.0
    return abs(end - point.value)


def _hover(chart: Chart, shown: str, point: Point) -> str:
    if point.value is None:
        return ""
    text = f"<b>{shown}</b>, Generation {point.generation}: {_amount(chart, point.value)}"
    if point.low is not None and point.high is not None:
        ends = f"{_amount(chart, point.low)} to {_amount(chart, point.high)}"
        text += f"<br>{words.INTERVAL} {ends}"
    return text + (f"<br>{words.counted(point.n, 'article')}" if point.n else "")


def _amount(chart: Chart, value: float) -> str:
    if chart.unit.endswith("%"):
        return f"{words.number(value, 1)} %"
    return words.scaled(value)


def _paths(chart: PathChart) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    data: list[dict[str, Any]] = []
    for mark in chart.landmarks:
        data.append(_landmark(mark))
    for path in chart.paths:
        data += _path(path)
    base = _base_layout(0)
    layout = {
        "xaxis": _axis(base, "xaxis", escape(chart.x_title)),
        "yaxis": _axis(base, "yaxis", escape(chart.y_title)),
    }
    return data, layout


def _landmark(path: Path) -> dict[str, Any]:
    place = path.places[0]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [place.x[0]],
        "y": [place.y[0]],
        "name": escape(path.name),
        "legendgroup": escape(path.name),
        "marker": {"color": path.look.colour, "size": 13, "symbol": path.look.mark[0]},
        "hoverinfo": "text",
        "hovertext": f"<b>{escape(path.name)}</b>"
        f"<br>quality {words.number(place.x[0])}, share {words.number(place.y[0], 1)} %",
    }


def _path(path: Path) -> list[dict[str, Any]]:
    shown, places, last = escape(path.name), path.places, path.places[-1]
    common: dict[str, Any] = {"type": "scatter", "name": shown, "legendgroup": shown}
    numbered = {places[0].generation, last.generation}
    return [
        common
        | {
            "x": [last.x[0]],
            "y": [last.y[0]],
            "mode": "markers",
            "marker": {"color": path.look.colour, "size": 1},
            "error_x": _whisker(last.x, path.look.colour),
            "error_y": _whisker(last.y, path.look.colour),
            "hoverinfo": "skip",
        },
        common
        | {
            "x": [place.x[0] for place in places],
            "y": [place.y[0] for place in places],
            "mode": "lines+markers+text",
            "line": {"color": path.look.colour, "width": 2},
            "marker": {"color": path.look.colour, "size": 8, "symbol": path.look.mark[0]},
            "text": [
                str(place.generation) if place.generation in numbered else "" for place in places
            ],
            "textposition": "top right",
            "textfont": {"color": path.look.colour, "size": 13},
            "cliponaxis": False,
            "hoverinfo": "text",
            "hovertext": [
                f"<b>{shown}</b>, Generation {place.generation}<br>quality "
                f"{words.number(place.x[0])}, share {words.number(place.y[0], 1)} %"
                for place in places
            ],
        },
    ]


def _whisker(figure: tuple[float, float | None, float | None], colour: str) -> dict[str, Any]:
    value, low, high = figure
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if high is None else max(0.0, high - value)],
        "arrayminus": [0.0 if low is None else max(0.0, value - low)],
        "color": transparent(colour, 0.55),
        "thickness": 1.3,
        "width": 3,
    }


def _calibration(chart: CalibrationChart) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    lowest = min((bin_[0] for _, _, bins in chart.lines for bin_ in bins), default=0.0)
    start = 100 * max(0.0, min(lowest, 0.5) - 0.05)
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [start, 100],
            "y": [start, 100],
            "line": {"color": MUTED, "width": 1.2, "dash": "dot"},
            "hoverinfo": "skip",
            "name": "calibrated",
            "legendgroup": "calibrated",
        }
    ]
    for shown, look, bins in chart.lines:
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [100 * confidence for confidence, _, _ in bins],
                "y": [100 * accuracy for _, accuracy, _ in bins],
                "name": escape(shown),
                "legendgroup": escape(shown),
                "line": {"color": look.colour, "width": 2, "dash": look.dash[0]},
                "marker": {"color": look.colour, "size": 7, "symbol": look.mark[0]},
                "hoverinfo": "text",
                "hovertext": [
                    f"<b>{escape(shown)}</b><br>confidence {words.number(100 * c, 0)} %, right "
                    f"{words.number(100 * a, 0)} % of {n:,}"
                    for c, a, n in bins
                ],
            }
        )
    base = _base_layout(0)
    layout = {
        "xaxis": _axis(base, "xaxis", "confidence, %", range=[start, 103]),
        "yaxis": _axis(base, "yaxis", "right, %", range=[-3, 103]),
    }
    return data, layout
