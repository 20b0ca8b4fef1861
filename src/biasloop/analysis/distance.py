"""How far apart two distributions over the leanings are. Knows no article and no instrument."""

from __future__ import annotations

import numpy as np


def total_variation(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Half the sum of absolute differences: 0 for equal distributions, 1 for disjoint ones.

    Parameters
    ----------
    left, right
        Probabilities along the last axis, shape (..., leanings); the other axes broadcast.

    Returns
    -------
    np.ndarray
        Shape (...).
    """
    return np.abs(left - right).sum(axis=-1) / 2


def jensen_shannon(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distance: the square root of the divergence in bits, 0 to 1.

    Parameters
    ----------
    left, right
        Probabilities along the last axis, shape (..., leanings); the other axes broadcast.

    Returns
    -------
    np.ndarray
        Shape (...); equals ``scipy.spatial.distance.jensenshannon(left, right, base=2)``.
    """
    middle = (left + right) / 2
    divergence = (_relative_entropy(left, middle) + _relative_entropy(right, middle)) / 2
    return np.sqrt(np.clip(divergence, 0.0, 1.0))


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    p, q = np.broadcast_arrays(p, q)
    ratio = np.divide(p, q, out=np.ones_like(p, dtype=float), where=p > 0)
    return np.where(np.isnan(p), np.nan, p * np.log2(ratio)).sum(axis=-1)
