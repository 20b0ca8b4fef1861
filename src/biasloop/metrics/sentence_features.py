"""What of a sentence tells language from gibberish, as numbers.

Three n-gram models over the same real text read it: of words, of word classes (the frequent words
themselves, the others by their ending: grammar without the topic), and of characters (is this a
word at all?). Beside them stand plain shares: words known, letters, and repetition within the
sentence and of what the article said before.

The n-gram model is written here, over arrays: nltk's asks a dictionary for one n-gram at a time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from biasloop.metrics.tokenization import ngrams, tokens

START, END, UNKNOWN = 0, 1, 2
#: The first number that is free for a symbol.
FIRST = 3

_DISCOUNT = 0.75


@dataclass(frozen=True)
class NgramModel:
    """A fitted model (Kneser and Ney 1995; interpolated, one discount of 0.75).

    Attributes
    ----------
    size
        Number of symbols, `START`, `END` and `UNKNOWN` included.
    keys, counts
        For each order 1, 2, ...: the n-grams seen, as sorted mixed-radix numbers, and their
        counts: of occurrences for the highest order, of distinct predecessors for the others.
    """

    size: int
    keys: Sequence[np.ndarray]
    counts: Sequence[np.ndarray]

    @property
    def order(self) -> int:
        """The length of the longest n-grams."""
        return len(self.keys)

    @cached_property
    def _contexts(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """For each order: context keys, the sum of counts after each, and how many follow."""
        result = []
        for keys, counts in zip(self.keys, self.counts, strict=True):
            contexts, place, followers = np.unique(
                keys // self.size, return_inverse=True, return_counts=True
            )
            totals = np.bincount(place, weights=counts, minlength=len(contexts))
            result.append((contexts, totals, followers.astype(float)))
        return result

    def log_probabilities(self, sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Score every symbol, and the end, of every sequence.

        Parameters
        ----------
        sequences
            Symbol numbers, each of any length.

        Returns
        -------
        tuple
            Log-probabilities in nats, shape (order, symbols): row k is the model of order k + 1,
            so the last row is the full model; and, shape (symbols,), the longest n-gram that ends
            at the symbol and was seen, 0 to ``order``. Symbols are those of all sequences
            together, each followed by its end.
        """
        grams = _grams(sequences, self.order, self.size)
        probability = np.full(len(grams[0]), 1.0 / (self.size - 1))
        seen = np.zeros(len(probability), dtype=np.int64)
        rows = np.empty((self.order, len(probability)))
        for level, keys in enumerate(grams):
            count = _look_up(self.keys[level], self.counts[level], keys)
            contexts, totals, followers = self._contexts[level]
            total = _look_up(contexts, totals, keys // self.size)
            reserved = _DISCOUNT * _look_up(contexts, followers, keys // self.size)
            known = total > 0
            divisor = np.where(known, total, 1.0)
            mixed = (np.maximum(count - _DISCOUNT, 0.0) + reserved * probability) / divisor
            probability = np.where(known, mixed, probability)
            seen[count > 0] = level + 1
            rows[level] = np.log(probability)
        return rows, seen

    def arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """Give the arrays to keep; see `from_arrays`."""
        kept = {f"{prefix}.size": np.array([self.size])}
        for level, (keys, counts) in enumerate(zip(self.keys, self.counts, strict=True)):
            kept[f"{prefix}.keys.{level}"] = keys
            kept[f"{prefix}.counts.{level}"] = counts
        return kept

    @classmethod
    def from_arrays(cls, prefix: str, arrays: Mapping[str, np.ndarray]) -> NgramModel:
        """Read back what `arrays` gave."""
        levels = range(sum(name.startswith(f"{prefix}.keys.") for name in arrays))
        return cls(
            int(arrays[f"{prefix}.size"][0]),
            [arrays[f"{prefix}.keys.{level}"] for level in levels],
            [arrays[f"{prefix}.counts.{level}"] for level in levels],
        )


def fit_ngrams(sequences: Sequence[np.ndarray], order: int, size: int) -> NgramModel:
    """Count n-grams.

    Parameters
    ----------
    sequences
        Symbol numbers from `FIRST` (or `UNKNOWN`) to ``size - 1``.
    order
        Length of the longest n-grams; ``size ** order`` must stay below 2 ** 63.
    size
        Number of symbols, the three reserved ones included.
    """
    if size**order >= 2**63:
        raise ValueError(f"{size} symbols to the power of {order} do not fit 63 bits")
    grams = _grams(sequences, order, size)
    keys, counts = [], []
    for level in range(order):
        if level == order - 1:
            found, count = np.unique(grams[level], return_counts=True)
        else:
            # A longer n-gram's number modulo size ** k is the number of its last k symbols.
            longer = np.unique(grams[level + 1])
            found, count = np.unique(longer % size ** (level + 1), return_counts=True)
        keys.append(found)
        counts.append(count.astype(float))
    return NgramModel(size, keys, counts)


def _grams(sequences: Sequence[np.ndarray], order: int, size: int) -> list[np.ndarray]:
    """For each order, the number of the n-gram that ends at each symbol and at each end."""
    start = np.full(order - 1, START, dtype=np.int64)
    parts: list[np.ndarray] = []
    for sequence in sequences:
        parts += [start, np.asarray(sequence, dtype=np.int64), np.array([END])]
    whole = np.concatenate([*parts, start])
    ends = np.flatnonzero(whole[: len(whole) - len(start)] != START)
    result = []
    for length in range(1, order + 1):
        keys = np.zeros(len(ends), dtype=np.int64)
        for back in range(length - 1, -1, -1):
            keys = keys * size + whole[ends - back]
        result.append(keys)
    return result


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values of the wanted keys, 0 where a key is not there."""
    if not len(keys):
        return np.zeros(len(wanted))
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0.0)


#: The columns of `SentenceReader.features`.
FEATURES = (
    "word_logp",
    "word_gain",
    "bigrams_seen",
    "trigrams_seen",
    "class_logp",
    "class_gain",
    "class_reach",
    "word_reach",
    "class_worst",
    "known",
    "character_logp",
    "character_worst",
    "letters",
    "repeated_pairs",
    "doubled",
    "echo",
    "said_before",
    "length",
)

_WORD_ORDER, _CLASS_ORDER, _CHARACTER_ORDER = 3, 4, 4
_FREQUENT = 300
_ENDINGS = ("ing", "ion", "ed", "ly", "'s", "’s", "er", "al", "s", "y", "e")
_ECHO = 3
_LONGEST_WORD = 40


@dataclass(frozen=True)
class Sentence:
    """A tokenised sentence and how much of it the article has said before.

    Attributes
    ----------
    tokens
        Lower case.
    echo
        Share of its trigrams that stand in an earlier sentence of the article.
    said_before
        How often the same sentence stands earlier in the article.
    letters
        Share of letters and digits among its characters that are not blank.
    """

    tokens: tuple[str, ...]
    echo: float
    said_before: int
    letters: float


class Reading:
    """An article being read from its beginning: what has been said so far."""

    def __init__(self) -> None:
        self._earlier: set[tuple[str, ...]] = set()
        self._said: Counter[tuple[str, ...]] = Counter()

    def look(self, text: str, repeats: int = 0) -> Sentence:
        """Read a sentence as if it came next, after ``repeats`` more copies of itself."""
        found = tuple(tokens(text.lower()))
        grams = set(ngrams(found, _ECHO)) or {found}
        visible = re.sub(r"\s", "", text)
        return Sentence(
            found,
            1.0 if repeats else len(grams & self._earlier) / len(grams),
            self._said[found] + repeats,
            sum(map(str.isalnum, visible)) / max(1, len(visible)),
        )

    def add(self, sentence: Sentence) -> None:
        """Go on behind a sentence."""
        self._earlier |= set(ngrams(sentence.tokens, _ECHO)) or {sentence.tokens}
        self._said[sentence.tokens] += 1


def read_sentences(article: Sequence[str]) -> list[Sentence]:
    """Read an article's sentences, in order, each against those before it."""
    reading = Reading()
    result = []
    for text in article:
        sentence = reading.look(text)
        reading.add(sentence)
        result.append(sentence)
    return result


def _is_word(token: str) -> bool:
    return token[0].isalnum()


def _ending(token: str) -> str:
    if not _is_word(token):
        return "<mark>"
    if token[0].isdigit():
        return "<number>"
    return next((f"-{end}" for end in _ENDINGS if token.endswith(end)), "-")


def _by_class(text: Sequence[str], classes: Container[str]) -> list[str]:
    """Put the ending in place of a word that is no class of its own."""
    return [token if token in classes else _ending(token) for token in text]


def _numbers(place: Mapping[str, int], items: Sequence[str]) -> np.ndarray:
    """Numbers for names, `UNKNOWN` for one that is not known."""
    return np.array([place.get(item, UNKNOWN) for item in items], dtype=np.int64)


@dataclass(frozen=True)
class NamedModel:
    """An n-gram model of names: of words, of their classes, or of characters."""

    names: Sequence[str]
    model: NgramModel

    @classmethod
    def fit(cls, names: Sequence[str], texts: Sequence[Sequence[str]], order: int) -> NamedModel:
        """Count the n-grams of texts."""
        place = {name: FIRST + index for index, name in enumerate(names)}
        numbers = [_numbers(place, text) for text in texts]
        return cls(names, fit_ngrams(numbers, order, FIRST + len(names)))

    @cached_property
    def place(self) -> dict[str, int]:
        """Each name's number."""
        return {name: FIRST + index for index, name in enumerate(self.names)}

    def read(self, texts: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """See `NgramModel.log_probabilities`."""
        return self.model.log_probabilities([_numbers(self.place, text) for text in texts])


@dataclass(frozen=True)
class SentenceReader:
    """Three fitted n-gram models and the words that are known."""

    known: frozenset[str]
    words: NamedModel
    classes: NamedModel
    characters: NamedModel

    def features(self, read: Sequence[Sentence]) -> np.ndarray:
        """Compute `FEATURES`, shape (sentences, features); finite for any text."""
        if not read:
            return np.zeros((0, len(FEATURES)))
        texts = [sentence.tokens for sentence in read]
        ends = np.cumsum([len(text) + 1 for text in texts])
        starts = np.concatenate([[0], ends[:-1]])
        lengths = (ends - starts).astype(float)

        def mean(values: np.ndarray) -> np.ndarray:
            return np.add.reduceat(values, starts) / lengths

        by_word, seen = self.words.read(texts)
        by_class, _ = self.classes.read([_by_class(text, self.classes.place) for text in texts])
        characters = self._character_scores(texts)
        columns = [
            mean(by_word[-1]),
            mean(by_word[-1] - by_word[0]),
            mean((seen >= 2).astype(float)),
            mean((seen >= 3).astype(float)),
            mean(by_class[-1]),
            mean(by_class[-1] - by_class[0]),
            mean(by_class[-1] - by_class[1]),
            mean(by_word[-1] - by_word[1]),
            np.minimum.reduceat(by_class[-1], starts),
            np.array([self._known_share(text) for text in texts]),
            characters[:, 0],
            characters[:, 1],
            np.array([sentence.letters for sentence in read]),
            np.array([_repeated_pairs(text) for text in texts]),
            np.array([_doubled(text) for text in texts]),
            np.array([sentence.echo for sentence in read]),
            np.log1p([sentence.said_before for sentence in read]),
            np.log1p(np.minimum([len(text) for text in texts], 60)),
        ]
        return np.column_stack(columns)

    def _known_share(self, text: Sequence[str]) -> float:
        found = [token for token in text if _is_word(token)]
        return sum(token in self.known for token in found) / len(found) if found else 0.0

    def _character_scores(self, texts: Sequence[Sequence[str]]) -> np.ndarray:
        """Mean and least, over a sentence's tokens, of the mean log-probability of characters."""
        types = sorted({token for text in texts for token in text})
        place = {token: row for row, token in enumerate(types)}
        if not types:
            return np.zeros((len(texts), 2))
        spelt = [token[:_LONGEST_WORD] for token in types]
        logp, _ = self.characters.read(spelt)
        lengths = np.array([len(token) + 1 for token in spelt])
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        by_type = np.add.reduceat(logp[-1], starts) / lengths
        rows = [by_type[[place[token] for token in text]] for text in texts]
        return np.array([(row.mean(), row.min()) if len(row) else (0.0, 0.0) for row in rows])

    def save(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Give JSON and arrays to keep; see `restore`."""
        meta = {"known": sorted(self.known)} | {
            name: [*getattr(self, name).names] for name in _KEPT
        }
        arrays = {}
        for name, prefix in _KEPT.items():
            arrays |= getattr(self, name).model.arrays(prefix)
        return meta, arrays

    @classmethod
    def restore(cls, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> SentenceReader:
        """Read back what `save` gave."""
        models = {
            name: NamedModel(meta[name], NgramModel.from_arrays(prefix, arrays))
            for name, prefix in _KEPT.items()
        }
        return cls(frozenset(meta["known"]), **models)


#: The models, as fields and in the names of their arrays.
_KEPT = {"words": "word", "classes": "class", "characters": "character"}


def _repeated_pairs(text: Sequence[str]) -> float:
    pairs = ngrams(text, 2)
    return 1.0 - len(set(pairs)) / len(pairs) if pairs else 0.0


def _doubled(text: Sequence[str]) -> float:
    pairs = ngrams(text, 2)
    return sum(first == second for first, second in pairs) / len(pairs) if pairs else 0.0


def fit_reader(texts: Sequence[Sequence[str]]) -> SentenceReader:
    """Fit the three models.

    Parameters
    ----------
    texts
        Tokenised real sentences, lower case.
    """
    counts = Counter(token for text in texts for token in text)
    ranked = sorted(counts, key=lambda token: (-counts[token], token))
    endings = sorted({_ending(token) for token in ranked[_FREQUENT:]})
    classes = ranked[:_FREQUENT] + [e for e in endings if e not in counts]
    types = sorted(token[:_LONGEST_WORD] for token in counts if _is_word(token))
    letters = sorted({character for token in types for character in token})
    own = set(classes)
    by_class = [_by_class(text, own) for text in texts]
    return SentenceReader(
        frozenset(counts),
        NamedModel.fit([token for token in ranked if counts[token] > 1], texts, _WORD_ORDER),
        NamedModel.fit(classes, by_class, _CLASS_ORDER),
        NamedModel.fit(letters, types, _CHARACTER_ORDER),
    )
