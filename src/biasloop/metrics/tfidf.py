"""TF-IDF of words or characters, countable once and weighted per fold. Knows no label.

Counting is scikit-learn's. Weighting a subset of rows by document frequencies of other rows is
exactly what refitting scikit-learn's `TfidfVectorizer` on those other rows gives (a test holds
the two together), without counting the text again for every fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from biasloop.device import return_freed_memory

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer

#: Counts that are looked at once: every step of it makes an array of eight bytes for each.
_AT_ONCE = 2**18


@dataclass(frozen=True)
class Terms:
    """What is counted: scikit-learn's ``analyzer``, n-gram range and least document frequency."""

    analyzer: str
    shortest: int
    longest: int
    least_articles: int

    def counter(self, vocabulary: Sequence[str] | None = None) -> CountVectorizer:
        """Make scikit-learn's counter, over a known vocabulary where one is given."""
        from sklearn.feature_extraction.text import CountVectorizer

        pattern = {} if self.analyzer != "word" else {"token_pattern": r"(?u)\b\w[\w'’]*"}
        return CountVectorizer(
            analyzer=self.analyzer,
            ngram_range=(self.shortest, self.longest),
            vocabulary=None if vocabulary is None else list(vocabulary),
            dtype=np.int32,
            **pattern,
        )


@dataclass(frozen=True)
class Weighting:
    """Which columns are kept and their inverse document frequencies, both shape (columns,)."""

    columns: np.ndarray
    idf: np.ndarray


def fit_weighting(counts: csr_matrix, least_articles: int) -> Weighting:
    """Keep the columns with enough articles, and give them ``ln((1 + n) / (1 + df)) + 1``."""
    frequency = np.zeros(counts.shape[1], dtype=np.int64)
    for at in range(0, len(counts.indices), _AT_ONCE):
        some = counts.indices[at : at + _AT_ONCE]
        frequency += np.bincount(some, minlength=counts.shape[1])
    columns = np.flatnonzero(frequency >= least_articles)
    return Weighting(columns, np.log((1 + counts.shape[0]) / (1 + frequency[columns])) + 1.0)


def weigh(counts: csr_matrix, idf: np.ndarray) -> csr_matrix:
    """Turn counts into rows of ``(1 + ln count) * idf``, of length 1 (or 0 for an empty one)."""
    from scipy.sparse import csr_matrix
    from sklearn.preprocessing import normalize

    # In place, and with the counts' own indices: the matrix is the largest thing in fitting. They
    # are sorted first, since their order is that in which the fitting adds up.
    counts.sort_indices()
    values = counts.data.astype(np.float64)
    np.log(values, out=values)
    values += 1.0
    for at in range(0, len(values), _AT_ONCE):
        values[at : at + _AT_ONCE] *= idf[counts.indices[at : at + _AT_ONCE]]
    weighted = csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
    return normalize(weighted, norm="l2", copy=False)


@dataclass(frozen=True)
class TfidfEncoder:
    """A fitted TF-IDF: text -> rows of unit length."""

    terms: Terms
    vocabulary: Sequence[str]
    idf: np.ndarray

    #: Every row is counted, weighted and multiplied by itself.
    at_once = 1024

    @cached_property
    def _counter(self) -> CountVectorizer:
        return self.terms.counter(self.vocabulary)

    def encode(self, texts: Sequence[str]) -> csr_matrix:
        """Encode texts, shape (texts, terms)."""
        from scipy.sparse import csr_matrix

        if not self.vocabulary or not texts:  # which scikit-learn refuses
            return csr_matrix((len(texts), len(self.vocabulary)))
        return weigh(self._counter.transform(texts), self.idf)

    def save(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Give JSON and arrays to keep."""
        return {"vocabulary": list(self.vocabulary)}, {"idf": self.idf}


@dataclass(frozen=True)
class TfidfCandidate:
    """A TF-IDF to try as the built-in classifier's features.

    Attributes
    ----------
    name
        As the card calls it.
    terms
        What is counted.
    strength
        Inverse regularisation of the logistic regression on it.
    """

    name: str
    terms: Terms
    strength: float

    def prepare(self, texts: Sequence[str]) -> TfidfPrepared:
        """Count every text's terms, once."""
        counter = self.terms.counter()
        try:
            counts = counter.fit_transform(texts)
        except ValueError:  # scikit-learn's "empty vocabulary": no text has a single term
            counts = counter.set_params(vocabulary=[" "]).fit_transform(texts)
        # A term that is too rare in all the rows is too rare in any part of them.
        possible = fit_weighting(counts, self.terms.least_articles).columns
        # As one block: single strings of it would hold on to what the whole vocabulary lay in.
        names = counter.get_feature_names_out()[possible].astype(np.dtypes.StringDType())
        counts = counts[:, possible]
        del counter
        return_freed_memory()
        return TfidfPrepared(self.terms, names, counts)

    def restore(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> TfidfEncoder:
        """Read back what `TfidfEncoder.save` gave."""
        return TfidfEncoder(self.terms, meta["vocabulary"], arrays["idf"])


@dataclass(frozen=True)
class TfidfPrepared:
    """Counted texts: rows can be encoded by what other rows say, without a leak."""

    terms: Terms
    names: np.ndarray
    counts: csr_matrix

    def encode(
        self, train: np.ndarray, test: np.ndarray | None = None
    ) -> tuple[csr_matrix, csr_matrix | None]:
        """Encode the rows ``train``, and ``test`` likewise, by ``train``'s frequencies only."""
        counts = self.counts[train]
        weighting = fit_weighting(counts, self.terms.least_articles)

        def weighed(counts: csr_matrix) -> csr_matrix:
            kept = len(weighting.columns) == counts.shape[1]
            return weigh(counts if kept else counts[:, weighting.columns], weighting.idf)

        return weighed(counts), None if test is None else weighed(self.counts[test])

    def encoder(self, train: np.ndarray | None = None) -> TfidfEncoder:
        """Fit on the rows ``train``; None takes every row."""
        counts = self.counts if train is None else self.counts[train]
        weighting = fit_weighting(counts, self.terms.least_articles)
        names = [str(name) for name in self.names[weighting.columns]]
        return TfidfEncoder(self.terms, names, weighting.idf)
