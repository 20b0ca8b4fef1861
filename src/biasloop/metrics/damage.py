"""How damaged articles are, and how a classifier errs on articles that are as damaged.

A classifier answers whatever it is asked. What it goes by is what an article says for the first
time (`tokenization.read_once`), and of that the words it knows: a loop leaves few words, a broken
vocabulary leaves few known ones. So every article is placed on a grid of *levels*:

======================  ========================================================================
measure                 steps
======================  ========================================================================
``words``               halves of the median of real articles, each from -29 % to +41 % around it,
                        as far as `FEW_WORDS`, and one beyond, whose articles are not read
``oov``                 word types in no instrument article: as in real, held-out articles (their
                        99.5 % quantile); then in thirds of three quarters of the way to all
======================  ========================================================================

A level can be read where real articles that were damaged to it are still told apart;
an article beyond, or on a level that cannot be read, is *unread*. ``distinct_3`` and
``repetition`` are of the whole text, and say how much of it is said again; confidence places no
article, since it is what the classifier makes of the leaning.

Every article that the classifier has not seen is cut to fewer words and has words replaced by
unknown ones, until it lies on each level of the grid that it can reach, and is read
there. A looped article is not a kind of its own: what it says again is not read, so it lies on the
level of the words that are left (``benchmarks/damage.py`` checks that on loops).

The words that are left may be an article's first ones, as of a loop, or others, as of blocks, and
first ones may tell less. So each article is cut at both places; nobody knows which the errors of
generated articles follow, so the drawn error rates mix the two by chance.

The same articles stand behind every level, so the levels' errors hang together, and articles of
one source err alike. Both are kept: what is stored is each article's readings, and `drawn_rates`
draws whole sources.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from biasloop.errors import StoreError
from biasloop.metrics.evaluation import TELLS_APART, Folds, tells_apart
from biasloop.metrics.tokenization import (
    WORD,
    cut,
    distinct,
    interned,
    read_once,
    repetition,
    words,
)

#: The share of real articles that have more unknown words than the first step has, or less
#: confidence than the card's bound.
TAIL = 0.005

#: No step of length begins below so many words.
LEAST_WORDS = 5
#: Nor is a step read below so many, or a sixteenth of the median where that is less: of passages of
#: some 15 words left of 240 the intervals covered in 83 to 90 % (``benchmarks/damage.py``).
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
    rows = []
    for text, all_of_it in zip(texts, texts if whole is None else whole, strict=True):
        found, everything = words(text), words(all_of_it)
        types = set(found)
        oov = len(types - vocabulary) / len(types) if types else None
        rows.append((len(found), oov, distinct(everything, 3), repetition(everything, 4)))
    names = ("words", "oov", "distinct_3", "repetition")
    return {name: np.array([row[i] for row in rows], dtype=float) for i, name in enumerate(names)}


@dataclass(frozen=True)
class Level:
    """A cell of the grid.

    Attributes
    ----------
    words
        From, and below; in words.
    oov
        Above, and up to; share of word types, 0 to 1. The first step holds 0, too.
    end
        Is it beyond the last step that is read? Its errors are measured for that step, whose
        articles may be nearly as damaged as its own.
    """

    words: tuple[float, float]
    oov: tuple[float, float]
    end: bool = False

    def has(self, count: np.ndarray, oov: np.ndarray) -> np.ndarray:
        """Say which articles lie here; one without a word lies nowhere."""
        above = (oov > self.oov[0]) | ((self.oov[0] == 0) & (oov == 0))
        return (count >= self.words[0]) & (count < self.words[1]) & above & (oov <= self.oov[1])

    def to_json(self) -> dict[str, Any]:
        """Give the level as a JSON value; null leaves that side open."""
        high = self.words[1] if np.isfinite(self.words[1]) else None
        return {"words": [self.words[0], high], "oov": list(self.oov), "end": self.end}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Level:
        """Read back what `to_json` gave."""
        low, high = value["words"]
        ends = (low, float("inf") if high is None else high)
        return Level(ends, tuple(value["oov"]), value.get("end", False))


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
    least, beyond = lengths[-1][0], (lengths[-1][0] / 2, lengths[-1][0])
    levels = [Level(n, o, n[0] < least) for n in [*lengths, beyond] for o in unknown]
    return Domain(vocabulary, tuple(levels))


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


#: A level with fewer articles of a label cannot be read.
LEAST_ARTICLES = 10

#: Added to every cell of drawn counts (Jeffreys): no error is known to be impossible.
_PRIOR = 0.5
_DRAWS = 2000
_AT_ONCE = 250


#: Where an article is cut: its first words are left, or words from a place of chance.
PLACES = ("start", "anywhere")


def shortened(
    text: str, low: float, high: float, random: np.random.Generator, place: str = "anywhere"
) -> str | None:
    """Cut a text, at one of `PLACES`, to a number of words in a range.

    The number is drawn evenly on a logarithmic scale.

    Returns
    -------
    str or None
        None where the text has too few words, or its blanks do not stand where they would have to.
    """
    pieces = text.split()
    counts = np.array([len(words(piece)) for piece in pieces])
    total = int(counts.sum())
    if low <= total < high:
        return text
    if total < low:
        return None
    aim = float(np.exp(random.uniform(np.log(low), np.log(min(high, total)))))
    sums = np.concatenate([[0], np.cumsum(counts)])
    starts = np.flatnonzero(total - sums[:-1] >= low)
    start = 0 if place == "start" else int(random.choice(starts))
    lengths = sums[start + 1 :] - sums[start]
    fit = np.flatnonzero((lengths >= low) & (lengths < high))
    if not len(fit):
        return None
    end = start + 1 + int(fit[np.argmin(np.abs(lengths[fit] - aim))])
    return " ".join(pieces[start:end])


def unknown_words(
    text: str,
    low: float,
    high: float,
    known: frozenset[str],
    avoid: frozenset[str],
    random: np.random.Generator,
) -> str | None:
    """Replace word types, chosen by chance, by made-up ones until a share of them is unknown.

    A made-up word is the head of the word and the tail of another of the text, as from a model
    whose sub-word pieces do not fit together.

    Parameters
    ----------
    text
        To be damaged.
    low, high
        The share of types is to lie above ``low`` and up to ``high``; as it is where it does.
    known
        What counts as known.
    avoid
        What a made-up word must not be.
    random
        Chooses.

    Returns
    -------
    str or None
        None where more types are unknown already, or no whole number of types gives such a share.
    """
    types = sorted(set(words(text)))
    familiar = [word for word in types if word in known]
    have = len(types) - len(familiar)
    least = 0 if low == 0 else int(np.floor(low * len(types) + 1e-9)) + 1
    most = int(np.floor(high * len(types) + 1e-9))
    if not types or have > most or least > most:
        return None
    if have >= least:
        return text
    wanted = int(random.integers(least, most + 1)) - have
    chosen = random.choice(len(familiar), size=wanted, replace=False)
    taken = set(types)
    made: dict[str, str] = {}
    for word in (familiar[i] for i in chosen):
        other = types[int(random.integers(len(types)))]
        new = word[: (len(word) + 1) // 2] + other[len(other) // 2 :]
        while new in avoid or new in taken or words(new) != [new]:
            new = re.sub(r"[^a-z]", "", new) + "abcdefghijklmnopqrstuvwxyz"[random.integers(26)]
        taken.add(new)
        made[word] = new
    return WORD.sub(lambda match: made.get(match.group().lower(), match.group()), text)


@dataclass(frozen=True)
class DamageCurve:
    """How held-out articles were read on every level.

    Attributes
    ----------
    labels
        The label set.
    levels
        The grid, as in `Domain`.
    sources
        The number of each article's source, shape (articles,); an article without one is its own.
    truth
        Label indices, shape (articles,).
    read
        Label indices, shape (articles, levels, places), places as in `PLACES`; -1 where the article
        was not damaged so.
    """

    labels: tuple[str, ...]
    levels: tuple[Level, ...]
    sources: np.ndarray
    truth: np.ndarray
    read: np.ndarray

    @cached_property
    def counts(self) -> np.ndarray:
        """Confusion counts, shape (levels, labels, labels), the mean of the places.

        Rows are the truth.
        """
        return self._by_source.sum(axis=0).mean(axis=0)

    @cached_property
    def _by_source(self) -> np.ndarray:
        """Counts of each source, shape (sources, places, levels, labels, labels)."""
        _, own = np.unique(self.sources, return_inverse=True)
        labels = len(self.labels)
        result = np.zeros(
            (int(own.max(initial=-1)) + 1, self.read.shape[2], len(self.levels), labels, labels)
        )
        article, level, place = np.nonzero(self.read >= 0)
        read = self.read[article, level, place]
        np.add.at(result, (own[article], place, level, self.truth[article], read), 1)
        return result

    @cached_property
    def fewest_sources(self) -> int:
        """Number of sources of the label that has the fewest."""
        there = self._by_source.sum(axis=(1, 2, 4)) > 0
        return int(there.sum(axis=0).min())

    @cached_property
    def readable(self) -> np.ndarray:
        """On which levels the labels are still told apart, shape (levels,), bool.

        Of levels with fewer words or more unknown ones than one that cannot be read none can:
        more damage tells no more, and one that seems to was lucky.
        """
        enough = self.counts.sum(axis=2).min(axis=1) >= LEAST_ARTICLES
        drawn = self.drawn_rates(_DRAWS, np.random.default_rng(0))
        apart = [tells_apart(drawn[:, level]) for level in range(len(self.levels))]
        inside = np.array([not level.end for level in self.levels])
        can = inside & enough & (np.array(apart) >= TELLS_APART)
        milder = np.array(
            [
                [a.words[0] >= b.words[0] and a.oov[1] <= b.oov[1] for a in self.levels]
                for b in self.levels
            ]
        )
        return np.array([bool(can[row].all()) for row in milder])

    def drawn_rates(self, draws: int, random: np.random.Generator) -> np.ndarray:
        """Draw the error rates that the counts leave possible, of all levels at once.

        Sources have random weights (the Bayesian bootstrap, Rubin 1981), the same on every level;
        where every article is its own source a place's rates have the Dirichlet posterior under
        Jeffreys' prior. A label with one source counts as one article: it shows nothing of others.
        Each draw mixes the places by weights of its own, the same on every level, all as likely.

        A level is a range, and generated articles may lie at one end of it where held-out ones
        lie all over it. So each draw goes some way, up to half, from a damaged level to the next
        milder or worse one, by words and by unknown ones: linear interpolation to a place of
        chance, the same on every level. Articles as they are lie where held-out ones do.

        Returns
        -------
        np.ndarray
            P(read | is), shape (draws, levels, labels, labels); rows sum to 1.
        """
        counts = self._by_source
        there = counts.sum(axis=(1, 2, 4)) > 0
        alone = (there.sum(axis=0) == 1)[:, None]
        totals = np.maximum(counts.sum(axis=(0, 4), keepdims=True), 1.0)
        flat = np.where(alone, counts / totals, counts).reshape(len(counts), -1)
        parts = []
        for at in range(0, draws, _AT_ONCE):
            size = min(_AT_ONCE, draws - at)
            weighted = random.standard_exponential((size, len(counts))) @ flat
            mix = random.dirichlet(np.ones(counts.shape[1]), size)
            by_place = weighted.reshape(size, *counts.shape[1:])
            parts.append(np.einsum("dp,dplij->dlij", mix, by_place))
        drawn = np.concatenate(parts)
        drawn += random.standard_gamma(_PRIOR, size=drawn.shape)
        rates = drawn / drawn.sum(axis=-1, keepdims=True)
        for milder, worse in self._neighbours:
            way = random.uniform(-0.5, 0.5, draws)[:, None, None, None]
            there = np.where(way < 0, rates[:, milder], rates[:, worse])
            rates = (1 - abs(way)) * rates + abs(way) * there
        return rates

    @cached_property
    def _neighbours(self) -> list[tuple[list[int], list[int]]]:
        """Each level's next milder and next worse one, by words and by unknown words.

        It is its own neighbour where there is none that enough articles were read on, and where
        it is the mildest: as articles are, none is short or strange.
        """
        enough = self.counts.sum(axis=2).min(axis=1) >= LEAST_ARTICLES
        found = []
        for next_to in (
            lambda mild, bad: mild.oov == bad.oov and mild.words[0] == bad.words[1],
            lambda mild, bad: mild.words == bad.words and mild.oov[1] == bad.oov[0],
        ):
            milder, worse = list(range(len(self.levels))), list(range(len(self.levels)))
            pairs = [
                (one, other)
                for one, mild in enumerate(self.levels)
                for other, bad in enumerate(self.levels)
                if enough[one] and enough[other] and next_to(mild, bad)
            ]
            for one, other in pairs:
                milder[other] = one
            for one, other in pairs:
                if milder[one] != one:
                    worse[one] = other
            found.append((milder, worse))
        return found

    def corrections(self, rates: np.ndarray | None = None) -> np.ndarray:
        """Say what a reading counts for, on average: the inverse of the error rates.

        The mean over a level's articles of what their readings count for is the share of each
        label (adjusted classify-and-count), so the mean over all articles is post-stratified.

        Parameters
        ----------
        rates
            P(read | is), shape (..., levels, labels, labels); None takes those counted.

        Returns
        -------
        np.ndarray
            Shape (..., levels, labels read, labels); NaN on levels that cannot be read.
        """
        if rates is None:
            rates = self.counts / np.maximum(self.counts.sum(axis=-1, keepdims=True), 1)
        readable = self.readable[:, None, None]
        safe = np.where(readable, rates, np.eye(len(self.labels)))
        return np.where(readable, np.linalg.inv(safe), np.nan)

    def to_json(self) -> dict[str, Any]:
        """Give the curve as a JSON value.

        ``articles`` has a row per place and article: its source's number, its label's, and its
        readings by level, as far as the last that it has; -1 for none.
        """
        rows = []
        for place in range(self.read.shape[2]):
            read_there = self.read[..., place]
            for source, label, read in zip(self.sources, self.truth, read_there, strict=True):
                last = int(np.flatnonzero(read >= 0).max(initial=-1)) + 1
                rows.append([int(source), int(label), *read[:last].tolist()])
        levels = [
            level.to_json() | {"readable": bool(can), "confusion": counts.tolist()}
            for level, can, counts in zip(self.levels, self.readable, self.counts, strict=True)
        ]
        labels, places = list(self.labels), self.read.shape[2]
        return {"labels": labels, "levels": levels, "places": places, "articles": rows}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> DamageCurve:
        """Read back what `to_json` gave.

        Raises
        ------
        StoreError
            If it is not such a value.
        """
        try:
            levels = tuple(Level.from_json(level) for level in value["levels"])
            rows, places = value["articles"], value.get("places", 1)
            read = np.full((len(rows), len(levels)), -1)
            for row, (_, _, *found) in enumerate(rows):
                read[row, : len(found)] = found
            articles = len(rows) // places
            first = np.array([row[:2] for row in rows[:articles]], dtype=int).reshape(-1, 2)
            read = np.moveaxis(read.reshape(places, articles, len(levels)), 0, -1)
            return DamageCurve(tuple(value["labels"]), levels, first[:, 0], first[:, 1], read)
        except (KeyError, ValueError, TypeError, ZeroDivisionError) as error:
            raise StoreError(
                f"the leaning instrument's card: its damage curve cannot be read: {error}"
            ) from error


#: Fold -> texts -> label indices, by a classifier that has seen no article of the fold.
Reader = Callable[[int, Sequence[str]], np.ndarray]

#: Article -> what is left of its text -> what the classifier is given.
Input = Callable[[int, str], str]


def fit_curve(
    labels: Sequence[str],
    texts: Sequence[str],
    truth: np.ndarray,
    sources: np.ndarray,
    domain: Domain,
    folds: Folds,
    read: Reader,
    articles: int,
    random: np.random.Generator,
    given: Input = lambda _, text: text,
) -> DamageCurve:
    """Damage and read held-out articles.

    Parameters
    ----------
    labels
        The label set.
    texts, truth, sources
        What is read of the instrument articles, their label indices and their sources' numbers.
    domain
        The grid.
    folds
        Which were held out together; articles in none of them are left out.
    read
        Reads held-out texts.
    articles
        How many are damaged, at most, the labels as even as they can be; all are read as they are.
    random
        Chooses and damages.
    given
        Adds what the classifier is given beside the text: a title, say, which is not damaged.
    """
    rows = np.concatenate(folds)
    damaged = _chosen(truth, rows, articles, random)
    steps = dict.fromkeys(level.words for level in domain.levels)
    result = np.full((len(texts), len(domain.levels), len(PLACES)), -1)
    for index, (fold, known) in enumerate(zip(folds, known_without(texts, folds), strict=True)):
        where: list[tuple[int, int, int]] = []
        versions: list[str] = []
        own = domain.place(measure([texts[row] for row in fold], known))
        for row, level in zip(fold.tolist(), own.tolist(), strict=True):
            if level >= 0:
                where.append((row, level, 0))
                versions.append(texts[row])
            if row not in damaged:
                continue
            for place, name in enumerate(PLACES):
                cuts = {step: shortened(texts[row], *step, random, name) for step in steps}
                for other, target in enumerate(domain.levels):
                    cut = cuts[target.words]
                    if other == level or cut is None:
                        continue
                    version = unknown_words(cut, *target.oov, known, domain.vocabulary, random)
                    if version is not None:
                        where.append((row, other, place))
                        versions.append(version)
        if versions:
            article, on, place = np.array(where).T
            result[article, on, place] = read(
                index, [given(row, text) for (row, _, _), text in zip(where, versions, strict=True)]
            )
        there = own >= 0  # as it is an article is the same at every place
        result[fold[there], own[there]] = result[fold[there], own[there], :1]
    kept = np.sort(rows)
    return DamageCurve(tuple(labels), domain.levels, sources[kept], truth[kept], result[kept])


def _chosen(
    truth: np.ndarray, rows: np.ndarray, articles: int, random: np.random.Generator
) -> set[int]:
    """Choose the articles to damage, the labels' numbers as even as they can be."""
    order = random.permutation(rows)
    turn = np.empty(len(order), dtype=int)
    for label in np.unique(truth[order]):
        own = truth[order] == label
        turn[own] = np.arange(own.sum())
    return set(order[np.argsort(turn, kind="stable")][:articles].tolist())
