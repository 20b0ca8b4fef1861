"""Maximum-likelihood fit of a Beta distribution from its two sufficient statistics.

Knows logarithms, weights and Newton's method; knows no generation and no regime.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma, polygamma

from biasloop.errors import InputError
from biasloop.theory.family import Floats

_MAXIMUM_STEPS = 200
_LARGEST_STEP = 2.0
_TOLERANCE = 1e-13
#: Below this, 1 - exp(E log x) - exp(E log(1-x)) is rounding: the points cannot be told apart.
_DEGENERATE = 1e-13


class BetaFit(NamedTuple):
    """Parameters of a fitted Beta distribution: floats, or arrays ``(replicates,)``."""

    a: float | Floats
    b: float | Floats


def fit_beta(x: ArrayLike, weights: ArrayLike | None = None) -> BetaFit:
    """Fit a Beta distribution on (0, 1) by (weighted) maximum likelihood.

    Maximises ``sum(w * log f(x; a, b))`` by Newton's method on the weighted means of ``log x``
    and ``log(1 - x)``, with exact derivatives (digamma, trigamma). The objective is concave in
    ``(a, b)``, so the maximum is the only one.

    Parameters
    ----------
    x
        ``(points,)`` or ``(replicates, points)``; each row is fitted by itself.
    weights
        Of the shape of ``x``, at least 0, in any scale; a point of weight 0 is left out.
        ``None`` weighs all points alike.

    Returns
    -------
    BetaFit
        Relative error below 1e-9 for parameters from 0.05 to 4000, growing outside as the
        statistics lose digits. Data that were rounded to 0 or 1 have lost what the fit needs: use
        `fit_beta_statistics` on logarithms then.

    Raises
    ------
    InputError
        If a point is not inside (0, 1), a weight is negative or not finite, a row has no positive
        weight, or a row has fewer than two different points of positive weight: its likelihood
        then has no maximum.
    """
    points = np.asarray(x, dtype=np.float64)
    if points.ndim not in (1, 2):
        raise InputError(f"x has {points.ndim} dimensions: give (points,) or (replicates, points)")
    rows = np.atleast_2d(points)
    if rows.size == 0:
        raise InputError("x is empty: a Beta fit needs at least two different points")
    outside = ~((rows > 0.0) & (rows < 1.0))
    if outside.any():
        row, column = np.argwhere(outside)[0]
        raise InputError(
            f"x[{_place(points, row, column)}] is {rows[row, column]}: "
            "every point must lie inside (0, 1)"
        )
    scaled = _checked_weights(points, rows, weights)
    positive = scaled > 0.0
    lowest = np.min(rows, axis=1, where=positive, initial=np.inf)
    highest = np.max(rows, axis=1, where=positive, initial=-np.inf)
    if (lowest == highest).any():
        row = int(np.flatnonzero(lowest == highest)[0])
        count = int(positive[row].sum())
        what = "one point" if count == 1 else f"{count} points, all equal to {lowest[row]}"
        raise InputError(
            f"{'' if points.ndim == 1 else f'row {row}: '}{what}: a Beta fit needs at least two "
            "different points of positive weight, because its likelihood is unbounded otherwise"
        )
    total = scaled.sum(axis=1)
    fitted = beta_from_statistics(
        np.stack(
            [
                (scaled * np.log(rows)).sum(axis=1) / total,
                (scaled * np.log1p(-rows)).sum(axis=1) / total,
            ],
            axis=1,
        )
    )
    if points.ndim == 1:
        return BetaFit(float(fitted[0, 0]), float(fitted[0, 1]))
    return BetaFit(fitted[:, 0], fitted[:, 1])


def fit_beta_statistics(mean_log_x: ArrayLike, mean_log_1mx: ArrayLike) -> BetaFit:
    """Fit a Beta distribution from the means of ``log x`` and ``log(1 - x)``.

    Parameters
    ----------
    mean_log_x, mean_log_1mx
        Scalars or ``(replicates,)``. Computed in logarithms they stay exact where ``x`` itself
        would round to 0 or 1, as it does for parameters well below 1.

    Raises
    ------
    InputError
        If no Beta distribution has these means: both must be below 0 and
        ``exp(mean_log_x) + exp(mean_log_1mx)`` below 1.
    """
    first, second = np.broadcast_arrays(
        np.asarray(mean_log_x, dtype=np.float64), np.asarray(mean_log_1mx, dtype=np.float64)
    )
    fitted = beta_from_statistics(np.stack([first.ravel(), second.ravel()], axis=1))
    if first.ndim == 0:
        return BetaFit(float(fitted[0, 0]), float(fitted[0, 1]))
    return BetaFit(fitted[:, 0].reshape(first.shape), fitted[:, 1].reshape(first.shape))


def beta_from_statistics(statistics: Floats) -> Floats:
    """Solve ``digamma(a) - digamma(a + b) = E log x`` and its twin in b, row by row.

    Parameters
    ----------
    statistics
        ``(replicates, 2)``: the means of ``log x`` and of ``log(1 - x)``.

    Returns
    -------
    Floats
        ``(replicates, 2)``: a and b.

    Raises
    ------
    InputError
        As `fit_beta_statistics`.

    Notes
    -----
    Newton's step in (a, b) is taken as a factor, ``a * exp(step / a)``, which keeps a and b
    positive and still converges quadratically. The start is Johnson and Kotz's approximation
    (Continuous Univariate Distributions, vol. 2, ch. 25).
    """
    if not np.isfinite(statistics).all():
        raise InputError("a mean logarithm is not finite: the points hold 0, 1 or NaN")
    geometric = np.exp(statistics)
    spread = 1.0 - geometric.sum(axis=1)
    if (spread < _DEGENERATE).any():
        row = int(np.flatnonzero(spread < _DEGENERATE)[0])
        raise InputError(
            f"no Beta distribution fits row {row}: its points, or the few that carry all the "
            "weight, cannot be told from one single point in double precision"
        )
    parameters = 0.5 + geometric / (2.0 * spread[:, None])
    for _ in range(_MAXIMUM_STEPS):
        total = parameters.sum(axis=1, keepdims=True)
        own, both = digamma(parameters), digamma(total)
        gradient = statistics - own + both
        rounding = 8.0 * np.finfo(np.float64).eps * (1.0 + np.abs(own) + np.abs(both))
        curvature = polygamma(1, parameters)
        shared = polygamma(1, total)
        # Sherman-Morrison on diag(curvature) - shared.
        scaled = gradient / curvature
        remainder = 1.0 / shared - (1.0 / curvature).sum(axis=1, keepdims=True)
        step = scaled + scaled.sum(axis=1, keepdims=True) / (curvature * remainder)
        relative = np.clip(step / parameters, -_LARGEST_STEP, _LARGEST_STEP)
        parameters = parameters * np.exp(relative)
        if ((np.abs(relative) <= _TOLERANCE) | (np.abs(gradient) <= rounding)).all():
            return parameters
    raise InputError(
        f"the Beta fit did not converge in {_MAXIMUM_STEPS} steps: E log x, E log(1-x) = "
        f"{statistics[0].tolist()}"
    )


def _checked_weights(points: Floats, rows: Floats, weights: ArrayLike | None) -> Floats:
    """Weights ``(replicates, points)`` with a largest value of 1 in each row."""
    if weights is None:
        return np.ones_like(rows)
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != points.shape:
        raise InputError(f"weights have shape {given.shape}, x has {points.shape}")
    table = np.atleast_2d(given)
    wrong = ~(np.isfinite(table) & (table >= 0.0))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"weights[{_place(points, row, column)}] is {table[row, column]}: "
            "a weight must be a finite number, at least 0"
        )
    largest = table.max(axis=1, keepdims=True)
    if (largest == 0.0).any():
        raise InputError("all weights are zero: at least two points need a positive weight")
    return table / largest


def _place(points: Floats, row: int, column: int) -> str:
    return str(column) if points.ndim == 1 else f"{row}, {column}"
