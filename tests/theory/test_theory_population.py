"""Exact paths: the published closed form, and the map against brute-force integration."""

from itertools import pairwise

import numpy as np
import pytest
from closed_forms import beta_bias_direction, beta_wmle_path, mle_chain, wmle_chain
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from biasloop.errors import InputError
from biasloop.theory import (
    get_family,
    population_map,
    update_projection,
)
from biasloop.theory.families import beta_from_statistics

WEIGHTS = ["density", "one"]


def test_published_closed_form():
    path = wmle_chain(samples=np.inf).parameters[:, 0]
    g = np.arange(11)
    exact = np.stack([1 + 3 * 2.0**g, 1 + 2 * 2.0**g], axis=1)
    np.testing.assert_allclose(path, exact, rtol=1e-9)
    np.testing.assert_allclose(beta_wmle_path((3, 2), (2, 2), 11), exact, rtol=1e-12)


@pytest.mark.parametrize("family", ["beta", "normal", "normal-known-variance", "categorical"])
@pytest.mark.parametrize("regime", ["synthetic", "preservation", "accumulation"])
def test_mle_never_leaves_the_real_data(family, regime):
    chain = mle_chain(family=family, regime=regime, samples=None, generations=30)
    np.testing.assert_allclose(
        chain.parameters[:, 0], np.tile(get_family(family).real, (30, 1)), atol=1e-9
    )


@pytest.mark.parametrize("real_weight", WEIGHTS)
@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.9])
def test_map_minimises_the_divergence_from_the_mixture(real_weight, fraction):
    """Brute force: integrate the weighted mixture, fit it by its mean logarithms."""
    previous, real = stats.beta(4, 3), stats.beta(2, 2)

    def weighted(x):
        if real_weight == "density":
            return previous.pdf(x) * ((1 - fraction) * previous.pdf(x) + fraction * real.pdf(x))
        scale = integrate.quad(lambda y: previous.pdf(y) ** 2, 0, 1)[0]
        return (1 - fraction) * previous.pdf(x) ** 2 / scale + fraction * real.pdf(x)

    mass, first, second = (
        integrate.quad(lambda x, f=f: weighted(x) * f(x), 0, 1, epsabs=1e-12)[0]
        for f in (lambda x: 1.0, np.log, lambda x: np.log1p(-x))
    )
    expected = beta_from_statistics(np.array([[first, second]]) / mass)[0]
    found = population_map(
        (4, 3), (2, 2), regime="preservation", real_fraction=fraction, real_weight=real_weight
    )
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize("real_weight", WEIGHTS)
def test_normal_map_has_the_mixture_mean_and_variance(real_weight):
    F, (m, v), (m0, v0) = 0.3, (1.5, 0.4), (0.0, 1.0)
    grid = np.linspace(-15, 15, 200_001)
    p, q = stats.norm.pdf(grid, m, v**0.5), stats.norm.pdf(grid, m0, v0**0.5)
    square = p * p / (p * p).sum()
    target = (
        p * ((1 - F) * p + F * q)
        if real_weight == "density"
        else (1 - F) * square + F * q / q.sum()
    )
    target = target / target.sum()
    mean = target @ grid
    found = population_map(
        (m, v),
        (m0, v0),
        family="normal",
        regime="preservation",
        real_fraction=F,
        real_weight=real_weight,
    )
    np.testing.assert_allclose(found, [mean, target @ (grid - mean) ** 2], rtol=1e-8)


def test_categorical_map_is_the_replicator_equation():
    p, q, F = np.array([0.5, 0.2, 0.3]), np.array([0.2, 0.2, 0.6]), 0.25
    by_density = p * ((1 - F) * p + F * q)
    options = {"family": "categorical", "regime": "preservation", "real_fraction": F}
    np.testing.assert_allclose(population_map(p, q, **options), by_density / by_density.sum())
    np.testing.assert_allclose(
        population_map(p, q, real_weight="one", **options),
        (1 - F) * p**2 / (p**2).sum() + F * q,
    )


@pytest.mark.parametrize("family", ["beta", "normal", "normal-known-variance", "categorical"])
@pytest.mark.parametrize("real_weight", WEIGHTS)
@pytest.mark.parametrize(
    ("regime", "fraction"), [("preservation", 0.2), ("accumulation", 0.0), ("accumulation", 0.4)]
)
def test_path_is_the_map_again_and_again(family, real_weight, regime, fraction):
    options = {
        "family": family,
        "regime": regime,
        "real_fraction": fraction,
        "real_weight": real_weight,
    }
    path = wmle_chain(samples=None, generations=5, **options).parameters[:, 0]
    for g in range(1, 5):
        earlier = path[: g - 1] if regime == "accumulation" else ()
        np.testing.assert_allclose(
            population_map(path[g - 1], earlier=earlier, **options), path[g], rtol=1e-9
        )


