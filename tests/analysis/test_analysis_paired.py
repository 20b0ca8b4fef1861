from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from biasloop.analysis import holm, hotelling, paired_mean, tost
from biasloop.errors import InputError


def test_one_chain_is_the_paired_t_test(random: np.random.Generator) -> None:
    values = random.normal(0.3, 1, 40)
    found = paired_mean(values)
    expected = stats.ttest_1samp(values, 0)
    assert found.pvalue == pytest.approx(expected.pvalue, rel=1e-10)
    assert found.interval() == pytest.approx(tuple(expected.confidence_interval()), rel=1e-10)


def test_few_changed_labels_are_tested_exactly(random: np.random.Generator) -> None:
    before, after = random.random((2, 50)) < [[0.6], [0.75]]
    found = paired_mean(after.astype(float) - before)
    table = [
        [np.sum(before & after), np.sum(before & ~after)],
        [np.sum(~before & after), np.sum(~before & ~after)],
    ]
    assert found.pvalue == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert paired_mean(np.zeros(10)).pvalue == 1


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


def test_hotelling_in_one_dimension_is_t_and_turns_with_the_axes(
    random: np.random.Generator,
) -> None:
    values = random.normal(0.2, 1, (30, 1))
    assert hotelling(values) == pytest.approx(stats.ttest_1samp(values[:, 0], 0).pvalue)
    pair = random.normal(0.2, 1, (30, 2))
    turn = np.array([[2.0, 1.0], [0.5, 3.0]])
    assert hotelling(pair) == pytest.approx(hotelling(pair @ turn))
    assert hotelling(np.column_stack([pair[:, 0], pair[:, 0]])) is None
