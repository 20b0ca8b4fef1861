"""Several runs beside each other: each as its own report says, and what differs."""

from __future__ import annotations

import re

import pytest
from report_made_up import build_results

from biasloop.analysis import judge_run, outcomes, run_answer, tables_of
from biasloop.errors import InputError
from biasloop.report.answer import shown
from biasloop.report.compare import compare, comparison_page

FEW = {"report": {"bootstrap": 100}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    hot = FEW | {"generation": {"decoding": "nucleus", "temperature": 0.7}}
    made = {"regimes": ("synthetic", "accumulation"), "seeds": (0, 1, 2), "generations": 2}
    return {
        "greedy <b>": build_results(folder / "a", settings=FEW, **made),
        "cold": build_results(folder / "b", settings=hot, **made),
    }


def test_each_run_has_the_rows_of_its_own_report_and_the_settings_that_differ(runs) -> None:
    found = compare(runs)
    assert found.columns[:2] == ("Run", "Regime and what it trains on")
    for name, results in runs.items():
        made = outcomes(tables_of(results))
        own = shown(run_answer(results, judge_run(results, made), made)).rows
        assert tuple(row[1:] for row in found.rows if row[0].text == name) == own
    assert found.differences == {
        "generation.decoding": ("greedy", "nucleus"),
        "generation.temperature": ("1.0", "0.7"),
    }
    assert found.chart is not None
    names = [series.name for series in found.chart.series]
    assert names == [f"{run}: {one}" for run in runs for one in ("accumulation", "synthetic")]


def test_the_page_asks_for_nothing_and_escapes_names(runs) -> None:
    page = comparison_page(compare(runs), list(runs))
    assert "greedy &lt;b&gt;" in page
    assert "<b>" not in page
    assert "data:image/png;base64," in page
    assert not re.search(r"<script|https?:", page)


def test_other_labels_have_no_common_axis(runs, tmp_path) -> None:
    two = build_results(tmp_path / "c", labels=("left", "right"), settings=FEW, generations=1)
    found = compare({**runs, "two": two})
    assert found.chart is None
    assert "different labels" in found.note
    assert "different labels" in comparison_page(found, [*runs, "two"])


def test_one_run_is_no_comparison(runs) -> None:
    with pytest.raises(InputError, match="two runs or more"):
        compare({"one": next(iter(runs.values()))})
