"""The built-in classifier: features chosen by cross-validation, logistic regression, calibrated.

One procedure (`_train`) makes a classifier from a training set: it chooses the features by
cross-validated macro-F1, fits the temperature on the same out-of-fold logits, and refits on
everything. Held-out figures come from running that whole procedure without the held-out articles,
so that neither the choice nor the calibration has seen them.

TF-IDF counts are made once and weighted per fold: what refitting scikit-learn's `TfidfVectorizer`
on the fold gives (a test holds the two together), without counting the text again.

Fitting is scikit-learn's; predicting is one product and one softmax, so that a model read back
from its arrays gives the same bits as the one that was fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biasloop.device import return_freed_memory
from biasloop.metrics.base import load_instrument, save_instrument
from biasloop.metrics.evaluation import Folds, by_article, by_source, group_ids, macro_f1
from biasloop.metrics.sentence_encoder import EmbeddingCandidate, MiniLmCandidate, SentenceEncoder

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer
    from threadpoolctl import ThreadpoolController


_ITERATIONS = 2000
_TEMPERATURES = (0.01, 100.0)


@dataclass(frozen=True)
class LinearClassifier:
    """A fitted classifier.

    Attributes
    ----------
    coefficients
        Shape (labels, features).
    intercepts
        Shape (labels,).
    temperature
        Divides the logits (Guo et al. 2017); 1 before calibration.
    """

    coefficients: np.ndarray
    intercepts: np.ndarray
    temperature: float = 1.0

    def logits(self, features: np.ndarray | csr_matrix) -> np.ndarray:
        """Uncalibrated logits, shape (n, labels)."""
        return np.asarray(features @ self.coefficients.T) + self.intercepts

    def probabilities(self, features: np.ndarray | csr_matrix) -> np.ndarray:
        """Calibrated probabilities, shape (n, labels)."""
        from scipy.special import softmax

        return softmax(self.logits(features) / self.temperature, axis=1)

    def arrays(self) -> dict[str, np.ndarray]:
        """Give the arrays to keep; see `from_arrays`."""
        return {
            "coefficients": self.coefficients,
            "intercepts": self.intercepts,
            "temperature": np.array([self.temperature]),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> LinearClassifier:
        """Read back what `arrays` gave."""
        return cls(arrays["coefficients"], arrays["intercepts"], float(arrays["temperature"][0]))


@cache
def _pools() -> ThreadpoolController:
    """Find the loaded libraries' threads, once: to look for them takes as long as a small fit."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _one_thread() -> AbstractContextManager[object]:
    return _pools().limit(limits=1)


def fit_linear(
    features: np.ndarray | csr_matrix, truth: np.ndarray, labels: int, strength: float
) -> LinearClassifier:
    """Fit L2-regularised multinomial logistic regression; every label counts the same.

    Parameters
    ----------
    features
        Shape (n, features), dense or CSR.
    truth
        Label indices, shape (n,); every label in ``range(labels)`` occurs.
    labels
        How many labels there are, at least 2.
    strength
        Inverse regularisation, scikit-learn's ``C``.

    Returns
    -------
    LinearClassifier
        Uncalibrated. Without a single feature it gives every label the same probability.
    """
    from sklearn.linear_model import LogisticRegression

    if not features.shape[1]:
        return LinearClassifier(np.zeros((labels, 0)), np.zeros(labels))
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=_ITERATIONS)
    # Thousands of products with one vector: several threads wait for each other most of the time.
    with _one_thread():
        model.fit(features, truth)
    weights, biases = model.coef_, model.intercept_
    if labels == 2:
        weights = np.vstack([np.zeros_like(weights), weights])
        biases = np.concatenate([np.zeros_like(biases), biases])
    return LinearClassifier(np.ascontiguousarray(weights), np.ascontiguousarray(biases))


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """Find the temperature with the least balanced log-loss on logits that were held out.

    scikit-learn's `CalibratedClassifierCV` would fit every fold's features again, whose held-out
    logits are there from the choice of the features.

    Parameters
    ----------
    logits
        Shape (n, labels), of articles that the classifier was not fitted on.
    truth
        Label indices, shape (n,).

    Returns
    -------
    float
        Between 0.01 and 100. Labels are unchanged: only confidence is.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax
    from sklearn.utils.class_weight import compute_sample_weight

    weights = compute_sample_weight("balanced", truth)
    rows = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        of_truth = log_softmax(logits / np.exp(log_temperature), axis=1)[rows, truth]
        return -float((weights * of_truth).mean())

    low, high = np.log(_TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


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


def fit_weighting(counts: csr_matrix, least_articles: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose the columns with enough articles, and give their ``ln((1 + n) / (1 + df)) + 1``."""
    frequency = np.bincount(counts.indices, minlength=counts.shape[1])
    columns = np.flatnonzero(frequency >= least_articles)
    return columns, np.log((1 + counts.shape[0]) / (1 + frequency[columns])) + 1.0


