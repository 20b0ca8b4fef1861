from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from analysis_tables import Key, leaning_rows, make_tables, score_rows
from scipy import stats

from biasloop.analysis import holm, outcomes, paired_mean, prevalence
from biasloop.analysis.changes import change, compare, contrasts
from biasloop.analysis.classifier_errors import Confusion
from biasloop.analysis.evidence import classifier_shifts, correlations
from biasloop.analysis.trends import trends

LABELS = ("left", "right")


def _one_hot(hits: np.ndarray) -> np.ndarray:
    return np.where(hits[:, None] == np.arange(2), 0.9, 0.1)


def _run(
    random: np.random.Generator,
    drift: dict[str, float],
    seeds: tuple[int, ...] = (0,),
    generations: int = 5,
    articles: int = 80,
    **more: object,
):
    scores, leanings = [], []

    def add(key: Key, hits: np.ndarray, quality: np.ndarray) -> None:
        leanings.extend(leaning_rows(key, _one_hot(hits), LABELS))
        scores.extend(score_rows(key, "quality", quality))
        scores.extend(score_rows(key, "leaning_confidence", 0.6 + 0.3 * random.random(articles)))

    taste, level = random.random(articles), random.normal(2, 0.3, articles)
    add(("real", 0, -1), taste < 0.4, level)
    add(("base", 0, -1), random.random(articles) < 0.5, level - 0.3)
    for regime, per_generation in drift.items():
        for seed in seeds:
            for g in range(generations):
                hits = np.where(random.random(articles) < 0.3, random.random(articles), taste)
                own = level - 0.2 * per_generation * g + random.normal(0, 0.1, articles)
                add((regime, seed, g), (hits < 0.4 + per_generation * g).astype(int), own)
    return make_tables(LABELS, scores, leanings, outside_share=0.25, **more)


def test_contrasts_are_paired_differences_and_corrected_by_holm(
    random: np.random.Generator,
) -> None:
    found = outcomes(_run(random, {"a": 0.1, "b": 0.0}))
    rows = contrasts(found)
    own = rows.filter((pl.col("quantity") == "quality") & (pl.col("against") == "real"))
    for row in own.iter_rows(named=True):
        gap = found.row("quality", (row["regime"], 0, row["generation"])) - found.row(
            "quality", ("real", 0, -1)
        )
        expected = stats.ttest_1samp(gap, 0)
        assert row["value"] == pytest.approx(gap.mean())
        assert row["pvalue"] == pytest.approx(expected.pvalue, rel=1e-9)
        assert (row["low"], row["high"]) == pytest.approx(tuple(expected.confidence_interval()))
    np.testing.assert_allclose(own["holm"], holm(own["pvalue"].to_numpy()))
    # Of two labels one counts: eight tests against Generation 0, the mirror with the same p.
    start = rows.filter(pl.col("against") == "generation 0")
    right = start.filter(pl.col("quantity") == "share:right")
    left = start.filter(pl.col("quantity") == "share:left")
    assert right.height == 8
    np.testing.assert_allclose(right["holm"], holm(right["pvalue"].to_numpy()))
    np.testing.assert_allclose(left["holm"], right["holm"])
    np.testing.assert_allclose(left["value"], -right["value"].to_numpy(), atol=1e-12)


def test_a_share_of_all_has_a_contrast_with_a_width() -> None:
    before, after = np.ones(25, dtype=int), np.repeat([1, 0], [21, 4])
    leanings = leaning_rows(("a", 0, 0), _one_hot(before), LABELS)
    leanings += leaning_rows(("a", 0, 1), _one_hot(after), LABELS)
    row = contrasts(outcomes(make_tables(LABELS, leanings=leanings))).filter(
        pl.col("quantity") == "share:right"
    )
    expected = paired_mean(after.astype(float) - before, shares=True)
    assert row["value"][0] == pytest.approx(-0.16)
    assert (row["low"][0], row["high"][0]) == pytest.approx(expected.interval())


def test_a_withheld_set_takes_no_part(random: np.random.Generator) -> None:
    tables = _run(random, {"a": 0.1})
    gone = pl.DataFrame(
        score_rows(("a", 0, 4), "outside_domain", np.ones(80)), schema=tables.scores.schema,
        orient="row",
    )  # fmt: skip
    held = type(tables)(
        LABELS, pl.concat([tables.scores, gone]), tables.leaning_scores, tables.set_scores,
        outside_share=0.25,
    )  # fmt: skip
    found = outcomes(held)
    assert np.isnan(found.row("share:right", ("a", 0, 4))).all()
    rows = contrasts(found).filter(pl.col("quantity") == "share:right")
    assert 4 not in rows["generation"]
    assert trends(found).filter(pl.col("quantity") == "share:right")["generations"].item() == 4


def test_a_drift_is_seen_and_none_is_not(random: np.random.Generator) -> None:
    rows = trends(outcomes(_run(random, {"a": 0.1, "b": 0.0}, articles=150)))
    share = rows.filter(pl.col("quantity") == "share:right")
    assert share["regime"].to_list() == ["a", "b"]
    assert share["holm"][0] < 0.001 < 0.05 < share["holm"][1]
    assert share["low"][0] < 0.1 < share["high"][0]
    assert share["paired_pvalue"][0] < 0.001


