"""Closed-form moments, projections and measures against quadrature, SciPy and samples."""

import numpy as np
import pytest
from scipy import integrate, stats

from biasloop.errors import InputError
from biasloop.theory import FAMILIES, get_family
from biasloop.theory.families import Beta

CONTINUOUS = {
    "beta": ((2.5, 4.0), (3.0, 1.7), (0.0, 1.0), stats.beta),
    "normal": ((0.3, 0.8), (1.1, 2.0), (-12.0, 12.0), None),
    "normal-known-variance": ((0.3,), (1.1,), (-12.0, 12.0), None),
}
MEMBERS = {
    "beta": [(4.0, 3.0), (0.6, 2.0), (0.05, 0.4), (3000.0, 2000.0)],
    "normal": [(1.0, 4.0), (-3.0, 0.01)],
    "normal-known-variance": [(2.0,)],
    "categorical": [(0.2, 0.3, 0.5), (0.0, 1.0)],
}
EVERY = [(name, member) for name, members in MEMBERS.items() for member in members]


def test_every_family_is_tested():
    assert set(MEMBERS) == set(FAMILIES)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_weighted_moments_equal_quadrature(name):
    family = get_family(name)
    p, q, bounds, _ = CONTINUOUS[name]
    p, q = np.array(p), np.array(q)

    def expect(function):
        def product(x):
            at = np.array([x])
            return family.density(p, at)[0] * family.density(q, at)[0] * function(x)

        return integrate.quad(product, *bounds, epsabs=1e-13)[0]

    mass = expect(lambda x: 1.0)
    mean = expect(lambda x: x) / mass
    expected = {
        "beta": lambda: [expect(np.log) / mass, expect(lambda x: np.log1p(-x)) / mass],
        "normal": lambda: [mean, expect(lambda x: (x - mean) ** 2) / mass],
        "normal-known-variance": lambda: [mean],
    }[name]()
    moments = family.density_moments(p[None], q[None])
    np.testing.assert_allclose(moments.log_mass[0], np.log(mass), rtol=1e-9)
    np.testing.assert_allclose(moments.statistics[0], expected, rtol=1e-8)


@pytest.mark.parametrize(("name", "member"), EVERY)
def test_fit_inverts_moments(name, member):
    family = get_family(name)
    parameters = family.check(member)[None]
    np.testing.assert_allclose(
        family.fit(family.density_moments(parameters, None).statistics), parameters, rtol=1e-8
    )


@pytest.mark.parametrize(("name", "member"), [e for e in EVERY if e[1] != (0.05, 0.4)])
def test_samples_have_the_population_moments(name, member):
    family = get_family(name)
    parameters = family.check(member)
    previous = family.check(family.pretrained if len(member) < 3 else member)
    if len(previous) != len(parameters):
        previous = np.array([0.4, 0.6])
    if name == "beta" and member[0] > 1000:
        previous = np.array([30.0, 20.0])
    sample = family.draw(parameters, 400_000, np.random.default_rng(5))
    for weights in (None, previous):
        log_mass, statistics = family.sample_moments(sample, weights)
        exact = family.density_moments(parameters[None], None if weights is None else weights[None])
        np.testing.assert_allclose(log_mass, exact.log_mass[0], atol=0.02)
        np.testing.assert_allclose(statistics, exact.statistics[0], rtol=0.02, atol=0.01)


def test_beta_draws_below_one_do_not_underflow():
    logs = Beta().draw(np.array([0.01, 0.02]), 100_000, np.random.default_rng(0))
    assert np.isfinite(logs).all()
    assert (np.exp(logs) == 0).any()  # x itself does: logarithms are needed
    exact = Beta().density_moments(np.array([[0.01, 0.02]]), None).statistics[0]
    np.testing.assert_allclose(logs.mean(axis=1), exact, rtol=0.02)


@pytest.mark.parametrize(("a", "b"), [(4.0, 3.0), (0.6, 2.0), (7.0, 7.0), (500.0, 20.0)])
def test_beta_measures_equal_scipy(a, b):
    family, member = Beta(), np.array([[a, b]])
    exact = stats.beta(a, b)
    np.testing.assert_allclose(family.mean(member), exact.mean())
    np.testing.assert_allclose(family.variance(member), exact.var())
    np.testing.assert_allclose(family.entropy(member), exact.entropy(), rtol=1e-8)
    x = np.array([0.2, 0.7])
    np.testing.assert_allclose(family.density(member[0], x), exact.pdf(x), rtol=1e-9)
    real = stats.beta(2, 2)
    shift = exact.mean() - 0.5
    tail = exact.cdf(real.ppf(0.05) + shift) + exact.sf(real.ppf(0.95) + shift)
    np.testing.assert_allclose(family.tail(member, np.array([2.0, 2.0])), tail / 0.1, rtol=1e-8)