def weigh(counts: csr_matrix, idf: np.ndarray) -> csr_matrix:
    """Turn counts into rows of ``(1 + ln count) * idf``, of length 1 (or 0 for an empty one)."""
    from scipy.sparse import csr_matrix
    from sklearn.preprocessing import normalize

    # With the counts' own indices (scikit-learn's `TfidfTransformer` copies them): the matrix is
    # the largest thing in fitting. They are sorted first, since their order is that in which the
    # fitting adds up.
    counts.sort_indices()
    values = (np.log(counts.data.astype(np.float64)) + 1.0) * idf[counts.indices]
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
        possible, _ = fit_weighting(counts, self.terms.least_articles)
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
        columns, idf = fit_weighting(counts, self.terms.least_articles)
        held_out = None if test is None else weigh(self.counts[test][:, columns], idf)
        return weigh(counts[:, columns], idf), held_out

    def encoder(self, train: np.ndarray | None = None) -> TfidfEncoder:
        """Fit on the rows ``train``; None takes every row."""
        counts = self.counts if train is None else self.counts[train]
        columns, idf = fit_weighting(counts, self.terms.least_articles)
        return TfidfEncoder(self.terms, list(map(str, self.names[columns])), idf)


_OUTER_FOLDS = 5
_INNER_FOLDS = 3


#: Fitted features: text -> rows, shape (texts, features). ``at_once`` is how many texts to encode
#: together, where a text's row is the same in any company; else None, for all of them.
Encoder = TfidfEncoder | SentenceEncoder

#: What makes them: `prepare` reads texts once, so that any rows of them can be encoded.
Candidate = TfidfCandidate | MiniLmCandidate | EmbeddingCandidate

#: The features that can be tried, by the name that the config uses. One line adds one.
CANDIDATES: dict[str, Candidate] = {
    candidate.name: candidate
    for candidate in (
        TfidfCandidate("word-tfidf", Terms("word", 1, 2, least_articles=2), strength=1.0),
        TfidfCandidate("character-tfidf", Terms("char_wb", 3, 5, least_articles=3), strength=1.0),
        MiniLmCandidate("minilm", strength=10.0),
    )
}

#: What a card calls them.
DESCRIPTIONS = {
    "word-tfidf": "word TF-IDF + logistic regression",
    "character-tfidf": "character TF-IDF + logistic regression",
    "minilm": "MiniLM embeddings + logistic regression",
}

#: What the second classifier may read by; it takes the first that the classifier itself does not.
_SECOND = ("character-tfidf", "word-tfidf")


