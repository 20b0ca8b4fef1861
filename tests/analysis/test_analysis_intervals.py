from __future__ import annotations

import numpy as np
import pytest
from analysis_tables import leaning_rows, make_tables, score_rows
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from statsmodels.stats.proportion import proportion_confint

from biasloop.analysis import judge, paired_mean, summarise, tables_evidence, wilson
from biasloop.config import ReportConfig


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_statsmodels(given_counts: tuple[int, int]) -> None:
    hits, n = given_counts
    expected = proportion_confint(hits, n, method="wilson")
    np.testing.assert_allclose(wilson(hits, n), np.clip(expected, 0, 1), atol=1e-12)


@given(
    hnp.arrays(float, st.tuples(st.just(2), st.integers(2, 60)), elements=st.sampled_from([0, 1]))
)
def test_a_change_of_shares_has_a_width_and_turns_round(labels: np.ndarray) -> None:
    moved = paired_mean(labels[1] - labels[0], shares=True)
    assert moved.value == pytest.approx(labels[1].mean() - labels[0].mean())
    low, high = moved.interval()
    assert low < moved.value < high
    back = paired_mean(labels[0] - labels[1], shares=True)
    assert back.interval() == pytest.approx((-high, -low))


def test_a_share_of_none_or_all_has_an_interval_with_a_width(get) -> None:
    def one_hot(hits: list[int]) -> np.ndarray:
        return np.eye(2)[np.array(hits)]

    tables = make_tables(
        leanings=[
            *leaning_rows(("synthetic", 0, 0), one_hot([1] * 30), ("left", "right")),
            *leaning_rows(("synthetic", 0, 1), one_hot([1] * 30), ("left", "right")),
            *leaning_rows(("synthetic", 0, 2), one_hot([1] * 20 + [0] * 10), ("left", "right")),
        ]
    )
    summary = summarise(tables, resamples=200)
    whole = get(summary, "share:right", "synthetic", 1)
    assert (whole["low"], whole["high"]) == pytest.approx(
        proportion_confint(30, 30, method="wilson")
    )
    none = get(summary, "share:left", "synthetic", 0)
    assert none["low"] == 0
    assert none["high"] == pytest.approx(1 - whole["low"])
    still = get(summary, "change:right", "synthetic", 1)
    assert still["low"] < 0 < still["high"]
    fell = get(summary, "change:right", "synthetic", 2)
    first, last = np.ones(30), np.array([1.0] * 20 + [0.0] * 10)
    expected = paired_mean(last - first, shares=True).interval()
    assert (fell["low"], fell["high"]) == pytest.approx(expected)


def _all_right(chains: int, generations: int = 3, articles: int = 12) -> list[tuple]:
    """Two regimes and the real articles, each article of each read as right."""
    sure = np.tile([0.0, 1.0], (articles, 1))
    keys = [(r, s, g) for r in "ab" for s in range(chains) for g in range(generations)]
    return [
        row
        for key in [("real", 0, -1), *keys]
        for row in leaning_rows(key, sure, ("left", "right"))
    ]


@pytest.mark.parametrize("chains", [1, 3])
def test_no_test_of_shares_at_the_edge_claims_certainty(get, chains: int) -> None:
    tables = make_tables(leanings=_all_right(chains))
    settings = ReportConfig(bootstrap=200, equivalence_margin=0.05)
    counts = np.array([[40.0, 10.0], [8.0, 42.0]])
    held_out = {"articles": {"labels": ["left", "right"], "confusion": counts.tolist()}}
    cards = [{"metric": "leaning", "held_out": held_out}]
    found = tables_evidence(tables, "right", ["a", "b"], settings, 0, cards)
    for row in found.contrasts.iter_rows(named=True):
        assert row["low"] < row["value"] < row["high"], row
    for name in ("read", "adjusted", "likelihood"):
        widths = found.adjusted[f"{name}_high"] - found.adjusted[f"{name}_low"]
        assert widths.min() > 0.01, name
    change = found.adjusted.drop_nulls("change")
    assert (change["change_high"] - change["change_low"]).min() > 0.01
    assert found.trends["low"].null_count() == found.trends.height > 0
    assert (found.comparisons["low"] < 0).all()
    assert (found.comparisons["high"] > 0).all()
    # Twelve articles that all stay cannot show that a share was held within 5 points.
    for verdict in judge(tables, "right", ["a", "b"], settings, cards):
        assert verdict.bias == "not shown"
        assert {held.answer for held in verdict.held.values()} == {"not shown"}
        assert all(held.low < 0 < held.high for held in verdict.held.values())
    summary = summarise(tables, resamples=200)
    for quantity in ("share:right", "change:left", "distance:tv"):
        row = get(summary, quantity, "a", 2)
        assert row["low"] <= row["value"] <= row["high"], quantity
        assert row["high"] - row["low"] > 0.01, quantity


@pytest.mark.parametrize(("chains", "answer"), [(1, "not in this chain"), (3, "no")])
def test_enough_articles_that_all_stay_are_held(chains: int, answer: str) -> None:
    tables = make_tables(leanings=_all_right(chains, 2, 400))
    (verdict,) = judge(tables, "right", ["a"], ReportConfig(bootstrap=100))
    assert (verdict.bias, verdict.amplified) == ("held", answer)


def test_a_share_of_outside_articles_of_none_has_a_width(get) -> None:
    scores = score_rows(("a", 0, 0), "outside_domain", np.zeros(20))
    row = get(summarise(make_tables(scores=scores), 100), "outside_domain", "a", 0)
    assert (row["value"], row["low"]) == (0, 0)
    assert row["high"] == pytest.approx(proportion_confint(0, 20, method="wilson")[1])
