"""How far shares are from others, without what chance adds. Knows no article and no instrument."""

from __future__ import annotations

from itertools import product

import numpy as np

#: With more leanings than this there are too many events for an interval that says anything.
_ALL_EVENTS = 12


def total_variation(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Half the sum of absolute differences: 0 for equal distributions, 1 for disjoint ones.

    Parameters
    ----------
    left, right
        Probabilities along the last axis, shape (..., leanings); the other axes broadcast.

    Returns
    -------
    np.ndarray
        Shape (...). Of two samples it is too large by their chance; see `debiased_distance`.
    """
    return np.abs(left - right).sum(axis=-1) / 2


def debiased_distance(
    difference: np.ndarray, covariance: np.ndarray, freedom: float, least: float = 0.0
) -> tuple[float, float, float]:
    """Total variation of two estimated distributions, less what their chance makes of it.

    Of each leaning's squared difference its expected error is taken off, and nothing is left where
    that is larger. The interval is that of the event (set of leanings) whose probability differs
    most, at a level that holds for all events at once, so it contains 0 where no difference is
    shown.

    Parameters
    ----------
    difference
        Shares less reference, shape (leanings,).
    covariance
        Of that, shape (leanings, leanings).
    freedom
        Degrees of freedom of the covariance.
    least
        Added to every event's variance in the interval, for shares that no article changes; see
        `paired.edge_variance`.

    Returns
    -------
    tuple
        Distance and its 95 % interval, all within 0 and 1.
    """
    from scipy import stats

    errors = np.maximum(np.diag(covariance), 0.0)
    value = float(np.sqrt(np.maximum(difference**2 - errors, 0.0)).sum() / 2)
    labels = len(difference)
    if labels > _ALL_EVENTS:
        return value, 0.0, 1.0
    events = np.array([(0.0, *rest) for rest in product((0.0, 1.0), repeat=labels - 1)][1:])
    size = np.abs(events @ difference)
    variance = np.maximum(np.einsum("el,lk,ek->e", events, covariance, events), 0.0)
    error = np.sqrt(variance + least)
    half = float(stats.t.ppf(1 - 0.025 / len(events), freedom)) * error
    low, high = float(np.max(size - half, initial=0.0)), float(np.max(size + half))
    return value, min(low, value), min(max(high, value), 1.0)
