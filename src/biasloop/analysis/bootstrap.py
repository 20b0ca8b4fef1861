"""Percentile bootstrap by weights. Knows arrays, not what their rows and columns stand for.

A resample is a row of counts: how often each article was drawn. One matrix of counts serves every
metric, generation and regime, so differences between them are paired by article. Articles of one
source are drawn together. Seeds are not resampled, as they are too few for it: see `pooling`.
"""

from __future__ import annotations

import numpy as np

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
    resamples
        How often to resample.
    random
        The source of randomness.

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
    """Find the 2.5 % and 97.5 % points of each column, leaving out NaN.

    Parameters
    ----------
    draws
        Shape (resamples, columns).

    Returns
    -------
    tuple
        Low and high, each of shape (columns,); NaN for a column that has no number.
    """
    result = np.full((2, draws.shape[1]), np.nan)
    holes = np.isnan(draws).any(axis=0)
    if not holes.all():
        result[:, ~holes] = np.quantile(draws[:, ~holes], (TAIL, 1 - TAIL), axis=0)
    for column in np.flatnonzero(holes):
        numbers = draws[:, column][~np.isnan(draws[:, column])]
        if len(numbers):
            result[:, column] = np.quantile(numbers, (TAIL, 1 - TAIL))
    return result[0], result[1]
