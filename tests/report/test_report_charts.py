from __future__ import annotations

import json
import struct

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_made_up import MARKER

from biasloop.analysis import summarise
from biasloop.analysis.summary import SUMMARY
from biasloop.report.charts import (
    REAL_LOOK,
    Chart,
    Point,
    Reference,
    Series,
    line_chart,
    look,
    path_chart,
    runs,
)
from biasloop.report.drawing import plotly_figure, png
from biasloop.report.figures import figures

VALUES = st.none() | st.floats(0, 100)


@st.composite
def charts(draw: st.DrawFn) -> Chart:
    count = draw(st.integers(1, 4))
    lines = []
    for index in range(count):
        points = []
        for generation in range(draw(st.integers(1, 5))):
            value = draw(VALUES)
            ends = (None, None) if value is None else (value - draw(st.floats(0, 9)), value + 3)
            points.append(Point(generation, value, *ends, n=5, withheld=value is None))
        lines.append(Series(f"line {index}", look(index), tuple(points)))
    return Chart("x", "X", "", draw(st.sampled_from(["%", "words"])), tuple(lines), (), (0.0, None))


@given(charts())
def test_limits_hold_everything_that_is_drawn(chart: Chart) -> None:
    low, high = chart.limits
    assert low < high
    for line in chart.series:
        for point in line.points:
            for value in (point.value, point.low, point.high):
                assert value is None or low <= value <= high
    if chart.any_withheld:
        assert low < chart.floor


@given(charts())
def test_plotly_draws_each_value_and_marks_each_withheld_one(chart: Chart) -> None:
    figure = plotly_figure(chart)
    drawn = [trace for trace in figure["data"] if trace["mode"] == "lines+markers"]
    crosses = [t for t in figure["data"] if t.get("marker", {}).get("symbol") == "x-thin-open"]
    assert [trace["y"] for trace in drawn] == [[p.value for p in s.points] for s in chart.series]
    wanted = sum(p.withheld for s in chart.series for p in s.points)
    assert sum(len(trace["x"]) for trace in crosses) == wanted
    json.dumps(figure, allow_nan=False)


@given(st.lists(VALUES, max_size=12))
def test_runs_split_at_holes(values: list[float | None]) -> None:
    points = [Point(index, value, None, None) for index, value in enumerate(values)]
    found = runs(points)
    assert [p.generation for run in found for p in run] == [
        index for index, value in enumerate(values) if value is not None
    ]
    for run in found:
        assert [p.generation for p in run] == list(
            range(run[0].generation, run[0].generation + len(run))
        )


def _rows(*rows: tuple) -> pl.DataFrame:
    full = [(r, s, g, "share:x", v, v, v, 5, 1, v is None, "") for r, s, g, v in rows]
    return pl.DataFrame(full, schema=SUMMARY, orient="row")


def test_a_line_chart_takes_pooled_rows_references_and_scale() -> None:
    summary = _rows(
        ("a", None, 0, 0.5),
        ("a", 0, 0, 0.5),
        ("a", None, 1, None),
        ("a", 0, 1, None),
        ("real", None, -1, 0.25),
        ("base", None, -1, None),
    )
    chart = line_chart(
        summary, "share:x", {"a": look(0), "b": look(1)}, "s", "t", "c", "%", 100, (0, 100)
    )
    assert chart is not None
    (line,) = chart.series
    assert [(p.generation, p.value, p.withheld) for p in line.points] == [
        (0, 50, False),
        (1, None, True),
    ]
    assert line.chains == ()
    assert [(level.name, level.value) for level in chart.references] == [("real articles", 25)]


def test_no_rows_no_figure() -> None:
    nothing = line_chart(_rows(), "share:x", {"a": look(0)}, "s", "t", "c", "%")
    assert nothing is None


def test_a_wide_range_is_logarithmic_unless_it_is_a_share() -> None:
    rows = _rows(("a", None, 0, 3.0), ("a", None, 1, 500.0))
    chart = line_chart(rows, "share:x", {"a": look(0)}, "s", "t", "c", "perplexity")
    assert chart is not None
    assert chart.log
    assert plotly_figure(chart)["layout"]["yaxis"]["type"] == "log"
    share = line_chart(rows, "share:x", {"a": look(0)}, "s", "t", "c", "%", 1, (0, 1000))
    assert share is not None
    assert not share.log


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_every_figure_draws_in_both_ways_with_the_same_colours(make_results, seeds) -> None:
    results = make_results(articles=12, generations=2, seeds=seeds)
    drawn = figures(results, summarise(results, 100, 0), "right")
    stems = [chart.stem for chart in drawn.all()]
    assert len(set(stems)) == len(stems)
    assert {"leaning_share", "quality", "bias_against_quality", "distance"} <= set(stems)
    assert {"perplexity", "holdout_perplexity", "outside_domain", "vocabulary"} <= set(stems)
    main = plotly_figure(drawn.main[0])
    colours = {trace["line"].get("color") for trace in main["data"] if "line" in trace}
    assert {series.look.colour for series in drawn.main[0].series} <= colours


def test_png_bytes_are_equal_and_hold_no_time_or_version() -> None:
    points = (Point(0, 50.0, 40.0, 60.0), Point(1, 52.0, None, None), Point(2, None, None, None))
    chart = Chart(
        "s",
        f"$\\frac{{1}} <b> {MARKER}",
        "",
        "%",
        (Series("a_b $x", look(0), points), Series("_hidden", look(1), points)),
        (Reference("real", 45.0, REAL_LOOK),),
    )
    first = png(chart)
    assert first == png(chart)
    kinds = []
    at = 8
    while at < len(first):
        (length,) = struct.unpack(">I", first[at : at + 4])
        kinds.append(first[at + 4 : at + 8].decode())
        at += 12 + length
    assert not {"tEXt", "iTXt", "zTXt", "tIME"} & set(kinds)


def test_user_text_reaches_plotly_escaped() -> None:
    evil = "<a href='javascript:alert(1)'>x</a>"
    rows = _rows((evil, None, 0, 0.5))
    both = pl.concat([rows, rows.with_columns(pl.lit("quality").alias("quantity"))])
    chart = path_chart(both, "x", {evil: look(0)})
    text = json.dumps(plotly_figure(chart))
    assert "<a href" not in text
    assert "&lt;a href" in text


def test_looks_are_distinct() -> None:
    assert len({look(index) for index in range(12)}) == 12
