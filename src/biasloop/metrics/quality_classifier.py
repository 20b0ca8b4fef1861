"""The built-in quality classifier: graded corruptions of real sentences, logistic regression.

Four grades, those of the Gibberish Detector that the paper uses: *clean* is the sentence itself,
*mild gibberish* is mostly its words but broken grammar or a stutter, *word salad* is real words
without order or said over and over, *noise* is not words at all. A collapsed model repeats itself
within and across sentences, so both are among the corruptions.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biasloop import seeds
from biasloop.errors import InputError
from biasloop.metrics.base import load_instrument, save_instrument
from biasloop.metrics.classifier import LinearClassifier, fit_linear
from biasloop.metrics.sentence_features import (
    Reading,
    Sentence,
    SentenceReader,
    fit_reader,
    read_sentences,
)
from biasloop.metrics.tokenization import interned, sentences, tokens

#: Worst to best; a grade's place is its value in the text quality index.
GRADES = ("noise", "word salad", "mild gibberish", "clean")

NOISE, SALAD, MILD, CLEAN = range(4)

#: A shorter sentence has no order to lose.
LEAST_WORDS = 4

_REPEATED = 0.25


@dataclass(frozen=True)
class GradedSentence:
    """A graded sentence and where it stands.

    Attributes
    ----------
    place
        How many of the article's own sentences stand before it.
    sentence
        The sentence that is graded.
    grade
        Index into `GRADES`.
    repeats
        How many times the sentence itself stands before it, after those.
    """

    place: int
    sentence: str
    grade: int
    repeats: int = 0


class Pool:
    """The corpus's running words, to draw from.

    Parameters
    ----------
    sentences
        Real sentences.
    """

    def __init__(self, sentences: Iterable[str]) -> None:
        self.words: list[str] = []
        self.followers: dict[str, list[str]] = {}
        for sentence in sentences:
            found = interned(bare(sentence).split())
            self.words += found
            for word, follower in itertools.pairwise(found):
                self.followers.setdefault(word, []).append(follower)


def bare(sentence: str) -> str:
    """Take the marks off a sentence's end."""
    return sentence.rstrip(".!?…\"'”’)]")


Corruption = Callable[[list[str], Pool, np.random.Generator], list[str]]


def _draw(pool: Pool, rng: np.random.Generator) -> str:
    return pool.words[int(rng.integers(len(pool.words)))]


