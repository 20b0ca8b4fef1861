from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from analysis_tables import leaning_rows, make_tables, score_rows
from scipy import stats

from biasloop import seeds
from biasloop.analysis import article_weights, paired_mean, summarise
from biasloop.analysis.bootstrap import joined_interval
from biasloop.analysis.inference import debiased_distance
from biasloop.analysis.summary import SUMMARY
from biasloop.errors import InputError

LABELS = ("left", "center", "right")


def _probabilities(random: np.random.Generator, articles: int, size: int = 3) -> np.ndarray:
    return random.dirichlet(np.ones(size), articles)


def _world(random: np.random.Generator, articles: int = 40, chain_seeds: tuple[int, ...] = (3,)):
    """Two regimes and the real articles, as tables and as arrays."""
    keys = [("real", 0, -1)] + [
        (regime, seed, generation)
        for regime in ("synthetic", "accumulation")
        for seed in chain_seeds
        for generation in range(3)
    ]
    arrays = {key: _probabilities(random, articles) for key in keys}
    quality = {key: random.normal(2, 0.5, articles) for key in keys}
    tables = make_tables(
        LABELS,
        scores=[row for key in keys for row in score_rows(key, "quality", quality[key])],
        leanings=[row for key in keys for row in leaning_rows(key, arrays[key], LABELS)],
    )
    return tables, arrays, quality


def test_intervals_equal_a_plain_loop_with_the_same_resamples(
    random: np.random.Generator, get: Callable
) -> None:
    tables, arrays, quality = _world(random)
    resamples, seed = 150, 5
    summary = summarise(tables, resamples, seed)
    weights = article_weights(
        np.arange(40), resamples, seeds.generator(seed, "bootstrap", "articles")
    )
    key, start = ("synthetic", 3, 2), ("synthetic", 3, 0)
    draws: dict[str, list[float]] = {"share": [], "probability": [], "quality": []}
    for counts in weights.astype(int):
        chosen = np.repeat(np.arange(40), counts)
        draws["share"].append((arrays[key][chosen].argmax(axis=1) == 2).mean())
        draws["probability"].append(arrays[key][chosen][:, 2].mean())
        draws["quality"].append(quality[key][chosen].mean())
    names = {"share": "share:right", "probability": "probability:right", "quality": "quality"}
    for name, quantity in names.items():
        row = get(summary, quantity, "synthetic", 2)
        low, high = np.percentile(draws[name], [2.5, 97.5])
        expected = joined_interval(np.array([row["value"]]), low, high, 40)
        assert (row["low"], row["high"]) == pytest.approx(expected, abs=1e-9), quantity
        assert row["n"] == 40
        assert row["low"] <= row["high"]
    moved = {
        "change:right": (arrays[key].argmax(axis=1) == 2) * 1.0
        - (arrays[start].argmax(axis=1) == 2),
        "quality_change": quality[key] - quality[start],
    }
    for quantity, values in moved.items():
        row = get(summary, quantity, "synthetic", 2)
        found = paired_mean(values, shares=quantity.startswith("change"))
        assert (row["low"], row["high"]) == pytest.approx(found.interval()), quantity
        assert (row["value"], row["n"]) == (pytest.approx(values.mean()), 40)


def test_pooled_rows_equal_a_plain_loop_over_articles_widened_by_seeds(
    random: np.random.Generator, get: Callable
) -> None:
    chain_seeds = (0, 4, 9)
    tables, arrays, _ = _world(random, 25, chain_seeds)
    resamples, seed = 120, 1
    summary = summarise(tables, resamples, seed)
    weights = article_weights(
        np.arange(25), resamples, seeds.generator(seed, "bootstrap", "articles")
    )
    shares = []
    for counts in weights.astype(int):
        chosen = np.repeat(np.arange(25), counts)
        own = [
            (arrays[("accumulation", s, 1)][chosen].argmax(axis=1) == 0).mean() for s in chain_seeds
        ]
        shares.append(np.mean(own))
    row = get(summary, "share:left", "accumulation", 1)
    own_rows = [get(summary, "share:left", "accumulation", 1, s)["value"] for s in chain_seeds]
    low, high = np.percentile(shares, [2.5, 97.5])
    expected = np.clip(joined_interval(np.array(own_rows), low, high, 25), 0, 1)
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected), abs=1e-9)
    assert row["low"] < low
    assert row["value"] == pytest.approx(np.mean(own_rows))
    assert (row["n"], row["chains"]) == (75, 3)


