"""The metric ``embedding``: Vendi score, and MAUVE against real articles, by articles' vectors.

By hand, and held to the packages ``vendi-score`` and ``mauve-text`` by tests: the formulas are
short, the packages give no interval, and MAUVE's is under the GPL and brings its own k-means.

The real articles are those kept for the instruments, on which no model is trained, so that a model
gains nothing by repeating its training articles. The real articles of the loop, scored alike, say
what value text of that kind reaches.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from biasloop import seeds
from biasloop.errors import InputError
from biasloop.metrics.base import FitContext, Scored, load_instrument, save_instrument, scored
from biasloop.metrics.classifier import CANDIDATES, Encoder
from biasloop.metrics.diversity import sampled
from biasloop.quantities import Quantity, declare

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: Fewer real articles are no sample of real text.
_LEAST_REAL = 10
#: Pillutla et al. (2021): scale of the divergences, points of the curve, articles of a cluster, and
#: the share of variance that is clustered.
_SCALE, _POINTS, _PER_CLUSTER, _VARIANCE = 5.0, 25, 10, 0.9
_RESTARTS = 5

declare(
    Quantity(
        "vendi",
        "Vendi score",
        "embedding",
        "diversity",
        bounds=(1.0, None),
        title="Vendi score",
        caption="Effective number of different articles among those sampled: 1 where all are "
        "alike. A fall is worse: the articles grow alike.",
        unit="articles",
        tested="Vendi score",
        digits=2,
    ),
    Quantity(
        "mauve",
        "MAUVE",
        "embedding",
        "diversity",
        bounds=(0.0, 1.0),
        title="MAUVE",
        caption="How alike the distributions of generated and real articles are: 1 the same. A "
        "fall is worse. Real articles do not reach 1 either: compare with their value.",
        unit="0 to 1",
        tested="MAUVE",
    ),
)


def vendi(kernel: np.ndarray) -> float:
    """Exponential of the entropy of the eigenvalues of a kernel over n (Friedman and Dieng 2023).

    Parameters
    ----------
    kernel
        Positive semi-definite, ones on the diagonal, shape (n, n).

    Returns
    -------
    float
        The effective number of different items, 1 to n.
    """
    from scipy.special import entr

    shares = np.linalg.eigvalsh(kernel / len(kernel))
    return float(np.exp(entr(np.maximum(shares, 0.0)).sum()))


def vendi_values(kernel: np.ndarray) -> np.ndarray:
    """Take the Vendi score apart: one value per item, whose mean is the score.

    Delete-one pseudo-values, centred on the score, as `diversity.self_bleu` has them and for the
    same reason.

    Returns
    -------
    np.ndarray
        Shape (n,); NaN for fewer than three items.
    """
    count = len(kernel)
    if count < 3:
        return np.full(count, np.nan)
    rest = (np.delete(np.arange(count), row) for row in range(count))
    without = np.array([vendi(kernel[np.ix_(rows, rows)]) for rows in rest])
    return vendi(kernel) + (count - 1) * (without.mean() - without)


def mauve(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Area under the divergence curve of two distributions (Pillutla et al. 2021).

    With R = w P + (1 - w) Q the curve is (exp(-c KL(Q|R)), exp(-c KL(P|R))) for w from 0 to 1.

    Parameters
    ----------
    p, q
        Shares, shapes (..., clusters) that broadcast.

    Returns
    -------
    np.ndarray
        Shape (...), in [0, 1]; 1 where the two are the same.
    """
    from scipy.special import rel_entr

    p, q = np.broadcast_arrays(p, q)
    weight = np.linspace(1e-6, 1 - 1e-6, _POINTS)[:, *[None] * p.ndim]
    mixed = weight * p + (1 - weight) * q
    x, y = (np.exp(-_SCALE * rel_entr(of, mixed).sum(axis=-1)) for of in (q, p))
    none, whole = np.zeros((1, *x.shape[1:])), np.ones((1, *x.shape[1:]))
    x, y = np.concatenate([whole, x, none]), np.concatenate([none, y, whole])
    return -np.trapezoid(y, x, axis=0)


