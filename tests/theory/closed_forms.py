"""Closed forms of docs/theory.md that the package is held against, and a Beta fit to points."""

import numpy as np

from biasloop.theory import run, settings
from biasloop.theory.families import beta_from_statistics


def fit_beta(x, weights=None):
    """Fit (a, b) to points in (0, 1), weighted or not."""
    logs = np.log([x, 1 - np.asarray(x)])
    return beta_from_statistics(np.average(logs, axis=1, weights=weights)[None])[0]


def beta_wmle_path(pretrained, real, generations):
    """WMLE on a Beta, unlimited data, synthetic: Beta(1 + 2^g u, 1 + 2^g v)."""
    start = np.add(pretrained, real) - 2.0
    return 1.0 + 2.0 ** np.arange(generations)[:, None] * start


def beta_bias_direction(pretrained, real):
    """Where the mean of that path goes, up or down: the sign of u - v."""
    start = np.add(pretrained, real) - 2.0
    return int(np.sign(start[0] - start[1]))


def leaning_thresholds(real):
    """F above which the state "only leaning k" repels, real data weighted: 1/(1 + max q - q_k)."""
    shares = np.asarray(real)
    return 1.0 / (1.0 + shares.max() - shares)


def two_leanings_fixed_points(real_share, F):
    """(share, multiplier) of the fixed points of two leanings, real data unweighted.

    Real roots of ``2 u^3 - 2 F r u^2 + (F - 1/2) u - F r / 2`` inside the unit interval, with
    u = share - 1/2 and r = real share - 1/2.
    """
    r = real_share - 0.5
    roots = np.roots([2.0, -2.0 * F * r, F - 0.5, -0.5 * F * r])
    inside = np.sort(roots.real[(np.abs(roots.imag) < 1e-9) & (np.abs(roots.real) < 0.5)])
    slopes = (1.0 - F) * (0.5 - 2.0 * inside**2) / (0.5 + 2.0 * inside**2) ** 2
    return list(zip(inside + 0.5, slopes, strict=True))


def wmle_chain(pretrained=None, real=None, **others):
    """Weighted maximum likelihood, generation after generation."""
    return run(settings("wmle", pretrained=pretrained, real=real, **others))


def mle_chain(real=None, **others):
    """Plain maximum likelihood, which uses no base."""
    return run(settings("mle", pretrained=real, real=real, **others))
