"""Percentile bootstrap intervals by weights, and what widens or replaces them.

A resample is a row of counts: how often each article was drawn. One matrix of counts serves every
metric, generation and regime, so differences between them are paired by article. Articles of one
source are drawn together. ``scipy.stats.bootstrap`` draws anew for every statistic, and no sources.
"""

from __future__ import annotations

import numpy as np

from biasloop.analysis.inference import add_variances
from biasloop.metrics.base import NORMAL_95

#: Tail probability on either side of an interval.
TAIL = 0.025


def article_weights(
    clusters: np.ndarray, resamples: int, random: np.random.Generator
) -> np.ndarray:
    """Draw resamples of sources with replacement, as counts of their articles.

    Parameters
    ----------
    clusters
        Each article's source as a number, shape (articles,); ``np.arange(articles)`` resamples
        articles.

    Returns
    -------
    np.ndarray
        Shape (resamples, articles), float64: how often each article's source was drawn.
    """
    if len(clusters) == 0:
        return np.zeros((resamples, 0))
    _, place = np.unique(clusters, return_inverse=True)
    sources = int(place.max()) + 1
    drawn = random.multinomial(sources, np.full(sources, 1 / sources), size=resamples)
    return drawn[:, place].astype(float)


def weighted_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Take the mean of every set under every resample.

    Parameters
    ----------
    values
        Shape (sets, articles); NaN where a set has no value for an article.
    weights
        Shape (resamples, articles).

    Returns
    -------
    np.ndarray
        Shape (resamples, sets); NaN where a resample drew none of a set's articles.
    """
    present = ~np.isnan(values)
    sums = weights @ np.where(present, values, 0.0).T
    if present.all() and values.shape[1]:
        return sums / weights.sum(axis=1, keepdims=True)
    counts = weights @ present.T.astype(float)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def percentile_interval(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the 2.5 % and 97.5 % points of each column of (resamples, columns), leaving out NaN.

    Low and high have the shape (columns,); NaN for a column that has no number.
    """
    result = np.full((2, draws.shape[1]), np.nan)
    holes = np.isnan(draws)
    whole, some = ~holes.any(axis=0), holes.any(axis=0) & ~holes.all(axis=0)
    for columns, points in ((whole, np.quantile), (some, np.nanquantile)):  # the latter is slow
        if columns.any():
            result[:, columns] = points(draws[:, columns], (TAIL, 1 - TAIL), axis=0)
    return result[0], result[1]


def joined_interval(
    chains: np.ndarray, low: float, high: float, sources: int | None = None
) -> tuple[float, float]:
    """Widen an interval over sources by their number, and by what the chains differ.

    Chains are few, and a bootstrap of few is far too narrow: of three, its variance is two thirds
    of what it should be and it knows no t (Cameron, Gelbach and Miller 2008;
    ``benchmarks/intervals.py`` shows it). So the articles' part comes from the bootstrap and the
    seeds' part from t. The variance over sources is read off the interval's width and scaled by
    S / (S - 1) for S sources, that over chains is their figures' over their number; the sum is
    held against t with Satterthwaite's degrees of freedom, as in `inference.paired_mean`, and the
    interval keeps its skewness.

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


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % score interval of the share ``hits / n`` (Wilson 1927; Brown, Cai, DasGupta 2001).

    A share of exactly 0 or 1 is the same in every resample, so its percentile interval has no
    width, which says that nothing else was possible. A score interval does not do that.
    """
    from scipy import stats

    low, high = stats.binomtest(hits, n).proportion_ci(method="wilson")
    return float(low), float(high)
