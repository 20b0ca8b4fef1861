"""Both controls, smaller, from the made-up text to the checks."""

import numpy as np
import polars as pl
import pytest

from biasloop.api import load_run
from biasloop.config import load_config
from biasloop.controls import CONTROLS, forecast_path, measured_path, validate
from biasloop.errors import InputError

#: Fewer articles and generations, one chain more and a stronger push, so that they show it.
SMALL = (
    "corpus.control={word_types: {blue: 24, red: 4}, articles_per_leaning: 160, "
    "opening_words: 4, sentences: 3}",
    "corpus.articles_per_label=60",
    "corpus.holdout_per_label=0",
    "generation.opening_tokens=5",
    "generation.new_tokens=21",
    "base.scratch.pretraining.steps=150",
    "training.epochs=4",
    "training.learning_rate=4e-4",
    "loop.generations=2",
    "regimes=[synthetic, {kind: preservation, fraction: 1.0}]",
    "metrics.leaning.damage_articles=60",
    "report={leaning: red, bootstrap: 200}",
)


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("controls")
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIASLOOP_CACHE", str(folder / "cache"))
        found = validate(folder / "out", 4, SMALL, lambda done, total: told.append((done, total)))
    return found, folder, told


@pytest.mark.slow
def test_what_is_planted_is_found_and_nothing_else(run_once):
    found, _, _ = run_once
    by_name = {(row.control, row.regime): row for row in found.rows}
    assert set(by_name) == {(c, r) for c in CONTROLS for r in ("synthetic", "preservation")}
    planted = by_name["positive", "synthetic"]
    assert planted.planted == "red"
    assert planted.verdict.amplified == "yes"
    assert planted.verdict.leaning_change.value > 0.1
    null = by_name["negative", "synthetic"]
    assert null.planted is None
    assert null.verdict.amplified != "yes"
    assert by_name["positive", "preservation"].measured[-1] < planted.measured[-1]
    asked = {check.asked: check for check in found.checks}
    assert all(c.passed for name, c in asked.items() if "moves less" not in name), found.checks


@pytest.mark.slow
def test_the_forecast_is_near_what_was_measured(run_once):
    found, _, _ = run_once
    for row in found.rows:
        # 360 articles a generation, and fine-tuning errs by as much again.
        assert row.apart < 0.2, row
    forecast = next(r.forecast for r in found.rows if r.control == "negative")
    assert forecast == pytest.approx(np.full(3, 0.5))


@pytest.mark.slow
def test_the_runs_are_kept_and_share_the_base(run_once):
    found, folder, told = run_once
    assert len(list((folder / "cache" / "stages").glob("base-*/stage.json"))) == 1
    for control, run_folder in found.folders.items():
        run = load_run(run_folder)
        assert run.config.name == CONTROLS[control]
        assert (run_folder / "report.html").is_file()
        (row,) = (r for r in found.rows if (r.control, r.regime) == (control, "synthetic"))
        likeliest = run.leaning_scores.sort("probability").group_by(
            "regime", "seed", "generation", "article_id"
        ).last()  # fmt: skip
        readable = run.scores.filter(pl.col("value") == 0, metric="outside_domain")
        read = likeliest.join(readable, on=["regime", "seed", "generation", "article_id"])
        by_chain = read.filter(regime="synthetic").group_by("generation", "seed").agg(
            (pl.col("leaning") == "red").mean()
        )  # fmt: skip
        shares = by_chain.group_by("generation").agg(pl.col("leaning").mean()).sort("generation")
        assert row.measured == pytest.approx(shares["leaning"].to_numpy())
        assert row.measured == pytest.approx(
            np.mean([measured_path(run.summary(), "synthetic", "red", s) for s in range(4)], axis=0)
        )
    assert told[-1][0] == told[-1][1]


def test_forecast_of_the_examples():
    positive, negative = (load_config(CONTROLS[name]) for name in ("positive", "negative"))
    path = {r.label: forecast_path(positive, r.label, "red") for r in positive.regimes}
    odds = 4 ** (1 / positive.generation.temperature - 1)
    assert path["synthetic"][0] == pytest.approx(odds / (1 + odds))
    assert path["synthetic"][-1] > path["accumulation"][-1] + 0.1
    assert path["synthetic"][-1] > path["preservation"][-1] + 0.1
    for regime in negative.regimes:
        assert forecast_path(negative, regime.label, "red") == pytest.approx(0.5)


def test_too_few_seeds_are_refused(tmp_path):
    with pytest.raises(InputError, match="3 chains"):
        validate(tmp_path / "out", seeds=2)
    assert not (tmp_path / "out").exists()


def test_another_runs_folder_is_refused_before_anything_is_computed(tmp_path):
    mine = tmp_path / "control-negative" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        validate(tmp_path)
    assert mine.read_text() == "mine"
    assert not (tmp_path / "control-positive").exists()