def test_regimes_are_compared_by_article_and_seed(random: np.random.Generator) -> None:
    tables = _run(random, {"a": 0.1, "b": 0.0}, seeds=(0, 1, 2))
    found = outcomes(tables)
    rows = compare(found, "right", ["a", "b"], "a")
    assert rows["regime"].unique().to_list() == ["b"]
    own = rows.filter(pl.col("quantity") == "quality").row(0, named=True)
    gap = [change(found, "quality", regime, 4).value for regime in ("b", "a")]
    assert own["value"] == pytest.approx(gap[0] - gap[1])
    assert own["value"] > 0  # "a" loses quality as it drifts
    assert (own["chains"], own["articles"]) == (3, 80)


def test_corrected_shares_undo_a_known_confusion(random: np.random.Generator) -> None:
    tables = _run(random, {"a": 0.1}, articles=120)
    found = outcomes(tables)
    counts = np.array([[160.0, 40.0], [20.0, 180.0]])
    rows = prevalence(tables, found, Confusion(counts, "articles"), 500, 0)
    assert rows["regime"].unique(maintain_order=True).to_list() == ["real", "base", "a"]
    for row in rows.filter(pl.col("leaning") == "right").iter_rows(named=True):
        expected = np.clip((row["read"] - 0.2) / 0.7, 0, 1)
        assert row["adjusted"] == pytest.approx(expected)
        assert row["adjusted_low"] <= row["adjusted"] <= row["adjusted_high"]
        assert row["adjusted_high"] - row["adjusted_low"] >= row["read_high"] - row["read_low"]
        assert (row["change"] is None) == (row["generation"] < 1)
    perfect = prevalence(tables, found, Confusion(np.eye(2) * 1e7, "articles"), 500, 0)
    np.testing.assert_allclose(perfect["adjusted"], perfect["read"], atol=1e-9)
    np.testing.assert_allclose(perfect["adjusted_low"], perfect["read_low"], atol=1e-3)
    assert prevalence(tables, found, Confusion(counts, "articles", "blind"), 500, 0).height == 0


def test_corrected_chains_are_pooled(random: np.random.Generator) -> None:
    tables = _run(random, {"a": 0.05}, seeds=(0, 1, 2))
    found = outcomes(tables)
    counts = np.array([[90.0, 10.0], [20.0, 80.0]])
    rows = prevalence(tables, found, Confusion(counts, "sources"), 300, 0, likelihood=False)
    row = rows.filter((pl.col("generation") == 3) & (pl.col("leaning") == "right")).row(
        0, named=True
    )
    assert row["read"] == pytest.approx(found.chains("share:right", "a", 3).mean())
    assert (row["chains"], row["articles"]) == (3, 80)
    assert row["likelihood"] is None


def test_a_classifier_that_is_less_sure_is_doubtful(random: np.random.Generator) -> None:
    real = 0.7 + 0.2 * random.random(50)
    scores = score_rows(("real", 0, -1), "leaning_confidence", real)
    scores += score_rows(("a", 0, 1), "leaning_confidence", real - 0.1 * random.random(50) - 0.02)
    scores += score_rows(("b", 0, 1), "leaning_confidence", real - 0.01 * random.random(50))
    rows = classifier_shifts(make_tables(LABELS, scores))
    assert rows["doubtful"].to_list() == [True, False]
    assert rows["shift"][0] == pytest.approx(-0.07, abs=0.02)
    assert rows["measure"].unique().to_list() == ["confidence"]


def test_a_second_classifier_that_no_longer_agrees_is_doubtful() -> None:
    real = np.r_[np.ones(45), np.zeros(5)]
    scores = score_rows(("real", 0, -1), "leaning_agreement", real)
    scores += score_rows(("a", 0, 1), "leaning_agreement", np.r_[np.ones(25), np.zeros(25)])
    scores += score_rows(("b", 0, 1), "leaning_agreement", np.r_[np.ones(43), np.zeros(7)])
    rows = classifier_shifts(make_tables(LABELS, scores)).filter(measure="agreement")
    assert rows["value"].to_list() == [0.5, 0.86]
    assert rows["shift"].to_list() == pytest.approx([-0.4, -0.04])
    assert rows["doubtful"].to_list() == [True, False]


def test_bias_and_quality_that_drift_apart_correlate(random: np.random.Generator) -> None:
    found = outcomes(_run(random, {"a": 0.1}, articles=200))
    row = correlations(found, "right").row(0, named=True)
    share = found.cube("share:right", "a")[0].mean(axis=1)
    quality = found.cube("quality", "a")[0].mean(axis=1)
    assert row["levels"] == pytest.approx(stats.pearsonr(share, quality).statistic)
    steps = stats.pearsonr(np.diff(share), np.diff(quality)).statistic
    assert row["steps"] == pytest.approx(steps)
    assert row["levels_low"] <= row["levels"] <= row["levels_high"] <= 0
