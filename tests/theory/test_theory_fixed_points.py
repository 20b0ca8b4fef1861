"""Derived fixed points, their stability and the thresholds, against iteration and simulation."""

import numpy as np
import pytest
from closed_forms import leaning_thresholds, two_leanings_fixed_points, wmle_chain
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import polygamma

from biasloop.errors import InputError
from biasloop.theory import (
    balanced_threshold,
    bias_step,
    fixed_points,
    get_family,
    growth_threshold,
    measure,
    multipliers,
    population_map,
    two_leanings_threshold,
)

FRACTIONS = [0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9]


def iterate(start, real, generations, **options):
    for _ in range(generations):
        start = population_map(start, real, regime="preservation", **options)
    return start


@pytest.mark.parametrize("F", FRACTIONS)
def test_normal_with_unweighted_real_data(F):
    (point,) = fixed_points(family="normal", real=(2.0, 3.0), real_fraction=F, real_weight="one")
    expected = 2 * F / (1 + F) * 3.0
    np.testing.assert_allclose(point.parameters, (2.0, expected), rtol=1e-6)
    np.testing.assert_allclose(point.multipliers, (1 - F, (1 - F) / 2), rtol=1e-6)
    assert point.stable


@pytest.mark.parametrize("F", FRACTIONS)
def test_normal_with_weighted_real_data_has_no_fixed_point(F):
    assert fixed_points(family="normal", real_fraction=F) == []
    path = wmle_chain(
        family="normal", regime="preservation", real_fraction=F, samples=None, generations=60
    ).parameters[:, 0]
    assert (np.diff(path[:, 1]) < 0).all()
    assert (np.diff(path[:, 0]) <= 1e-15).all()
    assert path[-1, 0] > 0  # the bias is less, but not gone


@pytest.mark.parametrize("F", FRACTIONS)
def test_normal_of_known_variance(F):
    (weighted,) = fixed_points(family="normal-known-variance", real_fraction=F)
    np.testing.assert_allclose(weighted.parameters, 0.0, atol=1e-9)
    np.testing.assert_allclose(weighted.multipliers, 1 - F / 2, rtol=1e-6)
    d = 1.3
    pull = F * np.exp(-(d**2) / 4)
    np.testing.assert_allclose(
        iterate((d,), (0.0,), 1, family="normal-known-variance", real_fraction=F),
        d * (1 - F + pull / 2) / (1 - F + pull),
    )
    (one,) = fixed_points(family="normal-known-variance", real_fraction=F, real_weight="one")
    np.testing.assert_allclose(one.multipliers, 1 - F, rtol=1e-6)


@pytest.mark.parametrize("F", FRACTIONS)
@pytest.mark.parametrize("family", ["beta", "normal", "normal-known-variance", "categorical"])
def test_mle_returns_to_the_real_data_at_rate_one_minus_f(family, F):
    members = get_family(family)
    values = multipliers(members.real, real_fraction=F, family=family, estimator="mle")
    np.testing.assert_allclose(values, 1 - F, rtol=1e-6)


@pytest.mark.parametrize("F", FRACTIONS)
def test_beta_with_unweighted_real_data(F):
    """Symmetric point attracts; its multipliers are those of 2 (1-F) I(p)^-1 I(p^2)."""
    point = fixed_points(real_fraction=F, real_weight="one")[0]
    a, b = point.parameters
    assert point.stable
    assert a == pytest.approx(b, rel=1e-6)

    def information(a, b):
        return np.diag(polygamma(1, [a, b])) - polygamma(1, a + b)

    product = 2 * (1 - F) * np.linalg.solve(information(a, b), information(2 * a - 1, 2 * b - 1))
    np.testing.assert_allclose(
        point.multipliers, np.sort(np.abs(np.linalg.eigvals(product)))[::-1], rtol=1e-6
    )
    np.testing.assert_allclose(
        iterate((4, 3), (2, 2), 100 + int(40 / F), real_fraction=F, real_weight="one"),
        (a, b),
        rtol=1e-4,
    )


@pytest.mark.parametrize("F", [0.1, 0.3, 0.6, 0.9])
def test_simulation_settles_at_the_fixed_point(F):
    """Beta, 10,000 samples: the chain's later generations scatter about the derived point."""
    point = fixed_points(real_fraction=F, real_weight="one")[0]
    generations = 40 + int(8 / F)
    chain = wmle_chain(
        regime="preservation",
        real_fraction=F,
        real_weight="one",
        generations=generations,
        replicates=24,
    )
    late = measure(chain)
    beta = get_family("beta")
    exact = np.array([point.parameters])
    for name, value in (("mean", beta.mean(exact)), ("variance", beta.variance(exact))):
        final = late[name][-1]
        error = final.std(ddof=1) / np.sqrt(final.size)
        assert abs(final.mean() - value[0]) < 4 * error + 2e-3 * value[0]


def test_accumulation_goes_to_the_same_fixed_point_slowly():
    point = fixed_points(real_fraction=0.5, real_weight="one")[0]
    path = wmle_chain(
        regime="accumulation", real_fraction=0.5, real_weight="one", samples=None, generations=400
    ).parameters[:, 0]
    distance = np.abs(path - point.parameters).max(axis=1)
    assert distance[-1] < 0.02
    assert (np.diff(distance[20:]) < 0).all()


