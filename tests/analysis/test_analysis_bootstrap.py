from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from biasloop.analysis.bootstrap import article_weights, percentile_interval, weighted_means


def test_weights_count_draws_with_replacement(random: np.random.Generator) -> None:
    weights = article_weights(np.arange(12), 4000, random)
    assert (weights.sum(axis=1) == 12).all()
    assert (weights == weights.round()).all()
    # A count is Binomial(12, 1/12): mean 1, variance 11/12.
    assert weights.mean(axis=0) == pytest.approx(np.ones(12), abs=0.08)
    assert weights.var(axis=0) == pytest.approx(np.full(12, 11 / 12), abs=0.12)


def test_articles_of_one_source_are_drawn_together(random: np.random.Generator) -> None:
    weights = article_weights(np.array([3, 1, 3, 0, 1]), 50, random)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert article_weights(np.array([], dtype=int), 3, random).shape == (3, 0)


@given(
    arrays.arrays(
        float,
        st.tuples(st.integers(1, 4), st.integers(1, 7)),
        elements=st.one_of(st.floats(-1e6, 1e6), st.just(np.nan)),
    ),
    st.integers(0, 1000),
)
def test_weighted_means_equal_means_of_repeated_articles(values: np.ndarray, seed: int) -> None:
    weights = article_weights(np.arange(values.shape[1]), 20, np.random.default_rng(seed))
    means = weighted_means(values, weights)
    for resample, counts in enumerate(weights.astype(int)):
        for row in range(len(values)):
            drawn = np.repeat(values[row], counts)
            drawn = drawn[~np.isnan(drawn)]
            if len(drawn):
                assert means[resample, row] == pytest.approx(drawn.mean(), rel=1e-9, abs=1e-6)
            else:
                assert np.isnan(means[resample, row])


@given(
    arrays.arrays(
        float,
        st.tuples(st.integers(1, 40), st.integers(1, 4)),
        elements=st.one_of(st.floats(-5, 5), st.just(np.nan)),
    )
)
def test_percentile_interval_leaves_holes_out(draws: np.ndarray) -> None:
    low, high = percentile_interval(draws)
    for column in range(draws.shape[1]):
        numbers = draws[:, column][~np.isnan(draws[:, column])]
        if len(numbers):
            assert low[column] == pytest.approx(np.percentile(numbers, 2.5))
            assert high[column] == pytest.approx(np.percentile(numbers, 97.5))
        else:
            assert np.isnan(low[column])
            assert np.isnan(high[column])


def test_interval_of_a_mean_covers_it(random: np.random.Generator) -> None:
    trials, articles, resamples = 600, 80, 600
    samples = random.gamma(2.0, 1.5, size=(trials, articles))
    weights = article_weights(np.arange(articles), resamples, random)
    low, high = percentile_interval(weighted_means(samples, weights))
    covered = ((low <= 3.0) & (high >= 3.0)).sum()
    # The percentile interval of a skewed mean covers a little less than 95 %.
    assert stats.binomtest(int(covered), trials, 0.94).pvalue > 1e-3
    assert covered / trials > 0.9
