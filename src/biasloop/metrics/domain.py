"""How damaged is an article, and can the classifier still read it? Knows measures, not leanings.

A classifier answers whatever it is asked. What it goes by is what an article says for the first
time (`text.read_once`), and of that the words it knows: a loop leaves few words, a broken
vocabulary leaves few known ones. So every article is placed on a grid of *levels*:

======================  ========================================================================
measure                 steps
======================  ========================================================================
``words``               halves of the median of real articles, each from -29 % to +41 % around it,
                        as far as `FEW_WORDS`
``oov``                 word types in no instrument article: as in real, held-out articles (their
                        99.5 % quantile); then in thirds of three quarters of the way to all
======================  ========================================================================

A level can be read where real articles that were damaged to it are still told apart (`damage`);
an article beyond, or on a level that cannot be read, is *unread*. ``distinct_3`` and
``repetition`` are of the whole text, and say how much of it is said again; confidence places no
article, since it is what the classifier makes of the leaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from biasloop.metrics.folds import Folds
from biasloop.metrics.text import cut, distinct, interned, read_once, repetition, words

#: The share of real articles that have more unknown words than the first step has, or less
#: confidence than the card's bound.
TAIL = 0.005

#: No step of length begins below so many words.
LEAST_WORDS = 5
#: Nor below so many, or a sixteenth of the median where that is less: of passages of some 15 words
#: left of 240 the intervals covered in 83 to 90 % (``benchmarks/damage.py``).
FEW_WORDS = 20

_STEPS_OF_OOV = 3
_WORST_OOV = 0.75


def measure(
    texts: Sequence[str], vocabulary: frozenset[str], whole: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Measure articles.

    Parameters
    ----------
    texts
        What the classifier reads of each.
    vocabulary
        The word types of the instrument articles.
    whole
        The articles with what they say again; None where that is the same.

    Returns
    -------
    dict
        ``words`` and ``oov`` of what is read, ``distinct_3`` and ``repetition`` of the whole, each
        of shape (texts,); NaN where an article is too short to have one.
    """
    rows = [
        _measure(words(text), words(all_of_it), vocabulary)
        for text, all_of_it in zip(texts, texts if whole is None else whole, strict=True)
    ]
    names = ("words", "oov", "distinct_3", "repetition")
    return {name: np.array([row[i] for row in rows], dtype=float) for i, name in enumerate(names)}


def _measure(
    found: list[str], whole: list[str], vocabulary: frozenset[str]
) -> tuple[float | None, ...]:
    types = set(found)
    oov = len(types - vocabulary) / len(types) if types else None
    return len(found), oov, distinct(whole, 3), repetition(whole, 4)


@dataclass(frozen=True)
class Level:
    """A cell of the grid.

    Attributes
    ----------
    words
        From, and below; in words.
    oov
        Above, and up to; share of word types, 0 to 1. The first step holds 0, too.
    """

    words: tuple[float, float]
    oov: tuple[float, float]

    def has(self, count: np.ndarray, oov: np.ndarray) -> np.ndarray:
        """Say which articles lie here; one without a word lies nowhere."""
        above = (oov > self.oov[0]) | ((self.oov[0] == 0) & (oov == 0))
        return (count >= self.words[0]) & (count < self.words[1]) & above & (oov <= self.oov[1])

    def to_json(self) -> dict[str, Any]:
        """Give the level as a JSON value; null leaves that side open."""
        high = self.words[1] if np.isfinite(self.words[1]) else None
        return {"words": [self.words[0], high], "oov": list(self.oov)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Level:
        """Read back what `to_json` gave."""
        low, high = value["words"]
        return Level((low, float("inf") if high is None else high), tuple(value["oov"]))


@dataclass(frozen=True)
class Domain:
    """The levels, and what articles are measured against.

    Attributes
    ----------
    vocabulary
        Word types of the instrument articles.
    levels
        The grid, longest and least unknown first.
    """

    vocabulary: frozenset[str]
    levels: tuple[Level, ...]

    def place(self, measures: Mapping[str, np.ndarray]) -> np.ndarray:
        """Give each article's level, shape (articles,); -1 beyond all of them."""
        result = np.full(len(measures["words"]), -1)
        for index, level in enumerate(self.levels):
            result[level.has(measures["words"], measures["oov"])] = index
        return result


def read_by_all(texts: Sequence[str], limit: int) -> list[str]:
    """Take of each article what is read: what it says first, cut to ``limit`` words."""
    return [cut(read_once(text), limit) for text in texts]


def known_without(texts: Sequence[str], folds: Folds) -> list[frozenset[str]]:
    """Collect, for each fold, the word types of the articles outside it."""
    # No sets: of a set's table most is empty.
    types = [interned(set(words(text))) for text in texts]
    found = []
    for fold in folds:
        inside = set(fold.tolist())
        found.append(frozenset().union(*(t for row, t in enumerate(types) if row not in inside)))
    return found


def fit_domain(texts: Sequence[str], folds: Folds) -> Domain:
    """Lay the grid by real, held-out articles.

    Parameters
    ----------
    texts
        What is read of the instrument articles.
    folds
        Which of them are held out together; indices into ``texts``.
    """
    counts, shares = [], []
    for fold, known in zip(folds, known_without(texts, folds), strict=True):
        found = measure([texts[row] for row in fold], known)
        counts.append(found["words"])
        shares.append(found["oov"])
    count, share = np.concatenate(counts), np.concatenate(shares)
    vocabulary = frozenset().union(*(words(text) for text in texts))
    lengths = _steps_of_length(float(np.median(count)))
    unknown = _steps_of_oov(float(np.nanquantile(share, 1 - TAIL)) if count.any() else 0.0)
    return Domain(vocabulary, tuple(Level(n, o) for n in lengths for o in unknown))


def _steps_of_length(median: float) -> list[tuple[float, float]]:
    edges = [max(1.0, median / np.sqrt(2))]
    least = max(LEAST_WORDS, min(FEW_WORDS, median / 16))
    while edges[-1] / 2 >= least:
        edges.append(edges[-1] / 2)
    above = [float("inf"), *edges[:-1]]
    return [(float(low), float(high)) for low, high in zip(edges, above, strict=True)]


def _steps_of_oov(usual: float) -> list[tuple[float, float]]:
    worst = usual + _WORST_OOV * (1 - usual)
    edges = [0.0, *np.linspace(usual, worst, _STEPS_OF_OOV + 1).tolist()]
    return [(low, high) for low, high in pairwise(edges) if high > low or low == 0]