def test_a_distance_is_pooled_over_chains_and_widened_by_seeds(
    random: np.random.Generator, get: Callable
) -> None:
    tables, arrays, _ = _world(random, 60, (0, 4, 9))
    summary = summarise(tables, 100, 1)
    row = get(summary, "distance:tv", "accumulation", 1)
    own = [get(summary, "distance:tv", "accumulation", 1, s) for s in (0, 4, 9)]
    there = np.eye(3)[arrays[("real", 0, -1)].argmax(axis=1)]
    for chain, found in zip((0, 4, 9), own, strict=True):
        here = np.eye(3)[arrays[("accumulation", chain, 1)].argmax(axis=1)]
        covariance = np.cov((here - there).T) / 60
        expected = debiased_distance((here - there).mean(axis=0), covariance, 59, 2 / 62**2)
        assert (found["value"], found["low"], found["high"]) == pytest.approx(expected)
    assert row["value"] == pytest.approx(np.mean([found["value"] for found in own]))
    assert row["high"] - row["low"] >= np.mean([f["high"] - f["low"] for f in own]) - 1e-12


def test_the_interval_of_a_share_is_near_the_binomial_one(
    random: np.random.Generator, get: Callable
) -> None:
    hits = random.random(400) < 0.3
    probabilities = np.where(hits[:, None], [[0.2, 0.8]], [[0.9, 0.1]])
    tables = make_tables(leanings=leaning_rows(("s", 0, 0), probabilities, ("left", "right")))
    row = get(summarise(tables, 4000, 0), "share:right", "s", 0)
    exact = stats.binom(400, hits.mean()).ppf([0.025, 0.975]) / 400
    assert row["value"] == pytest.approx(hits.mean())
    assert (row["low"], row["high"]) == pytest.approx(tuple(exact), abs=0.006)


def test_pairing_makes_the_change_of_like_articles_certain(
    random: np.random.Generator, get: Callable
) -> None:
    """Where no article changes, the interval knows it; unpaired ones would not."""
    before = _probabilities(random, 200, 2)
    tables = make_tables(
        leanings=leaning_rows(("s", 0, 0), before, ("left", "right"))
        + leaning_rows(("s", 0, 1), before, ("left", "right"))
    )
    row = get(summarise(tables, 300, 0), "change:right", "s", 1)
    assert row["value"] == 0
    # As wide as one article of 200 that rose and one that fell would make it.
    assert row["high"] == -row["low"] == pytest.approx(1.97 * np.sqrt(2) / 202, rel=0.01)


def test_more_chains_that_disagree_widen_the_pooled_interval(
    random: np.random.Generator, get: Callable
) -> None:
    rows = []
    for seed, mean in ((0, 1.0), (1, 2.0), (2, 3.0)):
        rows += score_rows(("s", seed, 0), "quality", random.normal(mean, 0.1, 100))
    summary = summarise(make_tables(scores=rows), 1000, 0)
    pooled, alone = get(summary, "quality", "s", 0), get(summary, "quality", "s", 0, 1)
    assert pooled["high"] - pooled["low"] > 20 * (alone["high"] - alone["low"])


@pytest.mark.parametrize("metric", ["outside_domain", "distinct_2", "quality"])
def test_no_interval_leaves_what_a_quantity_can_be(metric: str, get: Callable) -> None:
    """Of three chains one has a few of 40 articles: the seeds' t interval reaches below 0."""
    scores = [
        row
        for seed, few in enumerate((0, 1, 6))
        for row in score_rows(("s", seed, 1), metric, (np.arange(40) < few).astype(float))
    ]
    pooled = get(summarise(make_tables(scores=scores), 200), metric, "s", 1)
    assert pooled["low"] == 0.0
    assert pooled["value"] > 0


