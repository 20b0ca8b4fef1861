"""One record makes a metric a column, a figure, a test and a sign of collapse."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from biasloop import quantities
from biasloop.analysis import missing_sets, summarise
from biasloop.quantities import Collapse, Quantity
from biasloop.report import write_report
from biasloop.tables import SCORES

CHATTER = Quantity(
    "chatter",
    "share of chatter",
    "diversity",
    "diversity",
    bounds=(0.0, 1.0),
    title="Chatter of the articles",
    caption="Words that say nothing.",
    unit="chatter, 0 to 1",
    tested="chatter per article",
    collapse=Collapse(
        1, 0.01, "chatter", "chatter", "its articles chatter", "Do its articles chatter more?"
    ),
)


@pytest.fixture
def chattering(make_results):
    """A run with a metric of no record, which rises from 0.50 to 0.95."""
    results = make_results(regimes=("synthetic",), seeds=(0, 1), generations=3, articles=20)
    random = np.random.default_rng(0)
    rows = [
        ("synthetic", seed, g, f"a{i:04d}", "chatter", 0.5 + 0.15 * g + random.normal(0, 0.03))
        for seed in (0, 1)
        for g in range(4)
        for i in range(20)
    ]
    scores = pl.concat([results.scores, pl.DataFrame(rows, schema=SCORES, orient="row")])
    return dataclasses.replace(results, scores=scores)


def test_a_metric_without_a_record_has_its_mean_in_the_summary(chattering):
    names = set(summarise(chattering, 50)["quantity"])
    assert "chatter" in names
    assert "chatter_change" not in names


@pytest.mark.usefixtures("blank")
def test_one_record_is_read_by_summary_tables_figures_verdict_and_page(
    chattering, monkeypatch, tmp_path
):
    monkeypatch.setitem(quantities.QUANTITIES, CHATTER.name, CHATTER)
    summary = summarise(chattering, 50)
    assert {"chatter", "chatter_change"} <= set(summary["quantity"])
    assert summary.filter(quantity="chatter")["high"].max() <= 1
    page = write_report(chattering, tmp_path).read_text(encoding="utf-8")
    for told in (CHATTER.label, CHATTER.title, CHATTER.tested, CHATTER.collapse.asks):
        assert told in page
    told = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert "its articles chatter: chatter 0.50 to 0.95" in json.dumps(told["answer"])
    assert "chatter.png" in told["figures"]
    assert {row["quantity"] for row in told["tests"]["trends"]} >= {"chatter"}
    assert "chatter" in [sign["quantity"] for sign in told["verdicts"][0]["signs"]]


def test_a_set_lacks_a_metric_where_it_lacks_the_metrics_first_quantity(chattering, monkeypatch):
    assert not missing_sets(chattering).height
    first = {"chatter": CHATTER} | quantities.QUANTITIES
    monkeypatch.setattr(quantities, "QUANTITIES", first)
    kept = pl.col("metric").ne("chatter") | pl.col("generation").ne(2)
    cut = dataclasses.replace(chattering, scores=chattering.scores.filter(kept))
    assert missing_sets(cut)["generation"].to_list() == [2, 2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"section": "words"}, "the section 'words'; known: leaning, perplexity, diversity"),
        ({"section": ""}, "no section to be shown in"),
        ({"tested": ""}, "its change is not tested"),
    ],
)
def test_a_record_that_would_not_be_shown_or_tested_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        quantities.declare(dataclasses.replace(CHATTER, **changes))
    assert CHATTER.name not in quantities.QUANTITIES


def test_a_name_is_declared_once():
    with pytest.raises(ValueError, match="twice"):
        quantities.declare(Quantity("quality"))
