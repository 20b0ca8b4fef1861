"""Shares of a set from a few labels and every reading.

Prediction-powered inference (Angelopoulos et al. 2023, Science 382; with power tuning, PPI++,
arXiv 2311.01453): the mean reading over all articles, plus what people say more than the classifier
on the articles that people coded, a random sample of the set. Whatever the classifier's errors are
in that set, the estimate is of what people would say; the better it reads, the narrower the
interval.

The estimate is that of ``ppi_py.ppi_mean_pointestimate``, the tests' oracle. Its interval is not:
it takes articles for independent and knows no pairs. Here the estimate is computed again without
each source (the jackknife that every change of this package rests on, see
`inference.chain_figure`); a source's articles leave both generations at once, so that articles of
one prompt are paired and those of one source are clustered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biasloop.analysis import Inference, two_sided

#: No interval is given where fewer articles of a set were coded.
LEAST_LABELS = 25


@dataclass(frozen=True)
class CodedSet:
    """One set of articles, some of which were coded.

    Attributes
    ----------
    clusters
        Each article's source as a number, shape (articles,); the same number in two sets is the
        same source.
    read
        1 for the leaning that the classifier reads, shape (..., articles, leanings); all 0 where
        it cannot read the article. Leading axes are independent repetitions.
    said
        Share of the article's coders who chose each leaning, likewise; all 0 where they found
        none, NaN where nobody coded it.
    """

    clusters: np.ndarray
    read: np.ndarray
    said: np.ndarray

    @property
    def labelled(self) -> np.ndarray:
        """Which articles were coded, shape (..., articles)."""
        return ~np.any(np.isnan(self.said), axis=-1)

    def as_read(self) -> np.ndarray:
        """Give the shares of the articles that the classifier reads, shape (..., leanings)."""
        return _of_all(self.read.sum(axis=-2))

    def as_said(self) -> np.ndarray:
        """Give the shares by the coded articles alone, shape (..., leanings)."""
        return _of_all(np.nansum(self.said, axis=-2))


@dataclass(frozen=True)
class ShareEstimates:
    """Estimates with their errors; each array of shape (..., figures)."""

    value: np.ndarray
    error: np.ndarray
    freedom: np.ndarray

    def intervals(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Give the t intervals."""
        from scipy import stats

        half = stats.t.ppf(0.5 + level / 2, self.freedom) * self.error
        return self.value - half, self.value + half


def inferences(*sets: CodedSet) -> list[Inference]:
    """Give `estimates`, with p-values of no change.

    Parameters
    ----------
    *sets
        One, or the first and the last, without leading axes.
    """
    figures = estimates(*sets)
    labels = min(int(one.labelled.sum()) for one in sets)
    sources = len(np.unique(np.concatenate([one.clusters[one.labelled] for one in sets])))
    rows = zip(
        figures.value.tolist(), figures.error.tolist(), figures.freedom.tolist(), strict=True
    )
    return [Inference(*row, two_sided(*row), 1, labels, sources) for row in rows]


def estimates(*sets: CodedSet) -> ShareEstimates:
    """Estimate the shares of one set, or those of the last less those of the first.

    Parameters
    ----------
    *sets
        One, or the first and the last.

    Returns
    -------
    ShareEstimates
        Shape (..., leanings + 1), shares 0 to 1: of each leaning among the articles in which
        people find one, and at last of the articles in which they find none among all. NaN errors
        where a single source has all labels.
    """
    names, places = np.unique(np.concatenate([one.clusters for one in sets]), return_inverse=True)
    size = len(names)
    signs = np.array([1.0]) if len(sets) == 1 else np.array([-1.0, 1.0])
    own = np.split(places, np.cumsum([len(one.clusters) for one in sets])[:-1])
    whole: np.ndarray | float = 0.0
    without: np.ndarray | float = 0.0
    edge: np.ndarray | float = 0.0
    has_labels: np.ndarray | bool = False
    for sign, one, place in zip(signs, sets, own, strict=True):
        sums = _sums(_moments(one), place, size)
        total = sums.sum(axis=-2, keepdims=True)
        whole = whole + sign * _figures(total)[..., 0, :]
        without = without + sign * _figures(total - sums)
        # As of every change of shares: one article more that rose and one that fell, one each end.
        edge = edge + 1 / (total[..., 0, :1] + 2) ** 2
        has_labels = has_labels | (sums[..., 0] > 0)
    spread = without - np.mean(without, axis=-2, keepdims=True)
    jackknifed = (spread**2).sum(axis=-2) * (size - 1) / size
    # A change has at least that width. Added, it would be a quarter more variance where 50 articles
    # are coded and the classifier reads well, and cover too often (docs/labelling.md). To a single
    # share it is added: a small one is skewed.
    variance = np.maximum(jackknifed, edge) if len(sets) == 2 else jackknifed + edge
    freedom = np.maximum(np.sum(has_labels, axis=-1) - 1.0, 1.0)[..., None]
    return ShareEstimates(np.asarray(whole), np.sqrt(variance), freedom + np.zeros_like(variance))


def _moments(coded: CodedSet) -> np.ndarray:
    """Lay out what sums over articles are needed of, shape (..., articles, 4 + 3 leanings)."""
    labelled = coded.labelled[..., None].astype(float)
    said = np.nan_to_num(coded.said)
    read = np.broadcast_to(coded.read, said.shape)
    return np.concatenate(
        [
            labelled,
            np.ones_like(labelled),
            labelled * (said * read).sum(axis=-1, keepdims=True),
            (read**2).sum(axis=-1, keepdims=True),
            said,
            labelled * read,
            read,
        ],
        axis=-1,
    )


def _sums(moments: np.ndarray, place: np.ndarray, size: int) -> np.ndarray:
    """Sum over each source's articles, shape (..., sources, moments)."""
    result = np.zeros((*moments.shape[:-2], size, moments.shape[-1]))
    order = np.argsort(place, kind="stable")
    there, starts = np.unique(place[order], return_index=True)
    result[..., there, :] = np.add.reduceat(moments[..., order, :], starts, axis=-2)
    return result


def _figures(sums: np.ndarray) -> np.ndarray:
    """From sums to `estimates`; means equal ``ppi_mean_pointestimate`` with its tuned lambda."""
    labels, articles, said_read, squares = (sums[..., place : place + 1] for place in range(4))
    said, read_there, read = np.split(sums[..., 4:], 3, axis=-1)
    rest = articles - labels
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_said, mean_there = said / labels, read_there / labels
        mean_rest = np.where(rest > 0, (read - read_there) / rest, 0.0)
        covariance = said_read / labels - (mean_said * mean_there).sum(axis=-1, keepdims=True)
        mean_squares = ((read / articles) ** 2).sum(axis=-1, keepdims=True)
        variance = (squares / articles - mean_squares) * articles / (articles - 1)
        tuned = covariance / ((1 + labels / rest) * variance)
    usable = (rest > 0) & (variance > 1e-12)
    weight = np.where(usable, np.clip(np.where(usable, tuned, 0.0), 0.0, 1.0), 0.0)
    means = mean_said + weight * (mean_rest - mean_there)
    return np.concatenate([_of_all(means), 1 - means.sum(axis=-1, keepdims=True)], axis=-1)


def _of_all(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return values / values.sum(axis=-1, keepdims=True)
