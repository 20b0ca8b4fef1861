from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from statsmodels.genmod.generalized_estimating_equations import GEE
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from biasloop.analysis.inference import chain_figure, holm, paired_mean, tost
from biasloop.errors import InputError


def test_one_chain_is_the_paired_t_test(random: np.random.Generator) -> None:
    values = random.normal(0.3, 1, 40)
    found = paired_mean(values)
    expected = stats.ttest_1samp(values, 0)
    assert found.pvalue == pytest.approx(expected.pvalue, rel=1e-10)
    assert found.interval() == pytest.approx(tuple(expected.confidence_interval()), rel=1e-10)


def test_shares_have_the_width_of_one_that_rose_and_one_that_fell(
    random: np.random.Generator,
) -> None:
    """Bonett and Price 2012: two articles more, one of each."""
    before, after = (random.random((2, 50)) < [[0.6], [0.75]]).astype(float)
    moved = after - before
    found = paired_mean(moved, shares=True)
    more = np.append(moved, (1, -1))
    assert found.value == pytest.approx(moved.mean())
    assert found.error == pytest.approx(more.std() / np.sqrt(52), rel=0.06)
    assert found.error > moved.std(ddof=1) / np.sqrt(50)
    still = paired_mean(np.zeros(10), shares=True)
    assert still.pvalue == 1
    assert still.interval()[1] > 0.1


def test_sources_of_equal_size_are_the_t_test_of_their_means(random: np.random.Generator) -> None:
    values = random.normal(size=(8, 5)) + random.normal(size=(8, 1))
    found = paired_mean(values.ravel(), np.repeat(np.arange(8), 5))
    expected = stats.ttest_1samp(values.mean(axis=1), 0)
    assert found.pvalue == pytest.approx(expected.pvalue, rel=1e-10)
    assert found.interval() == pytest.approx(tuple(expected.confidence_interval()), rel=1e-10)
    assert (found.articles, found.sources) == (40, 8)
    assert paired_mean(values.ravel(), np.zeros(40)) is None


def test_sources_of_unequal_size_are_the_jackknife(random: np.random.Generator) -> None:
    sizes = np.array([1, 2, 3, 5, 9])
    sources = np.repeat(np.arange(5), sizes)
    values = random.normal(size=20) + random.normal(size=5)[sources]
    found = paired_mean(values, sources)
    without = np.array([values[sources != s].mean() for s in range(5)])
    assert found.error**2 == pytest.approx(4 / 5 * ((without - without.mean()) ** 2).sum())
    assert found.value == pytest.approx(5 * values.mean() - 4 * without.mean())
    assert found.freedom == 4


@pytest.mark.parametrize("sources", [3, 12])
def test_few_sources_are_statsmodels_bias_reduced_covariance(
    random: np.random.Generator, sources: int
) -> None:
    """Mancl and DeRouen 2001, which is CV3 but for the factor (G - 1) / G.

    Ours is centred on the mean of the values without one source each, theirs on the estimate.
    """
    own = np.repeat(np.arange(sources), random.integers(1, 40, sources))
    values = random.normal(size=len(own)) + random.normal(size=sources)[own]
    found = paired_mean(values, own)
    fitted = GEE(values, np.ones_like(values), own).fit(cov_type="bias_reduced")
    moved = found.value - values.mean()
    theirs = float(fitted.cov_params()[0, 0]) * (sources - 1) / sources
    assert found.error**2 + moved**2 / (sources - 1) == pytest.approx(theirs, rel=1e-8)
    assert moved**2 / (sources - 1) < 0.1 * theirs


def test_a_figure_of_two_sets_is_the_paired_mean_and_a_square_is_debiased(
    random: np.random.Generator,
) -> None:
    sets = random.normal(size=(3, 2, 25)) + random.normal(size=(3, 1, 1))
    both = chain_figure(sets, lambda means: means[..., 1] - means[..., 0])
    pairs = paired_mean(sets[:, 1] - sets[:, 0])
    assert (both.value, both.error) == pytest.approx((pairs.value, pairs.error))
    squares = [
        chain_figure(random.normal(0.3, 1, (1, 1, 10)), lambda means: means[..., 0] ** 2).value
        for _ in range(4000)
    ]
    # The plain square is too large by the variance of the mean, a tenth.
    assert np.mean(squares) == pytest.approx(0.09, abs=0.015)


