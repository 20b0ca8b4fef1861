from __future__ import annotations

import numpy as np
import pytest

from biasloop.analysis import paired_mean
from biasloop.analysis.bootstrap import NORMAL_95, joined_interval


def test_a_symmetric_interval_is_widened_to_that_of_crossed_articles_and_seeds(
    random: np.random.Generator,
) -> None:
    values = random.normal(size=(4, 60)) + random.normal(size=(4, 1))
    expected = paired_mean(values)
    # What a bootstrap's variance is: that between articles over their number, not one less.
    half = NORMAL_95 * np.sqrt(values.mean(axis=0).var(ddof=0) / 60)
    mean = values.mean()
    found = joined_interval(values.mean(axis=1), mean - half, mean + half, 60)
    assert found == pytest.approx(expected.interval(), rel=1e-12)


def test_few_sources_widen_one_chain_s_interval_to_that_of_t(
    random: np.random.Generator,
) -> None:
    values = random.normal(size=7)
    half = NORMAL_95 * np.sqrt(values.var(ddof=0) / 7)
    mean = values.mean()
    found = joined_interval(np.array([mean]), mean - half, mean + half, 7)
    assert found == pytest.approx(paired_mean(values).interval(), rel=1e-12)
    assert np.isnan(joined_interval(np.array([2.0]), 1.0, 4.0, 1)).all()


def test_skewness_is_kept_and_like_chains_change_nothing() -> None:
    assert joined_interval(np.array([2.0]), 1.0, 4.0) == pytest.approx((1.0, 4.0), rel=1e-5)
    alike = joined_interval(np.array([2.0, 2.0, 2.0]), 1.0, 4.0, 30)
    assert alike == pytest.approx(joined_interval(np.array([2.0]), 1.0, 4.0, 30), rel=1e-5)
    low, high = joined_interval(np.array([1.5, 2.0, 2.5]), 1.0, 4.0, 30)
    assert (high - 2.0) / (2.0 - low) == pytest.approx(2.0)
    assert low < 1.0


def test_without_a_spread_of_articles_the_seeds_alone_are_held_against_t() -> None:
    low, high = joined_interval(np.array([1.0, 3.0]), 2.0, 2.0, 30)
    assert (low, high) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-3)
    assert np.isnan(joined_interval(np.array([1.0, 2.0]), np.nan, np.nan)).all()
