"""The projection of each update beside what then happened to the leaning."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from biasloop.analysis.projected_update import (
    PROJECTED_UPDATES,
    projected_updates,
    sign_agreement,
)
from biasloop.config import parse_config
from biasloop.loop.results import Results
from biasloop.tables import LEANING_SCORES, SCORES, SET_SCORES, UPDATES


def _results(tmp_path, odds, updates, outside=()):
    rows, scores = [], []
    for (regime, generation), values in odds.items():
        for i, value in enumerate(values):
            p = 1 / (1 + np.exp(-value))
            rows += [
                (regime, 0, generation, f"a{i}", "right", p),
                (regime, 0, generation, f"a{i}", "left", 1 - p),
            ]
            lies_out = float((regime, generation) in outside)
            scores.append((regime, 0, generation, f"a{i}", "outside_domain", lies_out))
    table = [
        (regime, 0, g, label, "gradient", sign * value, -1.0, 1.0, None, 3.0)
        for (regime, g), value in updates.items()
        for label, sign in (("right", 1), ("left", -1))
    ]
    return Results(
        folder=tmp_path,
        config=parse_config({"corpus": {"labels": ["left", "right"]}}),
        labels=("left", "right"),
        corpus={},
        real=pl.DataFrame(),
        articles=pl.DataFrame(),
        scores=pl.DataFrame(scores, schema=SCORES, orient="row"),
        leaning_scores=pl.DataFrame(rows, schema=LEANING_SCORES, orient="row"),
        set_scores=pl.DataFrame(schema=SET_SCORES),
        cards=(),
        stages=pl.DataFrame(),
        bad_rows=pl.DataFrame(),
        provenance={},
        updates=pl.DataFrame(table, schema=UPDATES, orient="row"),
    )


def test_each_change_is_paired_by_article_and_its_sign_compared(tmp_path):
    random = np.random.default_rng(0)
    base, zero, one = (random.normal(0, 1, 30) for _ in range(3))
    results = _results(
        tmp_path,
        {("base", -1): base, ("s", 0): zero, ("s", 1): one + 1, ("s", 2): one},
        {("s", 0): np.sign((zero - base).mean()), ("s", 1): 0.5, ("s", 2): 0.25},
    )
    table = projected_updates(results, "right")
    assert table["agree"].to_list() == [True, True, False]
    for row, moved in zip(table.iter_rows(named=True), (zero - base, one + 1 - zero), strict=False):
        expected = stats.ttest_1samp(moved, 0).confidence_interval()
        found = (row["change"], row["change_low"], row["change_high"])
        assert found == pytest.approx((moved.mean(), expected.low, expected.high))
    other = projected_updates(results, "left")
    assert other["projection"].to_list() == [-value for value in table["projection"]]
    assert other["agree"].to_list() == table["agree"].to_list()


def test_a_withheld_set_has_no_change_on_either_side(tmp_path):
    values = np.zeros(5)
    results = _results(
        tmp_path,
        {("base", -1): values, ("s", 0): values + 1, ("s", 1): values, ("s", 2): values},
        {("s", 0): 1.0, ("s", 1): 1.0, ("s", 2): 1.0},
        outside={("s", 1)},
    )
    table = projected_updates(results, "right")
    assert table["change"].to_list() == pytest.approx([1.0, None, None])
    assert table["agree"].to_list() == [True, None, None]


def test_a_run_without_updates_has_no_rows(tmp_path):
    assert projected_updates(_results(tmp_path, {}, {}), "right").height == 0


def _told(agreements):
    """Give a table of what agreed, by seed, from Generation 0 on."""
    rows = [
        ("s", seed, generation, "gradient", 1.0, None, None, 1.0, None, None, agree)
        for seed, found in enumerate(agreements)
        for generation, agree in enumerate(found)
    ]
    return pl.DataFrame(rows, schema=PROJECTED_UPDATES, orient="row")


def test_agreement_is_tested_over_seeds_not_generations():
    # Generation 0 is left out, and what is not known.
    four = sign_agreement(_told([(False, True, True, None)] * 4))
    assert four == (8, 8, 4, 0, None)
    five = sign_agreement(_told([(False, True, True, True)] * 5))
    assert five[:4] == (15, 15, 5, 0)
    assert five.pvalue == pytest.approx(1 / 32)
    tied = sign_agreement(_told([(True, True, False)] + [(None, False, True, True)] * 6))
    assert tied[:4] == (13, 20, 6, 0)
    assert tied.pvalue == pytest.approx(1 / 64)
    assert sign_agreement(_told([])) == (0, 0, 0, 0, None)


def test_chains_whose_generations_follow_each_other_are_not_counted_as_many():
    random = np.random.default_rng(2)
    by_seed = by_generation = 0
    for _ in range(400):
        # A coin per seed, which nine of ten of its generations show.
        coins = random.random(8) < 0.5
        table = _told([(True, *(c == (random.random(9) < 0.9))) for c in coins.tolist()])
        found = sign_agreement(table)
        by_seed += found.pvalue is not None and found.pvalue < 0.05
        one = stats.binomtest(found.agreed, found.compared, alternative="greater")
        by_generation += one.pvalue < 0.05
    assert by_seed / 400 < 0.08
    assert by_generation / 400 > 0.15
