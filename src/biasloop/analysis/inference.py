"""Estimates, tests and distances on arrays of paired articles.

Rows are chains (seeds), columns are articles. Every prompt is in every chain, so articles and
seeds are crossed, and the variance of a mean has a part from each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from biasloop.errors import InputError

#: Means of every set, shape (..., sets), to the figure that is wanted, shape (...).
Figure = Callable[[np.ndarray], np.ndarray]

#: Up to this many sign patterns all are counted; beyond, as many are drawn.
_PATTERNS = 2**14
#: With more leanings than this there are too many events for an interval that says anything.
_ALL_EVENTS = 12


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
        What it rests on; ``sources`` is the number of articles where sources are not known.
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
    """Estimate the mean of paired differences; see `chain_figure`, of which it is one.

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


def chain_figure(
    values: np.ndarray,
    figure: Figure,
    clusters: np.ndarray | None = None,
    shares: float = 0.0,
) -> Inference | None:
    """Estimate a figure of several sets' means, averaged over chains.

    The figure is computed of every chain's own means, so chains that part do not cancel. The
    jackknife over sources (Quenouille 1956) takes off its bias by the articles' chance, which a
    squared distance has, and its pseudo-values give the variance between sources; that between
    chains is added as in `paired_mean`. Written out for all chains, sets and sources at once:
    ``scipy.stats`` has no jackknife, and no library has the crossed variance.

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
    parts = [(variance + shares**2 * edge_variance(taken.fewest), size - 1)]
    chains = len(chain_values)
    if chains > 1:
        parts.append((float(chain_values.var(ddof=1)) / chains, chains - 1))
    value, (error, freedom) = float(chain_values.mean()), add_variances(parts)
    pvalue = two_sided(value, error, freedom)
    return Inference(value, error, freedom, pvalue, chains, taken.fewest, size)


def edge_variance(articles: int) -> float:
    """Variance that one article more that rose, and one that fell, add to a mean of changes."""
    return 2 / (articles + 2) ** 2


@dataclass(frozen=True)
class Jackknife:
    """Means of every set: of all sources, shape (chains, sets), and without each of them.

    ``without`` has the shape (chains, sources, sets); ``fewest`` counts the articles of the set
    that has the fewest.
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
    """Add (variance, degrees of freedom): the standard error, and Satterthwaite's freedom."""
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


def one_sided(value: float, inference: Inference) -> float:
    """P-value of a value being at most 0, by an inference's error and degrees of freedom."""
    from scipy import stats

    if inference.error <= 0:
        return 0.0 if value > 0 else 1.0
    return float(stats.t.sf(value / inference.error, inference.freedom))


def holm(pvalues: np.ndarray) -> np.ndarray:
    """Correct p-values for their number, stepping down (Holm 1979); NaN is no test and stays.

    By hand, since statsmodels' ``multipletests`` collects garbage in every call: 75 ms of each.
    """
    given = np.asarray(pvalues, dtype=float)
    result = np.full(given.shape, np.nan)
    order = np.argsort(given, kind="stable")[: np.count_nonzero(~np.isnan(given))]  # NaN is last
    scaled = given[order] * np.arange(len(order), 0, -1)
    result[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return result


@dataclass(frozen=True)
class Equivalence:
    """Whether a change lies within a margin.

    Attributes
    ----------
    margin
        Half the width of what counts as no change, in the change's units.
    value, low, high
        The change and its 90 % interval: it lies within the margin where the test rejects at 5 %.
    pvalue
        Of the change being as large as the margin or larger, on either side.
    answer
        ``yes``: held. ``no``: shown to be beyond the margin. Else ``not shown``.
    """

    margin: float
    value: float
    low: float
    high: float
    pvalue: float
    answer: Literal["yes", "no", "not shown"]


def tost(inference: Inference, margin: float, level: float = 0.05) -> Equivalence:
    """Test at a level that a change lies within a margin: two one-sided tests (Schuirmann 1987).

    By hand, since statsmodels' take the data and not an estimate with its own error and freedom.

    Raises
    ------
    InputError
        If the margin is not greater than 0.
    """
    if not margin > 0:
        raise InputError(f"the margin of equivalence must be greater than 0, not {margin:g}")
    value, (low, high) = inference.value, inference.interval(1 - 2 * level)
    if inference.error > 0:
        pvalue = max(one_sided(margin + value, inference), one_sided(margin - value, inference))
    else:
        pvalue = float(abs(value) >= margin)
    beyond = low >= margin or high <= -margin
    answer = "yes" if pvalue < level else "no" if beyond else "not shown"
    return Equivalence(margin, value, low, high, pvalue, answer)


def sign_flip_pvalue(paths: np.ndarray, random: np.random.Generator) -> float | None:
    """Test whether chains end further from the origin than steps without a direction would lead.

    Chains that part in different directions have a mean that does not move, and n random steps
    lead about sqrt(n) of them away. What chance does not do is to go on in the direction in which
    a chain already is. The null hypothesis is that every step of every chain could as well have
    led the opposite way. The statistic is the mean squared distance of the chains' ends from the
    origin; its distribution is that over all ways to turn steps round (a randomisation test by
    signs: exact whatever the steps' lengths, and cautious where chance of the articles makes a
    step back follow a step forth).

    Parameters
    ----------
    paths
        Shape (chains, generations, coordinates): each chain's place less the reference's.
    random
        Draws the ways where there are too many to count.

    Returns
    -------
    float or None
        One-sided p-value; None where no chain has two steps.
    """
    places = np.asarray(paths, dtype=float)
    chains, generations, _ = places.shape
    if not chains or generations < 3:
        return None
    steps = np.diff(places, axis=1)
    count = chains * (generations - 1)
    if 2**count <= _PATTERNS:
        signs = np.array(list(product((1.0, -1.0), repeat=count)))
    else:
        signs = random.choice((1.0, -1.0), size=(_PATTERNS, count))
        signs[0] = 1.0
    turned = signs.reshape(-1, chains, generations - 1)
    ends = places[:, 0] + np.einsum("wcg,cgk->wck", turned, steps)
    squares = (ends**2).sum(axis=-1).mean(axis=-1)
    return float(np.mean(squares >= squares[0] * (1 - 1e-12)))


def total_variation(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Half the sum of absolute differences: 0 for equal distributions, 1 for disjoint ones.

    Along the last axis; the other axes broadcast. Of two samples it is too large by their chance:
    see `debiased_distance`.
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
    covariance, freedom
        Of that, shape (leanings, leanings), and its degrees of freedom.
    least
        Added to every event's variance in the interval, for shares that no article changes; see
        `edge_variance`.

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
