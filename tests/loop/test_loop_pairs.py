"""Pairs in a run: every model is read, no other stage changes, and pairs are the units."""

import dataclasses

import numpy as np
import polars as pl
import pytest

import biasloop as bl
from biasloop.analysis import summarise
from biasloop.config import parse_config
from biasloop.errors import InputError
from biasloop.loop import make_plan
from biasloop.metrics.pairs import log_odds, read_pairs
from biasloop.models.load import load_model

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def with_pairs(bare):
    return {
        **bare,
        "loop": {**bare["loop"], "generations": 1},
        "regimes": ["synthetic"],
        "metrics": {**bare["metrics"], "names": ["leaning", "pairs"]},
    }


def test_a_run_scores_every_model_by_pairs(with_pairs, tmp_path):
    run = bl.run(with_pairs, tmp_path / "run")
    config = run.results.config
    rows = run.results.scores.filter(pl.col("metric").str.starts_with("pair_"))
    sets = {("base", -1), ("synthetic", 0), ("synthetic", 1)}  # the real articles have no model
    assert set(rows.select("regime", "generation").iter_rows()) == sets

    # The last model is kept: its figures, by hand.
    folder = next(iter(run.folder.glob(f"stages/{_last(run).folder_name}"))) / "model"
    loaded = load_model(str(folder), precision="float32")
    odds = log_odds(loaded.model, loaded.tokenizer, read_pairs(config.metrics.pairs), 64)
    last = rows.filter(generation=1, metric="pair_log_odds")["value"]
    np.testing.assert_allclose(last.to_numpy(), odds)
    summary = run.summary()
    first = summary.filter(quantity="pair_first", generation=1).row(0, named=True)
    assert (first["value"], first["n"]) == (pytest.approx((odds > 0).mean()), 48)
    change = summary.filter(quantity="pair_log_odds_change", generation=1).row(0, named=True)
    before = rows.filter(generation=0, metric="pair_log_odds")["value"]
    assert change["value"] == pytest.approx((last - before).mean())
    assert "Pairs whose first text is likelier" in run.report().read_text("utf-8")
    with pytest.raises(InputError, match="'pairs' reads the model that wrote the articles"):
        bl.score(run.results.real, ["pairs"], run=run)

    # Articles' own intervals are what they are without pairs.
    is_pair = pl.col("metric").str.starts_with("pair_")
    without = dataclasses.replace(run.results, scores=run.results.scores.filter(~is_pair))
    own = summary.filter(~pl.col("quantity").str.starts_with("pair_"))
    assert own.equals(summarise(without, config.report.bootstrap, config.seed))


def _last(run):
    plan = make_plan(run.results.config)
    return plan.finetuned["synthetic", 0, 1]


def test_pairs_change_no_other_stage(with_pairs, tmp_path):
    file = tmp_path / "own.csv"
    file.write_text("first,second\nred won,blue won\n")
    plain = {**with_pairs, "metrics": {**with_pairs["metrics"], "names": ["leaning"]}}
    plans = [
        set(make_plan(parse_config(values, overrides)).stages.items())
        for values, overrides in (
            (plain, []),
            (with_pairs, []),
            (with_pairs, [f"metrics.pairs.file={file}"]),
            (with_pairs, ["metrics.pairs.likelihood=whole"]),
        )
    ]
    keys = [{key for key, stage in plan if stage.kind != "join"} for plan in plans]
    added = [own - keys[0] for own in keys]
    assert all(keys[0] <= own for own in keys)
    assert [len(own) for own in added] == [0, 3, 3, 3]  # three models
    assert not (added[1] & added[2])
    assert not (added[1] & added[3])


def test_a_bad_file_stops_a_run_before_it_starts(with_pairs, tmp_path):
    file = tmp_path / "own.csv"
    file.write_text("first,second\nred won,red won\n")
    values = {**with_pairs, "metrics": {**with_pairs["metrics"], "pairs": {"file": str(file)}}}
    with pytest.raises(InputError, match=r"metrics\.pairs\.file: .*own.csv: row 2: the two texts"):
        bl.run(values, tmp_path / "run")
    assert not (tmp_path / "run" / "stages").exists()
