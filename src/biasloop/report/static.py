"""Charts as PNG bytes, by matplotlib. The same colours as the page; equal charts, equal bytes."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from biasloop.report.charts import (
    AnyChart,
    CalibrationChart,
    Chart,
    Path,
    PathChart,
    Series,
    runs,
)
from biasloop.report.palette import GRID, INK, MUTED, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (7.2, 4.6)
_DPI = 150
#: Up to this generation, every one has its tick.
_EVERY_TICK = 12


def png(chart: AnyChart) -> bytes:
    """Draw a chart."""

    def draw(axes: Axes) -> None:
        if isinstance(chart, Chart):
            _lines(axes, chart)
        elif isinstance(chart, PathChart):
            _paths(axes, chart)
        else:
            _calibration(axes, chart)

    return picture(chart.title, draw)


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
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
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


def _lines(axes: Axes, chart: Chart) -> None:
    from matplotlib.ticker import MaxNLocator

    if chart.log:
        axes.set_yscale("log")
    for level in chart.references:
        axes.axhline(
            level.value,
            color=level.look.colour,
            linestyle=level.look.dash[1],
            linewidth=1.3,
            label=_plain(level.name),
        )
    count = len(chart.series)
    for index, series in enumerate(chart.series):
        _series(axes, chart, series, (index - (count - 1) / 2) * min(0.12, 0.5 / count))
    axes.set_xlim(-0.35, chart.last + 0.35)
    axes.set_ylim(*chart.limits)
    axes.set_xlabel("generation")
    axes.set_ylabel(_plain(chart.unit))
    if chart.last <= _EVERY_TICK:
        axes.set_xticks(range(chart.last + 1))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if chart.any_withheld:
        axes.plot([], [], linestyle="", marker="x", color=MUTED, label="withheld")


def _series(axes: Axes, chart: Chart, series: Series, aside: float) -> None:
    look = series.look
    parts = runs(series.points)
    for run in parts:
        x = [p.generation + (aside if chart.last == 0 else 0) for p in run]
        y = [_number(p.value) for p in run]
        low = [_number(p.low, p.value) for p in run]
        high = [_number(p.high, p.value) for p in run]
        if len(run) > 1:
            axes.fill_between(x, low, high, color=look.colour, alpha=0.14, linewidth=0)
        else:
            axes.vlines(x, low, high, color=look.colour, linewidth=1.4)
        _line(axes, x, y, look, series.name)
    if not parts:
        axes.plot([], [], **_style(look), label=_plain(series.name))
    for chain in series.chains:
        for run in runs(chain):
            axes.plot(
                [p.generation for p in run],
                [_number(p.value) for p in run],
                color=look.colour,
                alpha=0.35,
                linewidth=0.8,
            )
    held = [p.generation + aside for p in series.points if p.withheld]
    axes.plot(held, [chart.floor] * len(held), linestyle="", marker="x", color=look.colour)


def _number(*values: float | None) -> float:
    """Take the first that there is; a run of points has no hole."""
    return next((value for value in values if value is not None), math.nan)


def _line(axes: Axes, x: list[float], y: list[float], look: Look, name: str) -> None:
    axes.plot(x, y, **_style(look), label=_plain(name))


def _style(look: Look) -> dict[str, Any]:
    return {
        "color": look.colour,
        "linestyle": look.dash[1],
        "marker": look.mark[1],
        "markersize": 5,
        "linewidth": 1.8,
    }


def _paths(axes: Axes, chart: PathChart) -> None:
    for mark in chart.landmarks:
        place = mark.places[0]
        axes.plot(
            [place.x[0]],
            [place.y[0]],
            linestyle="",
            marker=mark.look.mark[1],
            markersize=11,
            color=mark.look.colour,
            label=_plain(mark.name),
        )
    for path in chart.paths:
        _path(axes, path)
    axes.margins(0.1)
    axes.set_xlabel(_plain(chart.x_title))
    axes.set_ylabel(_plain(chart.y_title))


def _path(axes: Axes, path: Path) -> None:
    colour, places, last = path.look.colour, path.places, path.places[-1]
    for figure, along in ((last.x, True), (last.y, False)):
        value, low, high = figure
        low, high = value if low is None else low, value if high is None else high
        if along:
            axes.hlines(last.y[0], low, high, color=colour, alpha=0.55, linewidth=1.2)
        else:
            axes.vlines(last.x[0], low, high, color=colour, alpha=0.55, linewidth=1.2)
    solid: dict[str, Any] = {**_style(path.look), "linestyle": "-"}
    axes.plot([p.x[0] for p in places], [p.y[0] for p in places], **solid, label=_plain(path.name))
    for place in {places[0].generation: places[0], last.generation: last}.values():
        axes.annotate(
            str(place.generation),
            (place.x[0], place.y[0]),
            xytext=(5, 5),
            textcoords="offset points",
            color=colour,
            fontsize=10,
        )


def _calibration(axes: Axes, chart: CalibrationChart) -> None:
    lowest = min((bin_[0] for _, _, bins in chart.lines for bin_ in bins), default=0.0)
    start = 100 * max(0.0, min(lowest, 0.5) - 0.05)
    axes.plot([start, 100], [start, 100], color=MUTED, linestyle=":", linewidth=1.2,
              label="calibrated")  # fmt: skip
    for name, look, bins in chart.lines:
        _line(axes, [100 * c for c, _, _ in bins], [100 * a for _, a, _ in bins], look, name)
    axes.set_xlim(start, 103)
    axes.set_ylim(-3, 103)
    axes.set_xlabel("confidence, %")
    axes.set_ylabel("right, %")