def test_nulls_are_left_out_and_counted(get: Callable) -> None:
    values = np.array([1.0, np.nan, 3.0, 8.0])
    summary = summarise(make_tables(scores=score_rows(("s", 0, 0), "perplexity", values)), 200, 0)
    row = get(summary, "perplexity", "s", 0)
    assert (row["value"], row["n"]) == (4.0, 3)
    assert get(summary, "perplexity:geometric", "s", 0)["value"] == pytest.approx(24 ** (1 / 3))


def test_one_article_gives_no_interval(get: Callable) -> None:
    summary = summarise(make_tables(scores=score_rows(("s", 0, 0), "quality", np.array([2.0]))))
    row = get(summary, "quality", "s", 0)
    assert (row["value"], row["low"], row["high"]) == (2.0, None, None)


def test_held_out_articles_are_resampled_apart(random: np.random.Generator, get: Callable) -> None:
    own = score_rows(("s", 0, 0), "perplexity", random.gamma(2, 2, 30))
    held = score_rows(("s", 0, 0), "holdout_perplexity", random.gamma(2, 2, 10), "h")
    both = summarise(make_tables(scores=own + held), 300, 2)
    alone = summarise(make_tables(scores=own), 300, 2)
    assert get(both, "perplexity", "s", 0) == get(alone, "perplexity", "s", 0)
    assert get(both, "holdout_perplexity", "s", 0)["n"] == 10


def test_set_scores_keep_their_own_interval_and_pool(get: Callable) -> None:
    one = make_tables(sets=[("s", 0, 0, "vocabulary", 100.0, 90.0, 110.0)])
    row = get(summarise(one, 100, 0), "vocabulary", "s", 0)
    assert (row["value"], row["low"], row["high"]) == (100, 90, 110)
    two = make_tables(
        sets=[
            ("s", 0, 0, "vocabulary", 100.0, 90.0, 110.0),
            ("s", 1, 0, "vocabulary", 140.0, 130.0, 150.0),
        ]
    )
    row = get(summarise(two, 100, 0), "vocabulary", "s", 0)
    by_article, by_chain = (10 / stats.norm.ppf(0.975)) ** 2, 800 / 2
    freedom = (by_article + by_chain) ** 2 / by_chain**2  # of the articles' part there are many
    half = stats.t.ppf(0.975, freedom) * np.sqrt(by_article + by_chain)
    assert (row["value"], row["low"]) == (120, pytest.approx(120 - half, rel=1e-4))


def test_ties_go_to_the_label_that_comes_first(get: Callable) -> None:
    tables = make_tables(
        leanings=leaning_rows(("s", 0, 0), np.full((4, 2), 0.5), ("left", "right"))
    )
    assert get(summarise(tables, 100, 0), "share:left", "s", 0)["value"] == 1.0


def test_equal_input_gives_equal_output_and_another_seed_another(
    random: np.random.Generator,
) -> None:
    tables, _, _ = _world(random)
    first, again, other = (summarise(tables, 200, seed) for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)
    shuffled = make_tables(
        LABELS,
        tables.scores.sample(fraction=1, shuffle=True, seed=3).rows(),
        tables.leaning_scores.sample(fraction=1, shuffle=True, seed=4).rows(),
    )
    assert first.equals(summarise(shuffled, 200, 0))


def test_empty_tables_give_an_empty_summary() -> None:
    summary = summarise(make_tables(), 100, 0)
    assert summary.schema == SUMMARY
    assert summary.height == 0


