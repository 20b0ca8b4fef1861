"""Do two independent samples differ? Knows numbers, not of what."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from biasloop.analysis import wilson


class Difference(NamedTuple):
    """Second less first, its 95 % interval and the two-sided p-value of none."""

    value: float
    low: float
    high: float
    pvalue: float


def share_difference(hits: tuple[int, int], sizes: tuple[int, int]) -> Difference:
    """Compare two shares.

    Parameters
    ----------
    hits, sizes
        Of the first and of the second sample; sizes above 0.

    Returns
    -------
    Difference
        Newcombe's hybrid score interval (1998, method 10), Fisher's exact p-value.
    """
    from scipy import stats

    first, second = hits[0] / sizes[0], hits[1] / sizes[1]
    (low_1, high_1), (low_2, high_2) = (wilson(h, n) for h, n in zip(hits, sizes, strict=True))
    value = second - first
    low = value - float(np.hypot(second - low_2, high_1 - first))
    high = value + float(np.hypot(high_2 - second, first - low_1))
    table = [[hits[0], sizes[0] - hits[0]], [hits[1], sizes[1] - hits[1]]]
    return Difference(value, low, high, float(stats.fisher_exact(table).pvalue))


def mean_difference(first: np.ndarray, second: np.ndarray) -> Difference | None:
    """Compare two means (Welch 1947); NaN is left out, None where fewer than two are left."""
    from scipy import stats

    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    if min(len(first), len(second)) < 2:
        return None
    value = float(second.mean() - first.mean())
    if first.var() + second.var() == 0:
        return Difference(value, value, value, float(value == 0))
    found = stats.ttest_ind(second, first, equal_var=False)
    low, high = found.confidence_interval()
    return Difference(value, float(low), float(high), float(found.pvalue))