def test_normal_and_categorical_measures_equal_scipy():
    normal, member = get_family("normal"), np.array([[5.0, 0.25]])
    np.testing.assert_allclose(normal.entropy(member), stats.norm(5, 0.5).entropy())
    tail = 2 * stats.norm(0, 0.5).cdf(stats.norm.ppf(0.05)) / 0.1
    np.testing.assert_allclose(normal.tail(member, np.array([0.0, 1.0])), tail)
    shares = np.array([[0.2, 0.3, 0.5]])
    leanings = get_family("categorical")
    np.testing.assert_allclose(leanings.entropy(shares), stats.entropy(shares[0]))
    np.testing.assert_allclose(leanings.mean(shares), 0.65)
    np.testing.assert_allclose(
        leanings.variance(shares), 0.2 * 0.65**2 + 0.3 * 0.15**2 + 0.5 * 0.35**2
    )
    np.testing.assert_allclose(leanings.tail(shares, np.array([0.4, 0.4, 0.2])), 1.0)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_real_distribution_keeps_its_tail_and_a_shift_loses_none(name):
    family = get_family(name)
    real = family.check(family.real)
    np.testing.assert_allclose(family.tail(real[None], real), 1.0, rtol=1e-12)
    if name.startswith("normal"):
        moved = real.copy()
        moved[0] += 3.0
        np.testing.assert_allclose(family.tail(moved[None], real), 1.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "mode"),
    [
        (4, 3, 0.6),
        (1, 3, 0.0),
        (3, 1, 1.0),
        (0.5, 2, 0.0),
        (2, 0.5, 1.0),
        (0.5, 0.5, None),
        (1, 1, None),
        (0.5, 1, 0.0),
    ],
)
def test_beta_mode(a, b, mode):
    found = Beta().mode(np.array([[a, b]], dtype=float))[0]
    assert np.isnan(found) if mode is None else found == pytest.approx(mode)


@pytest.mark.parametrize(("name", "member"), EVERY[:-1])
def test_gradient_of_the_mean_is_its_derivative(name, member):
    family = get_family(name)
    parameters = family.check(member)[None]
    natural = family.natural(parameters)
    back = {
        "beta": lambda n: n + 1.0,
        "normal": lambda n: np.stack([-n[:, 0] / n[:, 1] / 2, -0.5 / n[:, 1]], axis=1),
        "normal-known-variance": lambda n: n,
        "categorical": family.unfree,
    }[name]
    np.testing.assert_allclose(back(natural), parameters, rtol=1e-12)
    for index in range(natural.shape[1]):
        step = np.zeros_like(natural)
        step[0, index] = 1e-5 * abs(natural[0, index] or 1.0)
        slope = (family.mean(back(natural + step)) - family.mean(back(natural - step))) / (
            2 * step[0, index]
        )
        np.testing.assert_allclose(
            family.mean_gradient(parameters)[:, index], slope, rtol=1e-4, atol=1e-7
        )


@pytest.mark.parametrize(("name", "member"), EVERY[:-1])
def test_free_coordinates_go_there_and_back(name, member):
    family = get_family(name)
    parameters = family.check(member)[None]
    np.testing.assert_allclose(family.unfree(family.free(parameters)), parameters, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("beta", (0.0, 1.0)),
        ("beta", (1.0,)),
        ("beta", (1.0, np.nan)),
        ("normal", (0.0, -1.0)),
        ("normal", (np.inf, 1.0)),
        ("normal-known-variance", (0.0, 1.0)),
        ("categorical", (0.5, 0.6)),
        ("categorical", (1.0,)),
        ("categorical", (-0.5, 1.5)),
        ("categorical", (np.nan, 1.0)),
    ],
)
def test_wrong_parameters(name, member):
    with pytest.raises(InputError, match=r"takes|sum to"):
        get_family(name).check(member)


def test_unknown_family_names_the_near_one():
    with pytest.raises(InputError, match="did you mean 'normal'"):
        get_family("norml")