def mauve_values(kernel: np.ndarray, real: int, repeats: Sequence[int]) -> np.ndarray:
    """Take MAUVE apart: one value per article, whose mean is MAUVE.

    Articles, real ones too, are clustered by k-means in the principal components that hold 90 % of
    the variance; MAUVE compares the shares of the clusters. The values are delete-one pseudo-values
    with the clusters held, averaged over clusterings.

    Parameters
    ----------
    kernel
        Products of all vectors with each other, the real articles' first, shape (all, all).
    real
        How many are real.
    repeats
        Seeds of the clusterings.

    Returns
    -------
    np.ndarray
        Shape (all - real,); NaN for fewer than three articles of either kind.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.preprocessing import KernelCenterer
    from threadpoolctl import threadpool_limits

    count = len(kernel) - real
    if min(count, real) < 3:
        return np.full(count, np.nan)
    clusters = max(2, round(min(count, real) / _PER_CLUSTER))
    # The scores of a principal component analysis, from the products alone.
    values, vectors = np.linalg.eigh(KernelCenterer().fit_transform(kernel))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    kept = 1 + int(np.searchsorted(np.cumsum(values), _VARIANCE * values.sum()))
    points = vectors[:, :kept] * np.sqrt(values[:kept])
    found = np.zeros(count)
    for seed in repeats:
        # On several threads the sums depend on which is first.
        with warnings.catch_warnings(), threadpool_limits(1, "openmp"):
            # Of a collapsed model: fewer different articles than clusters.
            warnings.simplefilter("ignore", ConvergenceWarning)
            place = KMeans(clusters, n_init=_RESTARTS, random_state=seed).fit_predict(points)
        q = np.bincount(place[:real], minlength=clusters) / real
        counts = np.bincount(place[real:], minlength=clusters)
        one_less = np.maximum(counts - np.eye(clusters), 0) / (count - 1)
        without = mauve(one_less, q)[place[real:]]
        found += mauve(counts / count, q) + (count - 1) * (without.mean() - without)
    return found / len(repeats)


@dataclass(frozen=True)
class Embedding:
    """The metric, ready to score.

    Attributes
    ----------
    encoder
        Articles -> rows of unit length; zeros for one without a known word.
    real
        Rows of the real articles.
    sample, repeats, seed
        How many articles of a set are compared, how many clusterings there are, and the seed of
        both: generations of the same articles use the same ones.
    """

    encoder: Encoder
    real: csr_matrix
    sample: int
    repeats: int
    seed: int

    def score(self, articles: pl.DataFrame) -> Scored:
        """Score articles: ``vendi`` and ``mauve`` of those sampled, null where one has no vector.

        What each article has in the set's figure: see `vendi_values` and `mauve_values`.
        """
        from scipy.sparse import csr_matrix, vstack

        ids = articles["article_id"].to_list()
        rows = sampled(ids, self.sample, seeds.generator(self.seed, "embedding"))
        chosen = articles[rows]
        vectors = csr_matrix(self.encoder.encode(chosen["body"].to_list()))
        there = np.flatnonzero(vectors.getnnz(axis=1))
        vectors = vectors[there]
        repeats = [seeds.integer(self.seed, "mauve", number) for number in range(self.repeats)]
        both = vstack([self.real, vectors])
        every, real = (both @ both.T).toarray(), self.real.shape[0]
        own = every[real:, real:]
        figures = {"vendi": vendi_values(own), "mauve": mauve_values(every, real, repeats)}
        columns = {name: np.full(len(rows), np.nan) for name in figures}
        for name, values in figures.items():
            columns[name][there] = values
        return scored(chosen["article_id"].to_list(), columns)


class EmbeddingKind:
    """The registry's entry: the encoder, fitted on the instrument articles, and their vectors."""

    whole_set = True

    def fit(self, context: FitContext, folder: Path) -> None:
        """Write the encoder and the vectors of the real articles to compare with.

        Raises
        ------
        InputError
            If there are too few.
        """
        from scipy.sparse import csr_matrix

        texts = context.articles["body"].to_list()
        own = context.config.embedding
        encoder = CANDIDATES[own.encoder].prepare(texts).encoder()
        random = seeds.generator(context.seed, "embedding")
        rows = sampled(context.articles["article_id"].to_list(), own.articles, random)
        real = csr_matrix(encoder.encode([texts[row] for row in rows]))
        real = real[np.flatnonzero(real.getnnz(axis=1))]
        if real.shape[0] < _LEAST_REAL:
            raise InputError(
                "metrics.names: 'embedding' compares with the real articles that are kept for the "
                f"instruments, and {real.shape[0]} of them have text that it can read; it needs "
                f"{_LEAST_REAL}: raise corpus.instrument_fraction or corpus.articles_per_label"
            )
        meta, arrays = encoder.save()
        arrays |= {"real": real.data, "real_columns": real.indices, "real_rows": real.indptr}
        save_instrument(folder, {"encoder": meta, "width": real.shape[1]}, arrays)

    def load(self, context: FitContext, folder: Path) -> Embedding:
        """Read back what `fit` wrote."""
        from scipy.sparse import csr_matrix

        meta, arrays = load_instrument(folder)
        own = context.config.embedding
        real = (arrays["real"], arrays["real_columns"], arrays["real_rows"])
        return Embedding(
            CANDIDATES[own.encoder].restore(meta["encoder"], arrays),
            csr_matrix(real, shape=(len(real[2]) - 1, meta["width"])),
            own.articles,
            own.mauve_seeds,
            context.seed,
        )
