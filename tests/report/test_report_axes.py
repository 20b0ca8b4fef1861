"""Further axes in a report: a row each, corrected together, and nothing of them without any."""

from dataclasses import replace

import numpy as np
import pytest
from report_made_up import build_results

from biasloop.analysis import judge_axes, judge_run
from biasloop.report import write_report
from biasloop.report.findings import findings
from biasloop.report.summary_json import summary_json

AXES = {"place": ("north", "south"), "tone": ("good", "neutral", "<b>bad</b>")}


@pytest.fixture
def several(tmp_path):
    """A run on three axes, of which the others are other made-up runs of the same articles."""

    def make(**more):
        axes = [
            {"name": name, "labels": list(labels), "data": {"source": "x.csv"}}
            for name, labels in AXES.items()
        ]
        metrics = {"names": ["leaning", "diversity"], "axes": axes}
        settings = {"metrics": metrics, "report": {"bootstrap": 100}}
        own = {"generations": 2, "seeds": (0, 1), "settings": settings, **more}
        run = build_results(tmp_path, labels=("left", "right"), **own)
        views = {}
        for name, labels in AXES.items():
            made = build_results(tmp_path, labels=labels, metrics=("leaning",), **own)
            views[name] = replace(
                run,
                config=run.config.axes[name],
                labels=labels,
                scores=made.scores,
                leaning_scores=made.leaning_scores,
                set_scores=made.set_scores,
                cards=made.cards,
            )
        return replace(run, axes=views)

    return make


def test_p_values_of_all_axes_and_regimes_are_corrected_together(several):
    multipletests = pytest.importorskip("statsmodels.stats.multitest").multipletests
    run = several(articles=90, collapsing=())
    judged = judge_axes(run)
    assert list(judged) == ["", "place", "tone"]
    assert judge_run(run) == judged[""]
    verdicts = [verdict for one in judged.values() for verdict in one]
    given = np.array([np.nan if v.pvalue is None else v.pvalue for v in verdicts])
    there = ~np.isnan(given)
    assert there.sum() > 8
    corrected = multipletests(given[there], method="holm")[1]
    own = [v.holm for v, ok in zip(verdicts, there, strict=True) if ok]
    assert own == pytest.approx(corrected.tolist())
    alone = {v.regime: v for v in judge_run(replace(run, axes={}))}
    assert all(v.holm >= alone[v.regime].holm for v in judged[""] if v.holm is not None)
    assert all(v.bias not in ("amplified", "reduced", "moved") or v.holm <= 0.05 for v in verdicts)
    # The main axis alone tells of the text.
    assert all(v.collapsed == "not measured" for name in AXES for v in judged[name])
    assert all(v.collapsed != "not measured" for v in judged[""])


@pytest.mark.usefixtures("blank")
def test_each_axis_has_a_row_and_a_section_and_text_is_escaped(several, tmp_path):
    run = several(articles=30, regimes=("synthetic", "preservation"))
    page = write_report(run, tmp_path / "out").read_text(encoding="utf-8")
    assert "Further axis" in page
    assert "corrected for the number of regimes and axes (Holm)" in page
    assert "<b>bad</b>" not in page
    assert "Axis tone" in page or "axis tone" in page
    found = findings(run)
    summary = summary_json(found)
    rows = {row[0]["text"]: row for row in summary["answer"]["axes"]["rows"]}
    assert list(rows) == list(AXES)
    assert rows["place"][0]["note"] == "+ towards south"
    for name, axis in summary["axes"].items():
        assert [v["regime"] for v in axis["verdicts"]] == ["synthetic", "preservation"]
        assert {row["quantity"] for row in axis["summary"]} >= {
            f"share:{label}" for label in AXES[name]
        }
        assert axis["instruments"][0]["metric"] == "leaning"
    without = summary_json(findings(replace(run, axes={})))
    assert "axes" not in without
    assert "axes" not in without["answer"]
