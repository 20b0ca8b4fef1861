"""Metrics that are off by default, in a run: Vendi score, MAUVE, entropy, and benchmark tasks."""

import json
import sys

import numpy as np
import polars as pl
import pytest

import biasloop as bl
from biasloop import quantities
from biasloop.assets import cache_folder
from biasloop.config import parse_config
from biasloop.errors import InputError
from biasloop.loop.plan import make_plan
from biasloop.loop.store import Store
from biasloop.metrics import METRICS, metric_kind
from biasloop.metrics.perplexity import entropies
from biasloop.models.load import load_model

SMALL = ["regimes=[synthetic]", "loop.generations=1", "metrics.embedding.articles=20"]
TASK = """
task: toy
dataset_path: json
dataset_kwargs: {data_files: {test: questions.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{metric: acc}, {metric: brier_score}]
"""


@pytest.fixture(scope="module")
def run(bare, tmp_path_factory):
    names = "metrics.names=[embedding,own_entropy]"
    more = [*SMALL, names, "loop.keep_models=all"]
    return bl.run(bare, tmp_path_factory.mktemp("model-metrics") / "run", more)


def test_every_set_has_them_in_the_summary_and_the_report(run):
    summary = run.summary()
    for name in ("vendi", "mauve", "own_entropy"):
        rows = summary.filter(pl.col("seed").is_null(), quantity=name)
        sets = set(rows.select("regime", "generation").iter_rows())
        real = set() if name == "own_entropy" else {("real", -1)}
        assert sets == {("base", -1), ("synthetic", 0), ("synthetic", 1)} | real
        assert rows.filter(~pl.col("value").is_between("low", "high")).is_empty()
        assert summary.filter(quantity=f"{name}_change").height
    page = run.report().read_text()
    for label in ("Vendi score", "MAUVE", "entropy on own text"):
        assert label in page


def test_entropy_is_of_the_model_that_wrote_the_articles(run):
    stage = make_plan(run.config).finetuned["synthetic", 0, 1]
    folder = Store(run.folder, cache_folder()).path(stage) / "model"
    loaded = load_model(str(folder), precision="float32")
    articles = run.results.articles.filter(regime="synthetic", generation=1)
    expected = entropies(loaded.model, loaded.tokenizer, articles["body"].to_list(), 64)
    found = run.results.scores.filter(metric="own_entropy", regime="synthetic", generation=1)
    np.testing.assert_allclose(found["value"], expected, rtol=1e-6)


def test_they_are_off_and_change_no_other_stage(bare):
    def keys(*more):
        return make_plan(parse_config(bare, [*SMALL[:2], *more])).stages

    off = keys("metrics.names=[leaning]")
    on = keys("metrics.names=[leaning,own_entropy]")
    changed = {stage.kind for key, stage in off.items() if key not in on}
    assert changed == {"join"}  # of which one more is put together
    assert keys("metrics.names=[leaning]", "metrics.embedding.mauve_seeds=3").keys() == off.keys()


def test_a_metric_of_a_model_is_not_asked_of_text():
    with pytest.raises(InputError, match="only a run scores it"):
        metric_kind("own_entropy")
    assert "embedding" in METRICS


def test_tasks_of_the_harness_are_columns_and_figures_of_every_model(bare, tmp_path):
    pytest.importorskip("lm_eval")
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "toy.yaml").write_text(TASK)
    rows = [
        {"question": f"two and {i} make", "choices": ["red", "blue"], "answer": i % 2}
        for i in range(12)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = ["metrics.lm_eval.tasks=[toy]", f"metrics.lm_eval.folder={folder}"]
    made = bl.run(bare, tmp_path / "run", [*SMALL, "metrics.names=[leaning]", *own])
    table = made.results.set_scores.filter(metric="lm_eval:toy:acc")
    assert set(table["regime"]) == {"base", "synthetic"}
    # The standard error of a mean of zeros and ones, by hand.
    for value, low, high in table.select("value", "low", "high").iter_rows():
        half = 1.959964 * np.sqrt(value * (1 - value) / 11)
        assert (low, high) == pytest.approx((value - half, value + half))
    page = made.report().read_text()
    assert "toy:acc" in page
    assert "toy:brier_score" in page
    plan = make_plan(parse_config(bare, [*SMALL, *own])).scored["synthetic", 0, 1].key
    (folder / "questions.jsonl").write_text(json.dumps(rows[0]))
    assert make_plan(parse_config(bare, [*SMALL, *own])).scored["synthetic", 0, 1].key != plan
    with pytest.raises(InputError, match="no task 'toi'"):
        make_plan(parse_config(bare, ["metrics.lm_eval.tasks=[toi]", own[1]]))
    with pytest.raises(InputError, match="names no task"):
        make_plan(parse_config(bare, ["metrics.names=[lm_eval]", own[1]]))
    with pytest.raises(InputError, match="no such folder"):
        make_plan(parse_config(bare, [own[0], "metrics.lm_eval.folder=nowhere"]))


def test_a_family_has_a_record_for_each_member():
    names = ["share:red", "lm_eval:toy:acc", "lm_eval:toy:acc_norm", "vendi"]
    found = {record.name: record for record in quantities.shown(names)}
    assert found["lm_eval:toy:acc"].label == found["lm_eval:toy:acc"].title == "toy:acc"
    assert "lm_eval" not in found
    assert {"lm_eval:toy:acc_norm", "vendi", "share"} <= found.keys()


def test_tasks_without_the_harness_are_refused(bare, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)
    with pytest.raises(InputError, match=r"biasloop\[eval\]"):
        make_plan(parse_config(bare, ["metrics.lm_eval=[toy]"]))