def test_a_set_s_mean_is_over_what_it_has(random: np.random.Generator) -> None:
    sets = random.normal(size=(1, 2, 12))
    sets[0, 1, 3:6] = np.nan
    found = chain_figure(sets, lambda means: means[..., 1] - means[..., 0])
    plain = np.nanmean(sets[0, 1]) - sets[0, 0].mean()
    assert found.value == pytest.approx(plain, abs=0.01)
    sets[0, 1, 1:] = np.nan
    assert chain_figure(sets, lambda means: means[..., 1]) is None


def test_several_chains_add_the_variance_between_them(random: np.random.Generator) -> None:
    values = random.normal(size=(4, 30)) + 2 * random.normal(size=(4, 1))
    found = paired_mean(values)
    by_article = values.mean(axis=0).var(ddof=1) / 30
    by_chain = values.mean(axis=1).var(ddof=1) / 4
    assert found.error**2 == pytest.approx(by_article + by_chain)
    freedom = (by_article + by_chain) ** 2 / (by_article**2 / 29 + by_chain**2 / 3)
    assert found.freedom == pytest.approx(freedom)
    assert 3 <= found.freedom < 5  # the chains rule


def test_articles_that_lack_a_value_are_left_out(random: np.random.Generator) -> None:
    values = random.normal(size=(2, 12))
    holes = values.copy()
    holes[1, 3] = np.nan
    assert paired_mean(holes) == paired_mean(np.delete(values, 3, axis=1))
    assert paired_mean(np.array([1.0, np.nan])) is None


@given(hnp.arrays(float, st.integers(0, 30), elements=st.floats(0, 1)))
def test_holm_is_its_definition(pvalues: np.ndarray) -> None:
    expected = np.empty(len(pvalues))
    highest = 0.0
    for passed, place in enumerate(sorted(range(len(pvalues)), key=lambda i: pvalues[i])):
        highest = max(highest, (len(pvalues) - passed) * pvalues[place])
        expected[place] = min(highest, 1.0)
    np.testing.assert_allclose(holm(pvalues), expected, atol=1e-14)
    with_hole = holm(np.append(pvalues, np.nan))
    assert np.isnan(with_hole[-1])
    np.testing.assert_array_equal(with_hole[:-1], holm(pvalues))


def test_holm_is_statsmodels(random: np.random.Generator) -> None:
    """A few families only: statsmodels collects garbage in every call, which takes its time."""
    for pvalues in (random.random(30) ** 4, np.array([0.01, 0.01, 0.0, 1.0, 0.5]), np.array([0.2])):
        expected = multipletests(pvalues, method="holm")[1]
        np.testing.assert_allclose(holm(pvalues), expected, atol=1e-14)


@pytest.mark.parametrize("mean", [0.0, 0.1, -0.25])
def test_equivalence_is_statsmodels(random: np.random.Generator, mean: float) -> None:
    values = random.normal(mean, 1, 200)
    found = tost(paired_mean(values), 0.2)
    assert found.pvalue == pytest.approx(ttost_paired(values, np.zeros(200), -0.2, 0.2)[0])
    assert (found.answer == "yes") == (found.low > -0.2 and found.high < 0.2)


def test_equivalence_needs_a_margin_and_tells_a_change_beyond_it(
    random: np.random.Generator,
) -> None:
    with pytest.raises(InputError, match="greater than 0"):
        tost(paired_mean(random.normal(size=9)), 0)
    assert tost(paired_mean(random.normal(1, 0.1, 50)), 0.2).answer == "no"
    assert tost(paired_mean(np.zeros(20)), 0.2).answer == "yes"