@given(st.floats(1.0, 20.0), st.floats(1.0, 20.0), st.floats(1.0, 20.0), st.floats(1.0, 20.0))
def test_direction_of_bias_in_the_synthetic_regime(a, b, c, d):
    path = beta_wmle_path((a, b), (c, d), 6)
    mean = path[:, 0] / path.sum(axis=1)
    direction = beta_bias_direction((a, b), (c, d))
    if abs((a + c) - (b + d)) > 1e-6:
        assert (np.sign(np.diff(mean)) == direction).all()
        for before, after in pairwise(path):
            assert np.sign(update_projection(before, after)) == direction


@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6))
def test_weights_move_the_mean_by_a_covariance(raw):
    """One weighted generation changes the mean by Cov(x, w) / E w (the Price equation)."""
    p = np.array(raw) / np.sum(raw)
    family = get_family("categorical")
    x = np.linspace(0, 1, p.size)
    covariance = p @ (x * p) - (p @ x) * (p @ p)
    after = family.product(p[None], p[None])
    np.testing.assert_allclose(
        family.mean(after)[0] - p @ x, covariance / (p @ p), rtol=1e-9, atol=1e-12
    )


def test_existing_bias_is_not_needed_where_the_real_data_are_skewed():
    """A base without any preference: bias grows all the same, towards the real data's mode."""
    path = wmle_chain((1, 1), (3, 2), samples=None).parameters[:, 0]
    mean = path[:, 0] / path.sum(axis=1)
    assert mean[0] == pytest.approx(0.6)
    assert (np.diff(mean) > 0).all()


def test_normal_keeps_its_bias_and_halves_its_variance():
    path = wmle_chain((1, 1), (0, 1), family="normal", samples=None).parameters[:, 0]
    np.testing.assert_allclose(path[:, 0], 0.5)
    np.testing.assert_allclose(path[:, 1], 0.5 ** np.arange(1, 12))


def test_projection_and_change_may_disagree_with_three_leanings():
    p = np.array([0.07, 0.60, 0.33])
    family = get_family("categorical")
    after = family.product(p[None], p[None])
    assert update_projection(p, after[0], "categorical") > 0.02
    assert family.mean(after)[0] - family.mean(p[None])[0] < -0.02


def test_small_step_changes_the_mean_by_the_projection():
    before, after = (0.3, 0.3, 0.4), (0.30001, 0.29997, 0.40002)
    family = get_family("categorical")
    change = family.mean(np.array([after]))[0] - family.mean(np.array([before]))[0]
    assert update_projection(before, after, "categorical") == pytest.approx(change, rel=1e-3)


def test_no_fit_beyond_the_edge():
    with pytest.raises(InputError, match="no fit exists"):
        wmle_chain((0.9, 2), (0.9, 2), samples=None)
    with pytest.raises(InputError, match="no leaning has a share"):
        wmle_chain((0, 1), (1, 0), family="categorical", samples=None)


def test_map_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="does not look"):
        population_map((4, 3), (2, 2), earlier=[(4, 3)])
    with pytest.raises(InputError, match="parameters, but"):
        population_map((0.5, 0.5), family="categorical")


def test_map_works_on_many_rows_at_once():
    rows = np.array([[4.0, 3.0], [7.0, 5.0]])
    options = {"regime": "preservation", "real_fraction": 0.2}
    together = population_map(rows, (2, 2), **options)
    for row, result in zip(rows, together, strict=True):
        np.testing.assert_allclose(population_map(row, (2, 2), **options), result, rtol=1e-12)


def accumulation_rate():
    """Root of r = sum_m c_m / (1 + r^m) / sum_m c_m, c_m = (r^m / (1 + r^m))^(1/2)."""
    powers = np.arange(4000)

    def residual(r):
        q = r**powers
        c = np.sqrt(q / (1 + q))
        return (c / (1 + q)).sum() / c.sum() - r

    return optimize.brentq(residual, 0.3, 0.99)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9])
def test_weighted_accumulation_collapses_geometrically(fraction):
    variance = wmle_chain(
        (0, 1),
        (0, 1),
        family="normal",
        samples=None,
        generations=200,
        regime="accumulation",
        real_fraction=fraction,
    ).parameters[:, 0, 1]
    assert accumulation_rate() == pytest.approx(0.78790, abs=1e-5)
    assert variance[-1] / variance[-2] == pytest.approx(accumulation_rate(), abs=2e-4)


def test_accumulation_with_unweighted_real_data_collapses_like_one_over_g():
    R = (
        integrate.quad(lambda u: (1 + 1 / u) ** -0.5 / (1 + u), 0, 1)[0]
        / integrate.quad(lambda u: (1 + 1 / u) ** -0.5, 0, 1)[0]
    )
    g = 400
    variance = wmle_chain(
        (0, 1),
        (0, 1),
        family="normal",
        samples=None,
        generations=g + 1,
        regime="accumulation",
        real_weight="one",
    ).parameters[-1, 0, 1]
    assert variance * g == pytest.approx(1 / (1 - R), rel=0.02)