def edited(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Swap, drop, double or replace a fifth to two fifths of the words; at least two edits."""
    result = list(words)
    edits = max(2, round(len(words) * rng.uniform(0.2, 0.4)))
    for _ in range(edits):
        at = int(rng.integers(len(result)))
        match int(rng.integers(4)):
            case 0 if len(result) > 1:
                other = at + 1 if at + 1 < len(result) else at - 1
                result[at], result[other] = result[other], result[at]
            case 1 if len(result) > LEAST_WORDS - 1:
                del result[at]
            case 2:
                result.insert(at, result[at])
            case _:
                result[at] = _draw(pool, rng)
    return result


def stuttered(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Say a phrase of two to five words twice or three times."""
    length = min(len(words), int(rng.integers(2, 6)))
    at = int(rng.integers(len(words) - length + 1))
    phrase = words[at : at + length]
    return words[:at] + phrase * int(rng.integers(2, 4)) + words[at + length :]


def chained(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Let every word be followed by what follows it somewhere in the corpus, and forget the rest.

    A Markov chain of order 1: every pair of words is good and the sentence goes nowhere, as from
    a small or a worn model.
    """
    result = [words[0] if words[0] in pool.followers else _draw(pool, rng)]
    while len(result) < len(words):
        followers = pool.followers.get(result[-1])
        result.append(
            followers[int(rng.integers(len(followers)))] if followers else _draw(pool, rng)
        )
    return result


def misspelt(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Make a fifth to half of the words into the head of one word and the tail of another.

    What a model writes whose sub-word pieces do not fit together.
    """
    result = list(words)
    count = max(1, round(len(words) * rng.uniform(0.2, 0.5)))
    for at in rng.choice(len(words), size=count, replace=False):
        head, tail = result[at], _draw(pool, rng)
        result[at] = head[: (len(head) + 1) // 2] + tail[len(tail) // 2 :]
    return result


def shuffled(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Put the words in random order."""
    return [words[i] for i in rng.permutation(len(words))]


def drawn(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Draw as many words from the corpus, as often as they occur there."""
    return [_draw(pool, rng) for _ in words]


def looped(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Say a phrase of one to six words over and over, to the sentence's length or far beyond."""
    length = min(len(words), int(rng.integers(1, 7)))
    at = int(rng.integers(len(words) - length + 1))
    total = max(len(words), 4 * length) * int(rng.integers(1, 4))
    phrase = words[at : at + length]
    return words[:at] + [phrase[i % length] for i in range(total)]


def scrambled(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Scramble the letters of (nearly) every word."""
    share = rng.uniform(0.8, 1.0)
    return [
        "".join(word[i] for i in rng.permutation(len(word))) if rng.random() < share else word
        for word in words
    ]


def mashed(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Put random characters, now and then of any kind, in place of every word."""
    letters = _ALPHABETS[int(rng.integers(len(_ALPHABETS)))]
    return [
        "".join(letters[i] for i in rng.integers(len(letters), size=len(word))) for word in words
    ]


_ALPHABETS = (
    string.ascii_lowercase,
    string.ascii_letters + string.digits + string.punctuation,
    string.punctuation,
    ".,-!?",
)

_CORRUPTIONS: dict[int, tuple[Corruption, ...]] = {
    NOISE: (scrambled, mashed, mashed),
    SALAD: (shuffled, drawn, looped),
    MILD: (edited, edited, chained, stuttered, misspelt),
}


def corrupt(sentence: str, corruption: Corruption, pool: Pool, rng: np.random.Generator) -> str:
    """Corrupt a sentence's words; the mark at its end stays at its end."""
    body = bare(sentence)
    return " ".join(corruption(body.split(), pool, rng)) + sentence[len(body) :]


def examples(article: Sequence[str], pool: Pool, rng: np.random.Generator) -> list[GradedSentence]:
    """Grade an article's sentences and corruptions of them.

    Parameters
    ----------
    article
        Its sentences, in order.
    pool
        The corpus's words.
    rng
        Chooses and carries out the corruptions.

    Returns
    -------
    list[GradedSentence]
        For each sentence itself as clean; for each of at least four words one corruption of each
        grade; and for one in four such sentences what repeating it whole gives: mild gibberish
        said for the second time, word salad from the third.
    """
    found = []
    for place, sentence in enumerate(article):
        found.append(GradedSentence(place, sentence, CLEAN))
        if len(sentence.split()) < LEAST_WORDS:
            continue
        for grade, ways in _CORRUPTIONS.items():
            way = ways[int(rng.integers(len(ways)))]
            found.append(GradedSentence(place, corrupt(sentence, way, pool, rng), grade))
        if rng.random() < _REPEATED:
            times = int(rng.geometric(0.2)) + 1
            found.append(GradedSentence(place, sentence, MILD, repeats=1))
            found.append(GradedSentence(place, sentence, SALAD, repeats=times))
    return found


#: Enough of a corpus for the n-gram models; a larger one is sampled by article.
MOST_TOKENS = 1_000_000
#: Real sentences to corrupt and learn from.
MOST_SENTENCES = 2_000

_FOLDS = 5
_STRENGTH = 0.3
_CLIP = 4.0


@dataclass(frozen=True)
class QualityClassifier:
    """A fitted classifier of sentences into `GRADES`.

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


def grade_article(
    article: Sequence[str], pool: Pool, rng: np.random.Generator
) -> tuple[list[Sentence], list[int]]:
    """Corrupt an article's sentences and read each where it stands; see `examples`.

    Returns
    -------
    tuple
        The sentences as read, and of each its grade, an index into `GRADES`.
    """
    made = sorted(examples(article, pool, rng), key=lambda example: example.place)
    reading, at, read = Reading(), 0, []
    for example in made:
        while at < example.place:
            reading.add(reading.look(article[at]))
            at += 1
        read.append(reading.look(example.sentence, example.repeats))
    return read, [example.grade for example in made]


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
    sizes = np.cumsum([len(article) for article in split])
    learnt = max(2, int(np.searchsorted(sizes, MOST_SENTENCES, side="right")))
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


def _cross_fit(
    texts: list[list[list[str]]], made: list[tuple[list[Sentence], list[int]]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, grades and fold of every example, by models that never read its article."""
    fold_of = np.arange(len(texts)) % min(_FOLDS, len(texts))
    features, grades, folds = [], [], []
    for fold in range(int(fold_of.max()) + 1):
        reader = fit_reader([s for i in np.flatnonzero(fold_of != fold) for s in texts[i]])
        mine = [made[i] for i in np.flatnonzero(fold_of[: len(made)] == fold)]
        read = [sentence for own, _ in mine for sentence in own]
        features.append(reader.features(read))
        grades += [grade for _, own in mine for grade in own]
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
