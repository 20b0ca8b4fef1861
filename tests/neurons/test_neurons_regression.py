"""The vectorised regression against statsmodels, one neuron at a time, and scipy."""

import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats import sandwich_covariance as sandwich

from biasloop.errors import InputError
from biasloop.neurons.regression import hac_regression

KINDS = ("walk", "trend", "noise")


def series(kind, neurons, versions, random):
    if kind == "walk":
        return random.normal(size=(neurons, versions)).cumsum(axis=1)
    if kind == "trend":
        slopes = random.normal(size=(neurons, 1))
        return slopes * np.arange(versions) + 0.1 * random.normal(size=(neurons, versions))
    return random.normal(size=(neurons, versions))


def fit(x, y, groups=None):
    dummies = [np.ones(len(y))] if groups is None else groups == np.unique(groups)[:, None]
    design = [*dummies, x] if groups is None else [x, *dummies]
    return sm.OLS(y, np.column_stack(design).astype(float)), 1 if groups is None else 0


def same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-300)


def check(result, i, fitted, at, covariance=None):
    error = fitted.bse[at] if covariance is None else np.sqrt(covariance[at, at])
    same(result.coef[i], fitted.params[at])
    same(result.stderr[i], error)
    same(result.pvalue[i], 2 * stats.norm.sf(abs(fitted.params[at] / error)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("versions", [3, 4, 11, 66, 500])
@pytest.mark.parametrize("maxlags", [0, 1, 4, 10])
def test_hac_equals_statsmodels(kind, versions, maxlags):
    random = np.random.default_rng([versions, maxlags, KINDS.index(kind)])
    x, y = series(kind, 6, versions, random), series("walk", 1, versions, random)[0]
    for correction in (False, True):
        result = hac_regression(x, y, maxlags, small_sample=correction)
        for i, row in enumerate(x):
            model, at = fit(row, y)
            fitted = model.fit(
                cov_type="HAC", cov_kwds={"maxlags": maxlags, "use_correction": correction}
            )
            check(result, i, fitted, at)
            same(result.pvalue[i], fitted.pvalues[at])


@given(
    versions=st.integers(3, 60),
    maxlags=st.integers(0, 10),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_hac_equals_statsmodels_whatever_the_scale(versions, maxlags, scale, seed):
    random = np.random.default_rng(seed)
    x, y = scale * series("walk", 1, versions, random), series("trend", 1, versions, random)[0]
    model, at = fit(x[0], y)
    fitted = model.fit(cov_type="HAC", cov_kwds={"maxlags": maxlags, "use_correction": False})
    result = hac_regression(x, y, maxlags)
    np.testing.assert_allclose(result.coef[0], fitted.params[at], rtol=1e-7)
    # With three versions residuals can be as small as the solver's own rounding.
    floor = 1e-9 * abs(y).max() / abs(x).max()
    np.testing.assert_allclose(result.stderr[0], fitted.bse[at], rtol=1e-7, atol=floor)


@pytest.mark.parametrize("kind", KINDS)
def test_correlation_equals_scipy(kind):
    random = np.random.default_rng(2)
    x, y = series(kind, 8, 66, random), series("walk", 1, 66, random)[0]
    same(hac_regression(x, y).pearson, [stats.pearsonr(row, y).statistic for row in x])


def panel(random, chains=(11, 7, 15), neurons=5):
    groups = np.repeat(np.arange(len(chains)), chains)
    time = np.concatenate([np.arange(n) for n in chains])
    x = np.concatenate([series("walk", neurons, n, random) for n in chains], axis=1)
    y = np.concatenate([series("walk", 1, n, random)[0] for n in chains])
    return x, y, groups, time


@pytest.mark.parametrize("fixed_effects", [False, True])
@pytest.mark.parametrize("maxlags", [0, 1, 3, 10])
def test_chains_equal_statsmodels_panel_covariances(fixed_effects, maxlags):
    random = np.random.default_rng(maxlags)
    x, y, groups, time = panel(random)
    ends = np.cumsum(np.bincount(groups))
    spans = list(zip([0, *ends[:-1]], ends, strict=True))
    for correction in (False, True):
        named = "hac" if correction else False
        results = {
            name: hac_regression(
                x, y, maxlags, groups, time=time, covariance=name,
                fixed_effects=fixed_effects, small_sample=correction,
            )
            for name in ("hac", "hac-groupsum", "cluster")
        }  # fmt: skip
        for i, row in enumerate(x):
            model, at = fit(row, y, groups if fixed_effects else None)
            fitted = model.fit()
            check(
                results["hac"],
                i,
                fitted,
                at,
                sandwich.cov_nw_panel(fitted, maxlags, spans, use_correction=named),
            )
            check(
                results["hac-groupsum"],
                i,
                fitted,
                at,
                sandwich.cov_nw_groupsum(fitted, maxlags, time, use_correction=named),
            )
            check(
                results["cluster"],
                i,
                fitted,
                at,
                sandwich.cov_cluster(fitted, groups, use_correction=correction),
            )


def test_the_order_of_versions_does_not_matter_where_chain_and_time_are_given():
    random = np.random.default_rng(8)
    x, y, groups, time = panel(random)
    mixed = random.permutation(len(y))
    for name in ("hac", "hac-groupsum", "cluster"):
        plain = hac_regression(x, y, 2, groups, time=time, covariance=name)
        shuffled = hac_regression(
            x[:, mixed], y[mixed], 2, groups[mixed], time=time[mixed], covariance=name
        )
        np.testing.assert_allclose(shuffled.stderr, plain.stderr, rtol=1e-10)


def test_differences_are_within_chains():
    random = np.random.default_rng(9)
    x, y, groups, time = panel(random)
    starts = np.flatnonzero(np.diff(groups)) + 1
    changes = [np.concatenate([np.diff(p) for p in np.split(row, starts)]) for row in (*x, y)]
    kept = np.concatenate([np.arange(n)[1:] * 0 + g for g, n in enumerate(np.bincount(groups))])
    ours = hac_regression(x, y, 1, groups, time=time, differences=True)
    by_hand = hac_regression(np.array(changes[:-1]), changes[-1], 1, kept)
    np.testing.assert_allclose(ours.stderr, by_hand.stderr, rtol=1e-12)
    assert ours.observations == len(y) - 3


def test_t_distribution_of_clusters_has_one_degree_less_than_chains():
    x, y, groups, _ = panel(np.random.default_rng(3))
    result = hac_regression(
        x, y, 0, groups, covariance="cluster", small_sample=True, distribution="t"
    )
    model, at = fit(x[0], y)
    fitted = model.fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    same(result.pvalue[0], fitted.pvalues[at])


@pytest.mark.parametrize("value", [0.0, 0.1, 1e8, -3e-9])
def test_a_neuron_that_stands_still_has_no_regression(value):
    x = np.stack([np.full(20, value), np.arange(20.0)])
    y = np.random.default_rng(1).normal(size=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = hac_regression(x, y)
    for array in (result.coef, result.stderr, result.pvalue, result.pearson):
        assert np.isnan(array[0])
        assert np.isfinite(array[1])


@pytest.mark.parametrize("versions", [3, 66, 500, 5000])
def test_a_constant_is_one_however_long(versions):
    random = np.random.default_rng(versions)
    values = random.normal(size=100) * 10.0 ** random.integers(-9, 9, 100)
    x = np.repeat(values[:, None], versions, axis=1)
    groups = np.arange(versions) % 2 if versions > 3 else None
    for fixed_effects in (False, groups is not None):
        result = hac_regression(
            x, series("walk", 1, versions, random)[0], 1, groups, fixed_effects=fixed_effects
        )
        assert np.isnan(result.coef).all()
        assert np.isnan(result.pvalue).all()


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_scale_changes_the_slope_and_nothing_else(scale):
    random = np.random.default_rng(6)
    x, y = series("walk", 4, 30, random), series("walk", 1, 30, random)[0]
    plain, scaled = hac_regression(x, y), hac_regression(x * scale, y)
    np.testing.assert_allclose(scaled.coef * scale, plain.coef, rtol=1e-10)
    np.testing.assert_allclose(scaled.stderr * scale, plain.stderr, rtol=1e-10)
    np.testing.assert_allclose(scaled.pearson, plain.pearson, rtol=1e-10)


@pytest.mark.parametrize("ordered", [True, False])
def test_what_is_given_is_left_as_it_is(ordered):
    random = np.random.default_rng(7)
    x, y, groups, time = panel(random)
    if not ordered:
        time = time[::-1].copy()
        groups = groups[::-1].copy()
    kept = x.copy(), y.copy()
    hac_regression(x, y, 1, groups, time=time, fixed_effects=True)
    hac_regression(np.asfortranarray(x), y)
    hac_regression(x, y)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(y, kept[1])


def test_a_trend_has_no_differences_to_regress_on():
    x = 0.1 * np.arange(20.0)[None, :]
    y = np.random.default_rng(1).normal(size=20)
    assert np.isnan(hac_regression(x, y, differences=True).coef[0])


def test_a_metric_that_stands_still_has_slope_0_and_no_pvalue():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = hac_regression(np.random.default_rng(1).normal(size=(3, 20)), np.full(20, 0.1))
    assert result.coef.tolist() == [0.0] * 3
    assert np.isnan(result.pvalue).all()
    assert np.isnan(result.pearson).all()


def test_a_perfect_line():
    result = hac_regression(np.arange(6.0)[None, :], 2 * np.arange(6.0))
    assert result.coef[0] == pytest.approx(2)
    assert result.pvalue[0] == 0


def test_many_neurons_equal_few():
    random = np.random.default_rng(4)
    x, y = series("walk", 20_000, 66, random), series("walk", 1, 66, random)[0]
    whole = hac_regression(x, y)
    some = hac_regression(x[15_000:15_010], y)
    np.testing.assert_allclose(whole.stderr[15_000:15_010], some.stderr, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros(5)}, "must be"),
        ({"y": np.zeros(4)}, "must be"),
        ({"y": np.array([0, 1, np.nan, 2, 3])}, "version 2 is not a number"),
        ({"x": np.array([[0.0] * 5, [1, 2, np.inf, 3, 4]])}, "neuron 1 "),
        ({"y": np.array([1.0, 2, 1e200, 3, 4])}, r"y: reaches 1e\+200"),
        ({"x": np.array([[0.0] * 5, [1, 2, 1e200, 3, 4]])}, "neuron 1 .* too large"),
        ({"covariance": "hacc"}, "did you mean 'hac'"),
        ({"covariance": "cluster"}, "needs groups"),
        ({"fixed_effects": True}, "needs groups"),
        ({"groups": list("aabb")}, "as many"),
        ({"groups": list("aabbc"), "differences": True}, "chain 'c'"),
        ({"groups": list("aaabb"), "time": [0, 1, 1, 0, 1]}, "same time"),
        ({"groups": list("abcde"), "fixed_effects": True}, "needs more than 5"),
        ({"maxlags": -1}, "negative"),
        ({"distribution": "cauchy"}, "normal, t"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    given = {"x": np.arange(10.0).reshape(2, 5), "y": np.arange(5.0)} | change
    with pytest.raises(InputError, match=message):
        hac_regression(**given)
