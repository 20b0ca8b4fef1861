"""Intervals of shares where a bootstrap has none. Knows counts, not what was counted.

A share of exactly 0 or 100 % is the same in every resample, so its percentile interval has no
width, which says that nothing else was possible. A score interval does not do that.
"""

from __future__ import annotations

import numpy as np

#: Half the width of a 95 % interval in standard errors of a normal distribution.
NORMAL_95 = 1.959963984540054


def wilson(
    hits: np.ndarray | float, n: np.ndarray | float, quantile: float = NORMAL_95
) -> tuple[np.ndarray, np.ndarray]:
    """Score interval of a share (Wilson 1927; Brown, Cai and DasGupta 2001).

    Parameters
    ----------
    hits, n
        How many of how many, ``n`` > 0; they broadcast.
    quantile
        The standard normal quantile of the level; for 95 % by default.

    Returns
    -------
    tuple
        Low and high, within 0 and 1; equals statsmodels' ``proportion_confint(method="wilson")``.
    """
    hits, n = np.asarray(hits, dtype=float), np.asarray(n, dtype=float)
    share, square = hits / n, quantile**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = quantile * np.sqrt(share * (1 - share) / n + square / (4 * n**2)) / (1 + square / n)
    low = np.where(hits == 0, 0.0, np.maximum(middle - half, 0.0))
    return low, np.where(hits == n, 1.0, np.minimum(middle + half, 1.0))
