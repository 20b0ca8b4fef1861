"""The Beta fit against SciPy, against direct optimisation, and on degenerate input."""

import numpy as np
import pytest
from closed_forms import fit_beta
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from scipy.special import betaln, digamma

from biasloop.errors import InputError
from biasloop.theory.families import Beta, beta_from_statistics

SHAPES = [
    (0.05, 2.0),
    (0.05, 0.5),
    (0.3, 0.7),
    (1.0, 1.0),
    (3.0, 2.0),
    (40.0, 3.0),
    (3000.0, 2000.0),
]


def direct(x, w, a, b):
    """Maximise the weighted log-likelihood in (log a, log b), from the true parameters."""
    s1, s2 = np.average(np.log(x), weights=w), np.average(np.log1p(-x), weights=w)

    def value(t):
        p, q = np.exp(t)
        return -((p - 1) * s1 + (q - 1) * s2 - betaln(p, q))

    def gradient(t):
        p, q = np.exp(t)
        return -np.array([p, q]) * (np.array([s1, s2]) - digamma([p, q]) + digamma(p + q))

    found = optimize.minimize(value, np.log([a, b]), jac=gradient, method="BFGS", tol=1e-14)
    polished = optimize.root(gradient, found.x, tol=1e-14)
    assert value(polished.x) <= value(found.x) + 1e-10
    return np.exp(polished.x)


def draws(a, b, n=2000):
    x = np.exp(Beta().draw(np.array([a, b]), n, np.random.default_rng(7))[0])
    return x[(x > 0) & (x < 1)]


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_equals_scipy(a, b):
    x = draws(a, b)
    expected = stats.beta.fit(x, a, b, floc=0, fscale=1)[:2]
    np.testing.assert_allclose(fit_beta(x), expected, rtol=1e-6)


@pytest.mark.parametrize(("a", "b"), SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_direct_optimisation(a, b, weighted):
    x = draws(a, b)
    w = stats.expon.rvs(size=x.size, random_state=3) if weighted else np.ones_like(x)
    np.testing.assert_allclose(fit_beta(x, w if weighted else None), direct(x, w, a, b), rtol=1e-6)


def test_beats_every_neighbour_under_the_paper_objective():
    x = draws(2.0, 2.0)
    w = stats.beta.pdf(x, 3, 2)
    a, b = fit_beta(x, w)

    def loss(a, b):
        return -np.sum(w * np.log(stats.beta.pdf(x, a, b)))

    for da, db in [(1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3), (1e-3, 1e-3)]:
        assert loss(a, b) < loss(a * (1 + da), b * (1 + db))


@given(st.floats(-1.3, 3.5).map(lambda e: 10**e), st.floats(-1.3, 3.5).map(lambda e: 10**e))
def test_inverts_the_mean_logarithms(a, b):
    fit = beta_from_statistics(digamma([[a, b]]) - digamma(a + b))
    np.testing.assert_allclose(fit[0], (a, b), rtol=1e-7)


def test_rows_are_fitted_by_themselves():
    statistics = np.array([[-0.6, -1.1], [-3.0, -0.2], [-0.7, -0.75]])
    together = beta_from_statistics(statistics)
    for row, own in zip(statistics, together, strict=True):
        np.testing.assert_allclose(beta_from_statistics(row[None])[0], own, rtol=1e-12)


@pytest.mark.parametrize("points", [[0.3], [0.3, 0.3 + 1e-16], [0.5, 0.5 + 1e-9]])
def test_points_that_cannot_be_told_apart(points):
    with pytest.raises(InputError, match="cannot be told"):
        fit_beta(points)


def test_impossible_statistics():
    with pytest.raises(InputError, match="no Beta"):
        beta_from_statistics(np.array([[-0.1, -0.1]]))
    with pytest.raises(InputError, match="not finite"):
        beta_from_statistics(np.array([[-np.inf, -0.1]]))