def test_a_chain_without_generation_0_has_no_change(random: np.random.Generator) -> None:
    tables = make_tables(
        leanings=leaning_rows(("s", 0, 2), _probabilities(random, 9, 2), ("left", "right"))
    )
    found = summarise(tables, 100, 0)["quantity"].unique()
    assert "share:right" in found
    assert "change:right" not in found
    assert "distance:tv" not in found


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("s", 0, 0, "a", "left", 0.5)] * 2 + [("s", 0, 0, "a", "right", 0.5)], "stands twice"),
        ([("s", 0, 0, "a", "up", 0.5)], "'up' is not in the label set"),
        ([("s", 0, 0, "a", "left", 0.5)], "no probability for 'right'"),
    ],
)
def test_tables_that_contradict_themselves_are_refused(rows: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        summarise(make_tables(leanings=rows), 100, 0)


def test_an_infinite_score_is_refused() -> None:
    rows = [("s", 0, 1, "a7", "perplexity", float("inf"))]
    with pytest.raises(InputError, match=r"'a7' has an infinite value .* generation 1"):
        summarise(make_tables(scores=rows), 100, 0)


def test_withheld_figures_are_never_numbers(random: np.random.Generator, get: Callable) -> None:
    articles = 20
    p = {g: _probabilities(random, articles, 2) for g in range(2)}
    outside = {0: np.zeros(articles), 1: np.r_[np.ones(11), np.zeros(9)]}
    repetition = {0: np.full(articles, 0.01), 1: np.r_[np.full(11, 0.8), np.full(9, 0.01)]}
    scores, leanings = [], []
    for g in range(2):
        scores += score_rows(("s", 0, g), "outside_domain", outside[g])
        scores += score_rows(("s", 0, g), "domain_repetition", repetition[g])
        scores += score_rows(("s", 0, g), "quality", np.full(articles, 2.0))
        leanings += leaning_rows(("s", 0, g), p[g], ("left", "right"))
    tables = make_tables(
        scores=scores,
        leanings=leanings,
        domain={"repetition": {"low": None, "high": 0.12}},
        outside_share=0.5,
    )
    summary = summarise(tables, 100, 0)
    for quantity in ("share:right", "change:right", "probability:left"):
        row = get(summary, quantity, "s", 1)
        assert row["withheld"]
        assert (row["value"], row["low"], row["high"]) == (None, None, None)
        assert "55 %" in row["reason"]
        assert "repetition 55 %" in row["reason"]
    assert not get(summary, "share:right", "s", 0)["withheld"]
    assert get(summary, "quality", "s", 1)["value"] == 2.0
    assert get(summary, "outside_domain", "s", 1)["value"] == pytest.approx(0.55)
    bounds = summary.filter(pl.col("withheld"))["value"].null_count()
    assert bounds == summary.filter(pl.col("withheld")).height


def test_a_change_from_a_withheld_generation_0_is_withheld(
    random: np.random.Generator, get: Callable
) -> None:
    scores = score_rows(("s", 0, 0), "outside_domain", np.ones(5))
    scores += score_rows(("s", 0, 1), "outside_domain", np.zeros(5))
    leanings = [
        row
        for g in range(2)
        for row in leaning_rows(("s", 0, g), _probabilities(random, 5, 2), ("left", "right"))
    ]
    summary = summarise(make_tables(scores=scores, leanings=leanings, outside_share=0.25), 100, 0)
    row = get(summary, "change:right", "s", 1)
    assert row["withheld"]
    assert row["reason"].startswith("Generation 0:")
    assert get(summary, "share:right", "s", 1)["value"] is not None


def test_a_pool_with_one_withheld_chain_is_withheld(
    random: np.random.Generator, get: Callable
) -> None:
    scores, leanings = [], []
    for seed in (0, 1, 2):
        outside = np.full(8, float(seed == 1))
        scores += score_rows(("s", seed, 0), "outside_domain", outside)
        leanings += leaning_rows(("s", seed, 0), _probabilities(random, 8, 2), ("left", "right"))
    summary = summarise(make_tables(scores=scores, leanings=leanings, outside_share=0.5), 100, 0)
    row = get(summary, "share:left", "s", 0)
    assert row["withheld"]
    assert row["reason"].startswith("in 1 of 3 chains, as in seed 1: 100 %")
    assert get(summary, "share:left", "s", 0, 2)["value"] is not None
