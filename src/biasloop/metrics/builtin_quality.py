"""The built-in quality classifier: sentence features, logistic regression. Knows sentences only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biasloop import seeds
from biasloop.errors import InputError
from biasloop.metrics.corruption import GRADES, NOISE, Pool, examples
from biasloop.metrics.linear import LinearClassifier, fit_linear
from biasloop.metrics.sentence_features import (
    Reading,
    Sentence,
    SentenceReader,
    fit_reader,
    read_sentences,
)
from biasloop.metrics.storage import load_instrument, save_instrument
from biasloop.metrics.text import interned, sentences, tokens

#: Enough of a corpus for the n-gram models; a larger one is sampled by article.
MOST_TOKENS = 1_000_000
#: Real sentences to corrupt and learn from.
MOST_SENTENCES = 2_000

_FOLDS = 5
_STRENGTH = 0.3
_CLIP = 4.0


@dataclass(frozen=True)
class QualityClassifier:
    """A fitted classifier of sentences into `corruption.GRADES`.

    Attributes
    ----------
    reader
        Sentences -> features.
    centre, scale
        Of each feature over the training sentences, shape (features,).
    linear
        On the standardised features and their products.
    """

    reader: SentenceReader
    centre: np.ndarray
    scale: np.ndarray
    linear: LinearClassifier

    def probabilities(self, articles: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Grade the sentences of articles.

        Parameters
        ----------
        articles
            For each article its sentences, in order.

        Returns
        -------
        list[np.ndarray]
            For each article, shape (sentences, grades). A sentence without a letter or digit is
            noise for certain.
        """
        read = [sentence for article in articles for sentence in read_sentences(article)]
        features = self.reader.features(read)
        graded = self.linear.probabilities(expand(features, self.centre, self.scale))
        graded[[not sentence.letters for sentence in read]] = np.eye(len(GRADES))[NOISE]
        return np.split(graded, np.cumsum([len(article) for article in articles])[:-1])

    def save(self, folder: Path) -> None:
        """Write the classifier; `load_quality` reads it back to the bit."""
        meta, arrays = self.reader.save()
        standard = {"centre": self.centre, "scale": self.scale}
        save_instrument(folder, meta, arrays | standard | self.linear.arrays())


def load_quality(folder: Path) -> QualityClassifier:
    """Read back what `QualityClassifier.save` wrote."""
    meta, arrays = load_instrument(folder)
    return QualityClassifier(
        SentenceReader.restore(meta, arrays),
        arrays["centre"],
        arrays["scale"],
        LinearClassifier.from_arrays(arrays),
    )


def expand(features: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Standardise, clip at 4 deviations, and add every product of two features.

    Shape (n, f) becomes (n, f + f (f + 1) / 2). Clipped, so that no text, however strange, leaves
    the range in which the weights were fitted.
    """
    standard = np.clip((features - centre) / scale, -_CLIP, _CLIP)
    first, second = np.triu_indices(standard.shape[1])
    return np.hstack([standard, standard[:, first] * standard[:, second]])


@dataclass(frozen=True)
class FittedQuality:
    """The final classifier and its out-of-fold predictions.

    Attributes
    ----------
    classifier
        Fitted on every example.
    truth, probabilities
        Grades, shape (n,), and predictions, shape (n, grades). Neither the n-gram models that
        read a sentence nor the regression's examples included its article; the models that read
        those *other* examples may have, as plain text without a grade.
    """

    classifier: QualityClassifier
    truth: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Graded:
    """Graded examples of one article, as read.

    Attributes
    ----------
    read
        The sentences.
    grades
        Of each, an index into `corruption.GRADES`.
    """

    read: list[Sentence]
    grades: list[int]


def grade_article(article: Sequence[str], pool: Pool, rng: np.random.Generator) -> Graded:
    """Corrupt an article's sentences and read each where it stands; see `corruption.examples`."""
    made = sorted(examples(article, pool, rng), key=lambda example: example.place)
    reading, at, read = Reading(), 0, []
    for example in made:
        while at < example.place:
            reading.add(reading.look(article[at]))
            at += 1
        read.append(reading.look(example.sentence, example.repeats))
    return Graded(read, [example.grade for example in made])


def fit_quality(articles: Sequence[str], seed: int) -> FittedQuality:
    """Fit the built-in quality classifier.

    Parameters
    ----------
    articles
        Real text, at least two articles with sentences.
    seed
        Of the sample, the corruptions and the folds.

    Raises
    ------
    InputError
        If there are too few sentences of four words or more.
    """
    order = seeds.generator(seed, "quality").permutation(len(articles))
    split, texts = _read(articles[row] for row in order)
    learnt = _prefix([len(article) for article in split], MOST_SENTENCES)
    pool = Pool(sentence for article in split for sentence in article)
    rng = seeds.generator(seed, "corruption")
    made = [grade_article(article, pool, rng) for article in split[:learnt]]
    matrix, truth, fold = _cross_fit(texts, made)

    _check_enough(truth, fold)
    probabilities = np.empty((len(truth), len(GRADES)))
    for part in np.unique(fold):
        train, test = fold != part, fold == part
        centre, scale, linear = _fit(matrix[train], truth[train])
        probabilities[test] = linear.probabilities(expand(matrix[test], centre, scale))
    centre, scale, linear = _fit(matrix, truth)
    reader = fit_reader([sentence for article in texts for sentence in article])
    return FittedQuality(QualityClassifier(reader, centre, scale, linear), truth, probabilities)


def _read(articles: Iterable[str]) -> tuple[list[list[str]], list[list[list[str]]]]:
    """Split articles into sentences, and these into tokens: the first of `MOST_TOKENS`, or two."""
    split: list[list[str]] = []
    texts: list[list[list[str]]] = []
    total = 0
    for article in articles:
        found = sentences(article)
        text = [interned(tokens(sentence.lower())) for sentence in found]
        total += sum(map(len, text))
        if total > MOST_TOKENS and len(texts) >= 2:
            break
        split.append(found)
        texts.append(text)
    return split, texts


def _prefix(sizes: Sequence[int], most: int) -> int:
    """How many articles fit into ``most``; at least two."""
    return max(2, int(np.searchsorted(np.cumsum(sizes), most, side="right")))


def _cross_fit(
    texts: list[list[list[str]]], made: list[Graded]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, grades and fold of every example, by models that never read its article."""
    fold_of = np.arange(len(texts)) % min(_FOLDS, len(texts))
    features, grades, folds = [], [], []
    for fold in range(int(fold_of.max()) + 1):
        reader = fit_reader([s for i in np.flatnonzero(fold_of != fold) for s in texts[i]])
        mine = [made[i] for i in np.flatnonzero(fold_of[: len(made)] == fold)]
        read = [sentence for article in mine for sentence in article.read]
        features.append(reader.features(read))
        grades += [grade for article in mine for grade in article.grades]
        folds += [fold] * len(read)
    return np.vstack(features), np.array(grades), np.array(folds)


def _check_enough(truth: np.ndarray, fold: np.ndarray) -> None:
    for part in np.unique(fold):
        if len(np.unique(truth[fold != part])) < len(GRADES):
            raise InputError(
                "metrics.quality: the instrument part has too few sentences of four words or more "
                "to train a quality classifier; raise corpus.instrument_fraction or give more "
                "articles"
            )


def _fit(
    features: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, LinearClassifier]:
    centre, deviation = features.mean(axis=0), features.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    linear = fit_linear(expand(features, centre, scale), truth, len(GRADES), _STRENGTH)
    return centre, scale, linear