def test_beta_has_a_basin():
    """F = 0.1: past the saddle the chain runs away to an edge, where no fit exists."""
    saddle = next(
        point
        for point in fixed_points(real_fraction=0.1, real_weight="one")
        if not point.stable and point.parameters[1] > 2 * point.parameters[0]
    )
    assert saddle.multipliers[0] > 1 > saddle.multipliers[1]
    a, b = saddle.parameters
    options = {"real_fraction": 0.1, "real_weight": "one"}
    back = iterate((a * 1.02, b), (2, 2), 400, **options)
    assert back[0] == pytest.approx(back[1], rel=1e-3)
    with pytest.raises(InputError, match="no fit exists"):
        iterate((a * 0.98, b), (2, 2), 400, **options)


@pytest.mark.parametrize("F", [0.01, 0.2, 0.4, 0.49])
def test_two_balanced_leanings_below_the_threshold(F):
    low, middle, high = two_leanings_fixed_points(0.5, F)
    assert high == pytest.approx((0.5 + 0.5 * np.sqrt(1 - 2 * F), F / (1 - F)))
    assert low[0] == pytest.approx(1 - high[0])
    assert middle[1] == pytest.approx(2 * (1 - F))
    settled = iterate(
        (0.49, 0.51), (0.5, 0.5), 3000, family="categorical", real_fraction=F, real_weight="one"
    )
    np.testing.assert_allclose(settled[1], high[0], rtol=1e-6)


@pytest.mark.parametrize("F", [0.51, 0.7, 0.9])
def test_two_balanced_leanings_above_the_threshold(F):
    [(share, multiplier)] = two_leanings_fixed_points(0.5, F)
    assert share == pytest.approx(0.5)
    assert multiplier < 1


@settings(deadline=None, max_examples=40)
@given(st.floats(0.05, 0.95), st.floats(0.02, 0.95))
def test_two_leanings_roots_are_fixed_points(q, F):
    threshold = two_leanings_threshold(q)
    roots = two_leanings_fixed_points(q, F)
    if abs(F - threshold) > 1e-3:
        assert len(roots) == (3 if threshold > F else 1)
    for share, multiplier in roots:
        p = np.array([1 - share, share])
        options = {"family": "categorical", "real_fraction": F, "real_weight": "one"}
        np.testing.assert_allclose(iterate(p, (1 - q, q), 1, **options), p, atol=1e-7)
        if 1e-4 < share < 1 - 1e-4 and abs(F - threshold) > 1e-2:
            (slope,) = multipliers(p, (1 - q, q), **options)
            assert slope == pytest.approx(abs(multiplier), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("leanings", [2, 3, 5, 10])
def test_many_balanced_leanings(leanings):
    real = np.full(leanings, 1 / leanings)
    threshold = balanced_threshold(leanings)
    options = {"family": "categorical", "real_weight": "one"}
    for F, amplified in ((threshold - 0.005, True), (threshold + 0.005, False)):
        start = np.full(leanings, 0.02 / (leanings - 1))
        start[0] = 0.98
        end = iterate(start, real, 3000, real_fraction=F, **options)
        assert (end[0] > 1.05 / leanings) == amplified
    for F in (0.45, 0.55):
        assert (multipliers(real, real, real_fraction=F, **options)[0] < 1) == (F > 0.5)


@pytest.mark.parametrize("leaning", [0, 1])
def test_a_lost_leaning_comes_back_above_its_threshold(leaning):
    real = np.array([0.2, 0.3, 0.5])
    threshold = leaning_thresholds(real)[leaning]
    assert leaning_thresholds(real)[2] == 1.0
    for F, comes_back in ((threshold - 0.03, False), (threshold + 0.03, True)):
        start = np.full(3, 5e-5)
        start[leaning] = 1 - 1e-4
        end = iterate(start, real, 3000, family="categorical", real_fraction=F)
        assert end[2 if comes_back else leaning] > 0.999


def test_lost_leaning_in_simulation():
    real, F = (0.3, 0.7), 0.9
    assert leaning_thresholds(real)[0] < F
    chain = wmle_chain(
        (0.95, 0.05),
        real,
        family="categorical",
        regime="preservation",
        real_fraction=F,
        generations=60,
        replicates=20,
    )
    assert (chain.parameters[0, :, 0] > 0.8).all()
    assert (chain.parameters[-1, :, 1] > 0.99).all()


@pytest.mark.parametrize("real_weight", ["density", "one"])
def test_growth_threshold_is_where_simulated_bias_turns(real_weight):
    F = growth_threshold((4, 3), (2, 2), real_weight=real_weight)
    options = {"real_weight": real_weight}
    assert bias_step((4, 3), (2, 2), real_fraction=F - 0.02, **options) > 0
    assert bias_step((4, 3), (2, 2), real_fraction=F + 0.02, **options) < 0
    for shift, sign in ((-0.08, 1), (0.08, -1)):
        mean = measure(
            wmle_chain(
                regime="preservation",
                real_fraction=F + shift,
                generations=2,
                replicates=100,
                **options,
            )
        )["mean"]
        assert np.sign((mean[1] - mean[0]).mean()) == sign


def test_growth_threshold_where_there_is_none():
    assert growth_threshold((1.0, 0.5), (0.0, 1.0), family="normal") is None
    with pytest.raises(InputError, match="no bias"):
        growth_threshold((3, 3), (2, 2))


def test_thresholds_that_do_not_exist():
    with pytest.raises(InputError):
        two_leanings_threshold(0.0)
    with pytest.raises(InputError):
        balanced_threshold(1)
