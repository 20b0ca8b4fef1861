"""One interval of several chains' mean. Knows figures and their intervals, not of what.

Chains are few, and a bootstrap of few is far too narrow: of three, its variance is two thirds of
what it should be and it knows no t (Cameron, Gelbach and Miller 2008; ``benchmarks/coverage.py``
shows it). So the articles' part comes from the bootstrap and the seeds' part from t.
"""

from __future__ import annotations

import numpy as np

from biasloop.analysis.intervals import NORMAL_95
from biasloop.analysis.paired import add_variances

#: Degrees of freedom that change nothing, for an interval that does not say what it rests on.
_MANY = 1_000_000


def joined_interval(
    chains: np.ndarray, low: float, high: float, articles: int | None = None
) -> tuple[float, float]:
    """Widen an interval over articles by what the chains differ.

    The variance over articles is read off the interval's width, that over chains is their
    figures' over their number; the sum is held against t with Satterthwaite's degrees of freedom,
    as in `paired_mean`, and the interval keeps its skewness.

    Parameters
    ----------
    chains
        Each chain's figure, shape (chains,); one chain leaves the interval as it is.
    low, high
        The 95 % interval of their mean over articles.
    articles
        What that rests on; None for many.

    Returns
    -------
    tuple
        Low and high; NaN where the given ones are.
    """
    from scipy import stats

    own = (high - low) / 2 / NORMAL_95
    if len(chains) < 2 or not np.isfinite(own):
        return low, high
    seeds = (float(np.var(chains, ddof=1)) / len(chains), len(chains) - 1)
    if seeds[0] == 0:
        return low, high
    value = float(np.mean(chains))
    error, freedom = add_variances([(own**2, max((articles or _MANY) - 1, 1)), seeds])
    half = float(stats.t.ppf(0.975, freedom)) * error
    if own == 0:
        return value - half, value + half
    wider = half / (NORMAL_95 * own)
    return value - wider * (value - low), value + wider * (high - value)
