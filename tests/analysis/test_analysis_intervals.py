from __future__ import annotations

import numpy as np
import pytest
from analysis_tables import leaning_rows, make_tables
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from statsmodels.stats.proportion import proportion_confint

from biasloop.analysis import paired_shares, summarise, wilson


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_statsmodels(given_counts: tuple[int, int]) -> None:
    hits, n = given_counts
    expected = proportion_confint(hits, n, method="wilson")
    np.testing.assert_allclose(wilson(hits, n), np.clip(expected, 0, 1), atol=1e-12)


def test_newcombe_is_the_paper_s() -> None:
    # Newcombe 1998 (Statistics in Medicine 17:2635), table III, method 10: a=36, b=12, c=2, d=0.
    before = np.repeat([1.0, 0.0, 1.0, 0.0], [36, 2, 12, 0])
    after = np.repeat([1.0, 1.0, 0.0, 0.0], [36, 2, 12, 0])
    value, low, high = paired_shares(after, before)
    assert value == pytest.approx(0.2)
    assert (low, high) == pytest.approx((0.0569, 0.3404), abs=1e-4)


@given(
    hnp.arrays(float, st.tuples(st.just(2), st.integers(2, 60)), elements=st.sampled_from([0, 1]))
)
def test_newcombe_holds_the_change_has_a_width_and_turns_round(labels: np.ndarray) -> None:
    value, low, high = paired_shares(*labels)
    assert value == pytest.approx(labels[1].mean() - labels[0].mean())
    assert -1 <= low <= value <= high <= 1
    assert high > low
    back = paired_shares(*labels[::-1])
    assert back == pytest.approx((-value, -high, -low))


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
    assert (fell["low"], fell["high"]) == pytest.approx(paired_shares(first, last)[1:])