@dataclass(frozen=True)
class BuiltinClassifier:
    """A fitted classifier.

    Attributes
    ----------
    candidate
        Which of `CANDIDATES` it is.
    encoder, linear
        Its two halves.
    """

    candidate: str
    encoder: Encoder
    linear: LinearClassifier

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Calibrated probabilities, shape (texts, labels)."""
        size = self.encoder.at_once or max(1, len(texts))
        pieces = [texts[at : at + size] for at in range(0, len(texts), size)] or [texts]
        return np.concatenate(
            [self.linear.probabilities(self.encoder.encode(piece)) for piece in pieces]
        )

    def save(self, folder: Path) -> None:
        """Write the classifier; `load_builtin` reads it back to the bit."""
        meta, arrays = self.encoder.save()
        save_instrument(
            folder, {"candidate": self.candidate, "encoder": meta}, arrays | self.linear.arrays()
        )


def load_builtin(folder: Path, known: Mapping[str, Candidate] = CANDIDATES) -> BuiltinClassifier:
    """Read back what `BuiltinClassifier.save` wrote; ``known`` as for `fit_builtin`."""
    meta, arrays = load_instrument(folder)
    encoder = known[meta["candidate"]].restore(meta["encoder"], arrays)
    return BuiltinClassifier(meta["candidate"], encoder, LinearClassifier.from_arrays(arrays))


@dataclass(frozen=True)
class HeldOut:
    """Out-of-fold predictions of the whole procedure.

    Attributes
    ----------
    rows
        The articles predicted, as indices.
    folds
        Which were held out together; indices into the articles.
    probabilities
        Shape (len(rows), labels).
    classifiers
        Of each fold the classifier that has not seen it.
    """

    rows: np.ndarray
    folds: Folds
    probabilities: np.ndarray
    classifiers: Sequence[BuiltinClassifier]


@dataclass(frozen=True)
class FittedBuiltin:
    """The final classifier and everything that its card needs.

    Attributes
    ----------
    classifier
        Fitted on every article.
    macro_f1
        Candidate -> cross-validated macro-F1, in the order tried.
    by_article, by_source
        Held-out predictions; ``by_source`` is None where sources cannot be held out.
    """

    classifier: BuiltinClassifier
    macro_f1: dict[str, float]
    by_article: HeldOut
    by_source: HeldOut | None


@dataclass(frozen=True)
class _Problem:
    """The prepared candidates and the truth, of which a training set is a choice of rows."""

    candidates: Sequence[Candidate]
    prepared: list[Any]
    truth: np.ndarray
    groups: np.ndarray
    labels: int
    seed: int

    def train(self, rows: np.ndarray, folds: int) -> tuple[BuiltinClassifier, Any, list[float]]:
        """Choose, calibrate and fit on ``rows`` alone.

        Beside the classifier are the texts as its features prepared them, and each candidate's
        macro-F1.
        """
        truth = self.truth[rows]
        parts = by_source(truth, self.groups[rows], folds, self.seed)
        parts = by_article(truth, folds, self.seed) if parts is None else parts
        logits = [self._out_of_fold(index, rows, parts) for index in range(len(self.candidates))]
        scores = [macro_f1(truth, one.argmax(axis=1), self.labels) for one in logits]
        best = int(np.argmax(scores))
        chosen, prepared = self.candidates[best], self.prepared[best]
        features, _ = prepared.encode(rows)
        linear = fit_linear(features, truth, self.labels, chosen.strength)
        calibrated = replace(linear, temperature=fit_temperature(logits[best], truth))
        return BuiltinClassifier(chosen.name, prepared.encoder(rows), calibrated), prepared, scores

    def _out_of_fold(self, index: int, rows: np.ndarray, parts: Folds) -> np.ndarray:
        logits = np.empty((len(rows), self.labels))
        for part in parts:
            train = np.delete(rows, part)
            features, held_out = self.prepared[index].encode(train, rows[part])
            strength = self.candidates[index].strength
            linear = fit_linear(features, self.truth[train], self.labels, strength)
            logits[part] = linear.logits(held_out)
        return logits

    def held_out(self, rows: np.ndarray, parts: Folds) -> HeldOut:
        """Run `train` without each part and predict that part."""
        probabilities = np.empty((len(rows), self.labels))
        classifiers = []
        for part in parts:
            train, test = np.delete(rows, part), rows[part]
            classifier, prepared, _ = self.train(train, _INNER_FOLDS)
            _, features = prepared.encode(train, test)
            probabilities[part] = classifier.linear.probabilities(features)
            classifiers.append(classifier)
        return HeldOut(rows, [rows[part] for part in parts], probabilities, classifiers)


def fit_builtin(
    texts: Sequence[str],
    truth: np.ndarray,
    sources: Sequence[str],
    labels: int,
    candidates: Sequence[str],
    seed: int,
    known: Mapping[str, Candidate] = CANDIDATES,
) -> FittedBuiltin:
    """Fit the built-in classifier.

    Parameters
    ----------
    texts
        The instrument articles, already cut to what the classifier reads.
    truth
        Label indices, shape (texts,); every label in ``range(labels)`` at least twice.
    sources
        Source of each article; empty where it is not known. An article without one counts as
        its own source in choosing and calibrating, and is left out of ``by_source``.
    labels
        How many labels there are.
    candidates
        Names of ``known``, tried in this order; the first of equals is taken.
    seed
        Of the folds.
    known
        The features that can be tried, by name.
    """
    chosen = [known[name] for name in candidates]
    problem = _Problem(
        chosen, [c.prepare(texts) for c in chosen], truth, group_ids(sources), labels, seed
    )
    every = np.arange(len(texts))
    by_articles = problem.held_out(every, by_article(truth, _OUTER_FOLDS, seed))
    classifier, _, scores = problem.train(every, _OUTER_FOLDS)
    by_name = dict(zip(candidates, scores, strict=True))
    return FittedBuiltin(classifier, by_name, by_articles, _hold_out_sources(problem, sources))


def fit_second(
    texts: Sequence[str], truth: np.ndarray, labels: int, first: str | None
) -> BuiltinClassifier:
    """Fit a second classifier, to see where the two part: on other features, the same articles.

    Parameters
    ----------
    texts, truth, labels
        As for `fit_builtin`.
    first
        The features of the classifier that it is held against; None where that is not built in.

    Returns
    -------
    BuiltinClassifier
        Not calibrated: only its likeliest label is of use.
    """
    name = next(name for name in _SECOND if name != first)
    prepared = CANDIDATES[name].prepare(texts)
    features, _ = prepared.encode(np.arange(len(texts)))
    linear = fit_linear(features, truth, labels, CANDIDATES[name].strength)
    return BuiltinClassifier(name, prepared.encoder(), linear)


def _hold_out_sources(problem: _Problem, sources: Sequence[str]) -> HeldOut | None:
    known = np.flatnonzero([bool(source) for source in sources])
    if len(np.unique(problem.truth[known])) < problem.labels:
        return None
    parts = by_source(problem.truth[known], problem.groups[known], _OUTER_FOLDS, problem.seed)
    return None if parts is None else problem.held_out(known, parts)
