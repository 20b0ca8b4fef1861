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


def paired_shares(
    before: np.ndarray, after: np.ndarray, quantile: float = NORMAL_95
) -> tuple[float, float, float]:
    """Newcombe's interval of a difference of shares in pairs (1998, method 10).

    It joins the two shares' score intervals by the correlation within pairs, so it has a width
    even where nothing, or everything, changed.

    Parameters
    ----------
    before, after
        0 or 1 of each article, shape (articles,); at least one article.
    quantile
        The standard normal quantile of the level; for 95 % by default.

    Returns
    -------
    tuple
        ``after`` less ``before``, and the ends of its interval, within -1 and 1.
    """
    n = len(before)
    first, second = float(after.mean()), float(before.mean())
    both = float(np.sum((before == 1) & (after == 1)))
    neither = float(np.sum((before == 0) & (after == 0)))
    gained = float(np.sum((before == 0) & (after == 1)))
    lost = float(np.sum((before == 1) & (after == 0)))
    margins = (both + gained) * (neither + lost) * (both + lost) * (neither + gained)
    product = both * neither - gained * lost
    if product > 0:  # Edwards' continuity correction, as in Newcombe's method 10
        product = max(product - n / 2, 0.0)
    correlation = product / np.sqrt(margins) if margins > 0 else 0.0
    (low_1, high_1), (low_2, high_2) = (wilson(share * n, n, quantile) for share in (first, second))
    below, above = first - low_1, high_2 - second
    down = np.sqrt(max(below**2 - 2 * correlation * below * above + above**2, 0.0))
    below, above = second - low_2, high_1 - first
    up = np.sqrt(max(above**2 - 2 * correlation * above * below + below**2, 0.0))
    change = first - second
    return change, max(float(change - down), -1.0), min(float(change + up), 1.0)
