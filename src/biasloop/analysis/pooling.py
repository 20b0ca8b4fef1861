"""One interval of one or several chains' mean. Knows figures and their intervals, not of what.

Chains are few, and a bootstrap of few is far too narrow: of three, its variance is two thirds of
what it should be and it knows no t (Cameron, Gelbach and Miller 2008; ``benchmarks/intervals.py``
shows it). So the articles' part comes from the bootstrap and the seeds' part from t. Few sources
are widened likewise.
"""

from __future__ import annotations

import numpy as np

from biasloop.analysis.intervals import NORMAL_95
from biasloop.analysis.paired import add_variances


def joined_interval(
    chains: np.ndarray, low: float, high: float, sources: int | None = None
) -> tuple[float, float]:
    """Widen an interval over sources by their number, and by what the chains differ.

    The variance over sources is read off the interval's width and scaled by S / (S - 1) for S
    sources, that over chains is their figures' over their number; the sum is held against t with
    Satterthwaite's degrees of freedom, as in `paired_mean`, and the interval keeps its skewness.

    Parameters
    ----------
    chains
        Each chain's figure, shape (chains,).
    low, high
        The 95 % percentile interval of their mean over sources.
    sources
        How many it rests on; None for so many that their number does not matter.

    Returns
    -------
    tuple
        Low and high; NaN where the given ones are, or there is one source.
    """
    from scipy import stats

    own = (high - low) / 2 / NORMAL_95
    if not np.isfinite(own):
        return low, high
    if sources is not None and sources < 2:
        return float("nan"), float("nan")
    small = 1.0 if sources is None else sources / (sources - 1)
    freedom = 1_000_000 if sources is None else sources - 1
    parts = [(own**2 * small, freedom)]
    if len(chains) > 1:
        parts.append((float(np.var(chains, ddof=1)) / len(chains), len(chains) - 1))
    error, joined = add_variances(parts)
    if error == 0:
        return low, high
    half = float(stats.t.ppf(0.975, joined)) * error
    value = float(np.mean(chains))
    if own == 0:
        return value - half, value + half
    wider = half / (NORMAL_95 * own)
    return value - wider * (value - low), value + wider * (high - value)
