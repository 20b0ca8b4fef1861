from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from biasloop.analysis import holm
from biasloop.coding import draw, findings, read_key, write_sheets
from biasloop.coding.prediction_powered import LEAST_LABELS
from biasloop.coding.sheets import CODES
from biasloop.errors import InputError
from biasloop.tables import LEANING_SCORES, REAL


@pytest.fixture
def key(folder, results):
    return read_key(folder / "key.json", results)


def coded(drawn, choose, coders=None):
    return pl.DataFrame(
        [
            (coder, name, choose(coder, name))
            for coder, own in (coders or drawn.coders).items()
            for name in own
        ],
        schema=CODES,
        orient="row",
    )


def readings(results):
    """What the classifier reads of every article, whether it can read it or not."""
    best = results.leaning_scores.sort("probability", descending=True)
    best = best.unique(["regime", "seed", "generation", "article_id"], keep="first")
    return {tuple(row[:4]): row[4] for row in best.select(
        "regime", "seed", "generation", "article_id", "leaning"
    ).iter_rows()}  # fmt: skip


def test_coders_who_read_as_the_classifier_leave_its_shares(results, drawn, key):
    read = readings(results)
    outside = set(
        results.scores.filter((pl.col("metric") == "outside_domain") & (pl.col("value") > 0))
        .select("regime", "seed", "generation", "article_id")
        .iter_rows()
    )

    def choose(_, name):
        member = drawn.members[name][0]
        return "unclear" if member in outside else read[member]

    found = findings(results, key, coded(drawn, choose))
    assert found.agreement.value == 1
    assert found.agreement.agree == 1
    assert found.classifier.agreement.value > 0.97  # a shared text's readings are its sets' own
    for row in found.shares.filter(pl.col("leaning").is_not_null()).iter_rows(named=True):
        assert row["labels"] == 40
        assert row["low"] <= row["read"] <= row["high"]
        assert row["corrected"] == pytest.approx(row["read"], abs=0.03)


def test_coders_who_see_one_leaning_everywhere_overrule_the_classifier(results, drawn, key):
    found = findings(results, key, coded(drawn, lambda *_: "left"))
    assert found.agreement.value is None
    assert "same label" in found.agreement.reason
    left = found.shares.filter(pl.col("leaning") == "left")
    assert left["corrected"].to_list() == pytest.approx([1.0] * 5)
    assert (left["read"] < 0.6).all()
    assert found.classifier.confusion[0].sum() == pytest.approx(len(drawn.texts))
    change = found.changes.filter(pl.col("leaning") == "left")
    assert change["corrected"].to_list() == pytest.approx([0.0] * 2)
    assert (change["pvalue"] > 0.99).all()


def test_a_planted_change_is_found_in_its_regime_and_not_in_the_other(results, tmp_path):
    drawn = draw(results, articles=90, coders=1, seed=1)
    write_sheets(drawn, tmp_path / "all")
    key = read_key(tmp_path / "all" / "key.json", results)
    random = np.random.default_rng(0)

    def choose(_, name):
        regime, _, generation, _ = drawn.members[name][0]
        share = 0.9 if (regime, generation) == ("synthetic", 2) else 0.4
        return "right" if random.random() < share else "left"

    found = findings(results, key, coded(drawn, choose))
    assert found.agreement.reason == "no article was coded by two coders"
    right = found.changes.filter(pl.col("leaning") == "right").sort("regime")
    assert right["regime"].to_list() == ["preservation", "synthetic"]
    assert right["low"][1] < 0.5 < right["high"][1]
    assert right["low"][1] > 0.15
    assert right["holm"][1] < 0.05
    assert right["low"][0] < 0 < right["high"][0]
    leanings = found.changes.filter(pl.col("leaning").is_not_null())
    assert np.allclose(leanings["holm"], holm(leanings["pvalue"].to_numpy()))
    assert found.changes.filter(pl.col("leaning").is_null())["holm"].null_count() == 2


def test_articles_without_a_leaning_leave_the_shares_of_the_others(results, drawn, key):
    def choose(_, name):
        return ("left", "left", "right", "unclear")[sum(map(ord, name)) % 4]

    found = findings(results, key, coded(drawn, choose))
    for _, own in found.shares.group_by("regime", "generation"):
        leanings = own.filter(pl.col("leaning").is_not_null())
        assert leanings["corrected"].sum() == pytest.approx(1)
        assert leanings["said"].sum() == pytest.approx(1)
        unclear = own.filter(pl.col("leaning").is_null())
        assert 0 < unclear["said"][0] < 0.6


def test_too_few_labels_give_a_value_and_say_why_there_is_no_interval(results, drawn, key):
    few = {"coder-1": [n for n, own in drawn.members.items() if own[0][0] == REAL][:10]}
    found = findings(results, key, coded(drawn, lambda *_: "left", few))
    real = found.shares.filter(pl.col("regime") == REAL)
    assert real["labels"].to_list() == [10] * 4
    assert real["corrected"][0] == 1
    assert real["low"].null_count() == 4
    assert set(real["reason"]) == {f"10 labels: an interval needs {LEAST_LABELS}"}
    rest = found.shares.filter(pl.col("regime") != REAL)
    assert rest["corrected"].null_count() == rest.height
    assert found.changes["pvalue"].null_count() == found.changes.height
    assert found.changes["holm"].null_count() == found.changes.height


def test_a_run_without_leaning_is_refused(results, drawn, key):
    without = replace(results, leaning_scores=pl.DataFrame(schema=LEANING_SCORES))
    with pytest.raises(InputError, match="leaning was not scored"):
        findings(without, key, coded(drawn, lambda *_: "left"))
