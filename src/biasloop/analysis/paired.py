"""Is a mean difference over pairs other than zero? Knows arrays of differences, not of what.

The rows are chains (seeds), the columns articles: every prompt is in every chain, so articles and
seeds are crossed, and the variance of the mean has a part from each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Inference:
    """An estimate and how sure it is.

    Attributes
    ----------
    value, error
        The estimate and its standard error.
    freedom
        Degrees of freedom of the t distribution that it is held against.
    pvalue
        Two-sided, of no difference.
    chains, articles, sources
        What it rests on; ``sources`` is the number of articles where sources are not told apart.
    """

    value: float
    error: float
    freedom: float
    pvalue: float
    chains: int
    articles: int
    sources: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Give the t interval at a level."""
        from scipy import stats

        half = float(stats.t.ppf(0.5 + level / 2, self.freedom)) * self.error
        return self.value - half, self.value + half


def paired_mean(
    differences: np.ndarray, clusters: np.ndarray | None = None, shares: bool = False
) -> Inference | None:
    """Estimate the mean of paired differences.

    The variance is that between articles (or their sources) plus that between chain means over
    the number of chains: the crossed two-way variance without the (subtracted) interaction, so
    never too small for want of it (Owen 2007; Cameron, Gelbach and Miller 2011). The part of the
    sources is the leave-one-source-out jackknife (CV3 of MacKinnon, Nielsen and Webb 2023), which
    with one article each is the paired t test's variance. Degrees of freedom after Satterthwaite
    (1946).

    Parameters
    ----------
    differences
        Shape (chains, articles) or (articles,); an article that lacks a value (NaN) in any chain
        is left out.
    clusters
        Each article's source as a number, shape (articles,); None takes every article for itself.
    shares
        Whether the differences are of 0 and 1: their variance then has the width of one article
        more that rose and one that fell (Bonett and Price 2012), since articles that all changed
        alike do not show that another could not.

    Returns
    -------
    Inference or None
        None where fewer than two articles, or sources, are left.
    """
    values = np.atleast_2d(np.asarray(differences, dtype=float))
    there = ~np.isnan(values).any(axis=0)
    own = None if clusters is None else np.asarray(clusters)[there]
    return chain_figure(values[:, None, there], lambda means: means[..., 0], own, shares)


def _crossed(
    value: float, variance: float, sources: int, chain_values: np.ndarray, articles: int
) -> Inference:
    """Add the chains' variance to the sources', and hold the estimate against t."""
    chains = len(chain_values)
    parts = [(variance, sources - 1)]
    if chains > 1:
        parts.append((float(chain_values.var(ddof=1)) / chains, chains - 1))
    error, freedom = add_variances(parts)
    pvalue = two_sided(value, error, freedom)
    return Inference(value, error, freedom, pvalue, chains, articles, sources)


#: Means of every set, shape (..., sets), to the figure that is wanted, shape (...).
Figure = Callable[[np.ndarray], np.ndarray]


def chain_figure(
    values: np.ndarray,
    figure: Figure,
    clusters: np.ndarray | None = None,
    shares: float = 0.0,
) -> Inference | None:
    """Estimate a figure of several sets' means, averaged over chains.

    The figure is computed of every chain's own means, so chains that part do not cancel. Its bias
    by the articles' chance, which a squared distance has, is taken off by the jackknife over
    sources (Quenouille 1956), whose pseudo-values give the variance between sources; that between
    chains is added as in `paired_mean`, which it equals where the figure is a difference of two
    sets' means over the same articles.

    Parameters
    ----------
    values
        Shape (chains, sets, articles); NaN where a set has no value for an article: every mean is
        over what its own set has.
    figure
        What is wanted of the means.
    clusters
        Each article's source as a number, shape (articles,); None takes every article for itself.
    shares
        Of shares, how much one article counts for (1, or more where readings are corrected): the
        variance has the width of one article more that rose and one that fell, as in
        `paired_mean`. 0 where the values are no shares.

    Returns
    -------
    Inference or None
        None where a set has no value, or there is none without one of the sources.
    """
    taken = source_jackknife(values, clusters)
    if taken is None:
        return None
    whole, without = figure(taken.whole), figure(taken.without)
    size = without.shape[1]
    chain_values = size * whole - (size - 1) * without.mean(axis=1)
    over_chains = without.mean(axis=0)
    variance = float(((over_chains - over_chains.mean()) ** 2).sum() * (size - 1) / size)
    edge = shares**2 * edge_variance(taken.fewest)
    return _crossed(float(chain_values.mean()), variance + edge, size, chain_values, taken.fewest)


def edge_variance(articles: int) -> float:
    """Variance that one article more that rose, and one that fell, add to a mean of changes."""
    return 2 / (articles + 2) ** 2


@dataclass(frozen=True)
class Jackknife:
    """Means of every set, with all sources and without each.

    Attributes
    ----------
    whole
        Shape (chains, sets).
    without
        Shape (chains, sources, sets).
    fewest
        The articles of the set that has the fewest.
    """

    whole: np.ndarray
    without: np.ndarray
    fewest: int


def source_jackknife(values: np.ndarray, clusters: np.ndarray | None = None) -> Jackknife | None:
    """Take every set's mean, and that without each source; see `chain_figure`."""
    values = np.asarray(values, dtype=float)
    chains, _, articles = values.shape
    own = np.arange(articles) if clusters is None else np.asarray(clusters)
    present = ~np.isnan(values)
    there = present.any(axis=(0, 1))
    if not chains or there.sum() < 2:
        return None
    _, place = np.unique(own[there], return_inverse=True)
    size = int(place.max()) + 1
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(size))
    sums = np.add.reduceat(np.where(present, values, 0.0)[..., there][..., order], starts, axis=-1)
    counts = np.add.reduceat(present[..., there][..., order].astype(float), starts, axis=-1)
    left = counts.sum(axis=-1, keepdims=True) - counts
    if size < 2 or (left <= 0).any():
        return None
    return Jackknife(
        sums.sum(axis=-1) / counts.sum(axis=-1),
        np.moveaxis((sums.sum(axis=-1, keepdims=True) - sums) / left, -1, 1),
        int(present.sum(axis=-1).min()),
    )


def add_variances(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Add (variance, degrees of freedom); Satterthwaite's degrees of freedom of the sum."""
    total = sum(variance for variance, _ in parts)
    spread = sum(variance**2 / freedom for variance, freedom in parts)
    if spread <= 0:  # none, or so little that its square is no number
        return 0.0, float(parts[0][1])
    return float(np.sqrt(total)), float(total**2 / spread)


def two_sided(value: float, error: float, freedom: float) -> float:
    """Two-sided p-value of no difference, against t; without any error 1 or 0."""
    from scipy import stats

    if error <= 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * stats.t.sf(abs(value) / error, freedom))


def holm(pvalues: np.ndarray) -> np.ndarray:
    """Correct p-values for their number, stepping down (Holm 1979).

    Parameters
    ----------
    pvalues
        Shape (tests,); NaN is no test and stays NaN.

    Returns
    -------
    np.ndarray
        Shape (tests,), at most 1: rejecting those below 5 % errs at all in at most 5 % of
        families, whatever the dependence.
    """
    given = np.asarray(pvalues, dtype=float)
    result = np.full(given.shape, np.nan)
    real = np.flatnonzero(~np.isnan(given))
    order = real[np.argsort(given[real], kind="stable")]
    scaled = given[order] * np.arange(len(order), 0, -1)
    result[order] = np.minimum(np.maximum.accumulate(scaled), 1.0) if len(order) else scaled
    return result
