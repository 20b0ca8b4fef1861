from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from biasloop.analysis.trends import linear_trend, mann_kendall, paired_kendall


def _clustered(values: np.ndarray, generations: np.ndarray, by: str):
    place = np.indices(values.shape)
    kept = ~np.isnan(values)
    x = sm.add_constant(generations[place[1]][kept].astype(float))
    groups = place[{"article": 2, "chain": 0}[by]][kept]
    return sm.OLS(values[kept], x).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)


@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_one_chain_is_statsmodels(random: np.random.Generator, holes: float) -> None:
    generations = np.array([0, 1, 2, 4, 5])
    values = random.normal(size=(5, 30)) + 2 * random.normal(size=30)
    values[random.random(values.shape) < holes] = np.nan
    found, expected = (
        linear_trend(values, generations),
        _clustered(values[None], generations, "article"),
    )
    assert found.value == pytest.approx(expected.params[1], rel=1e-10)
    assert found.error == pytest.approx(expected.bse[1], rel=1e-10)
    assert found.pvalue == pytest.approx(expected.pvalues[1], rel=1e-8)
    assert found.interval() == pytest.approx(tuple(expected.conf_int()[1]), rel=1e-8)


def test_several_chains_add_both_clusterings(random: np.random.Generator) -> None:
    generations = np.arange(6)
    values = random.normal(size=(4, 6, 20)) + random.normal(size=(4, 1, 1)) * generations[:, None]
    found = linear_trend(values, generations)
    both = [_clustered(values, generations, by).bse[1] ** 2 for by in ("article", "chain")]
    assert found.error**2 == pytest.approx(sum(both), rel=1e-10)
    assert found.freedom < 4


@given(hnp.arrays(float, st.integers(3, 9), elements=st.integers(-3, 3).map(float)))
def test_mann_kendall_by_brute_force(series: np.ndarray) -> None:
    found = mann_kendall(series)
    brute = sum(np.sign(b - a) for a, b in combinations(series, 2))
    assert found.statistic == brute
    if len(set(series)) > 1:
        expected = stats.kendalltau(np.arange(len(series)), series)
        assert (found.tau, found.pvalue) == pytest.approx((expected.statistic, expected.pvalue))
    else:
        assert found.pvalue == 1


@given(
    hnp.arrays(
        float,
        st.tuples(st.integers(2, 6), st.integers(2, 8)),
        elements=st.one_of(st.just(np.nan), st.integers(0, 3).map(float)),
    )
)
def test_paired_kendall_by_brute_force(values: np.ndarray) -> None:
    scores = []
    for column in values.T:
        kept = column[~np.isnan(column)]
        pairs = [np.sign(b - a) for a, b in combinations(kept, 2)]
        if pairs:
            scores.append(np.mean(pairs))
    found = paired_kendall(values)
    if len(scores) < 2:
        assert found is None
        return
    assert found.value == pytest.approx(np.mean(scores), abs=1e-12)
    assert found.error == pytest.approx(np.std(scores, ddof=1) / np.sqrt(len(scores)), abs=1e-12)


def test_what_cannot_be_tested_is_none() -> None:
    assert linear_trend(np.ones((1, 5)), np.array([0])) is None
    assert linear_trend(np.ones((4, 1)), np.arange(4)) is None
    assert mann_kendall(np.array([1.0, 2.0, np.nan])) is None
    flat = linear_trend(np.ones((4, 5)), np.arange(4))
    assert (flat.value, flat.pvalue) == (0, 1)


@pytest.mark.parametrize("walk", [False, True])
def test_the_level_is_kept_however_articles_hang_together(
    random: np.random.Generator, walk: bool
) -> None:
    seen = np.zeros(2)
    for _ in range(400):
        noise = random.normal(size=(6, 40))
        values = noise.cumsum(axis=0) if walk else noise + 3 * random.normal(size=40)
        trend = linear_trend(values, np.arange(6))
        seen += [trend.pvalue < 0.05, paired_kendall(values).pvalue < 0.05]
    # 5 % of 400, within what chance makes likely at one in a thousand.
    low, high = stats.binom.ppf([0.0005, 0.9995], 400, 0.05)
    assert np.all((low <= seen) & (seen <= high)), seen
