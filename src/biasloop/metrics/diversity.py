"""The metric ``diversity``: distinct n-grams, repetition, self-BLEU and vocabulary.

Words are `tokenization.words`. No instrument: nothing is fitted and there is no card.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path

import numpy as np
import polars as pl

from biasloop import seeds
from biasloop.metrics.base import NORMAL_95, FitContext, Scored, scored
from biasloop.metrics.tokenization import distinct, interned, ngrams, repetition, words

_ORDERS = (1, 2, 3, 4)
_EPSILON = 0.1


def self_bleu(texts: Sequence[Sequence[str]]) -> list[float | None]:
    """Take apart the self-BLEU of a set (Zhu et al. 2018): what each text has in it.

    The self-BLEU is the mean BLEU-4 of each text against all the others; see `bleus`. Texts are
    each other's references, so their BLEUs are not independent and do not say how sure the mean
    is: where texts share words, 95 % intervals from them cover 82.5 % (benchmarks/intervals.py).
    A delete-one jackknife on the whole set does. With S of the set, S_i of the set without text
    i, and their mean S_., the values are the pseudo-values S + (n - 1) (S_. - S_i), centred on S:
    their mean is S, their variance over n is the jackknife's (Efron 1982), and the differences of
    two sets' values, text by text, are those of the change, so a mean, a paired t test or a
    bootstrap of them is right. On average the variance is not too small (Efron and Stein 1981).

    Parameters
    ----------
    texts
        Tokenised texts.

    Returns
    -------
    list
        One value per text, whose mean over the set is its self-BLEU: higher is more alike. Single
        values may lie outside 0 and 1. None for fewer than three texts, or where fewer than two
        have four words.
    """
    count = len(texts)
    found = bleus(texts)
    known = ~np.isnan(np.diagonal(found))
    if count < 3 or known.sum() < 2:
        return [None] * count
    whole = float(np.diagonal(found)[known].mean())
    others = known[:, None] & ~np.eye(count, dtype=bool)
    without = np.where(others, found, 0.0).sum(axis=0) / others.sum(axis=0)
    return (whole + (count - 1) * (without.mean() - without)).tolist()


def bleus(texts: Sequence[Sequence[str]]) -> np.ndarray:
    """BLEU-4 of each text against all the others, and against all the others but one.

    By hand: libraries score one text at a time, and a jackknife needs n squared of them, which all
    come from the same counts.

    Sentence BLEU with uniform weights, clipping by the best of the references, the brevity penalty
    of the reference nearest in length (the shorter of equals), and 0.1 in place of a count of no
    match (Chen and Cherry 2014, method 1).

    Parameters
    ----------
    texts
        Tokenised texts.

    Returns
    -------
    np.ndarray
        Shape (texts, texts): row i and column j are of text i without reference j, the diagonal
        of text i against all others. In [0, 1]; NaN for a text of fewer than four words, or
        without a reference.
    """
    size = len(texts)
    logs = np.zeros((size, size))
    for order in _ORDERS:
        counts = [Counter(ngrams(text, order)) for text in texts]
        totals = np.array([max(sum(own.values()), 1) for own in counts])
        matched = _matches(counts)
        logs += np.log(np.where(matched > 0, matched, _EPSILON) / totals[:, None]) / len(_ORDERS)
    lengths = np.array([len(text) for text in texts])
    found = np.full((size, size), np.nan)
    for row in np.flatnonzero(lengths >= len(_ORDERS)) if size > 1 else ():
        # The nearest in length; the second where the nearest is left out.
        order = np.lexsort((lengths, np.abs(lengths - lengths[row])))
        nearest = order[order != row][:2]
        found[row] = logs[row] + np.minimum(0.0, 1 - lengths[nearest[0]] / lengths[row])
        found[row, nearest[0]] = np.nan
        if len(nearest) > 1:
            brevity = min(0.0, 1 - lengths[nearest[1]] / lengths[row])
            found[row, nearest[0]] = logs[row, nearest[0]] + brevity
    return np.exp(found)


def _matches(counts: Sequence[Counter[tuple[str, ...]]]) -> np.ndarray:
    """Clipped matches of row i without reference j; on the diagonal with all. Shape (n, n)."""
    holders: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for row, own in enumerate(counts):
        for gram, count in own.items():
            holders[gram].append((count, row))
    matched, lost = np.zeros(len(counts)), np.zeros((len(counts),) * 2)
    for held in holders.values():
        # The three that hold most: leaving out one reference of one text leaves one of them.
        most = nlargest(3, held)
        for count, row in held if len(held) > 1 else ():
            (best, owner), (second, _) = [*(h for h in most if h[1] != row), (0, -1)][:2]
            matched[row] += min(count, best)
            lost[row, owner] += min(count, best) - min(count, second)
    return matched[:, None] - lost


def vocabulary(texts: Sequence[Sequence[str]]) -> tuple[float, float | None, float | None]:
    """Count the word types of a set, with a delete-one jackknife interval (Efron 1982).

    Parameters
    ----------
    texts
        Tokenised texts.

    Returns
    -------
    tuple
        The count and its 95 % interval, normal approximation; the interval is None for fewer than
        two texts. The count grows with the amount of text: compare sets of like size.
    """
    place: dict[str, int] = {}
    # Numbers for words: the sets of words themselves would be many times as large as the text.
    types = [
        np.array([place.setdefault(word, len(place)) for word in set(text)], np.int32)
        for text in texts
    ]
    size = float(len(place))
    if len(texts) < 2:
        return size, None, None
    holders = np.zeros(len(place), dtype=np.int64)
    for own in types:
        holders[own] += 1
    lost = np.array([np.count_nonzero(holders[own] == 1) for own in types], dtype=float)
    variance = (len(texts) - 1) / len(texts) * ((lost - lost.mean()) ** 2).sum()
    half = NORMAL_95 * float(np.sqrt(variance))
    return size, size - half, size + half


def sampled(ids: Sequence[str], size: int, random: np.random.Generator) -> list[int]:
    """Choose articles by their ids, whatever their order; return their places, in order."""
    place = {article: row for row, article in enumerate(ids)}
    order = sorted(place)
    return sorted(place[order[index]] for index in random.permutation(len(order))[:size])


@dataclass(frozen=True)
class Diversity:
    """The metric, ready to score.

    Attributes
    ----------
    sample
        How many articles self-BLEU compares.
    seed
        Of their choice, by article id: generations of the same articles use the same ones.
    """

    sample: int
    seed: int

    def score(self, articles: pl.DataFrame) -> Scored:
        """Score articles.

        Returns
        -------
        Scored
            ``distinct_1``, ``distinct_2``, ``distinct_3`` and ``repetition`` (share of an
            article's 4-grams that repeat one earlier in it), null where an article has no such
            n-gram; ``self_bleu`` of the sampled articles, what each has in that of the set (see
            `self_bleu`); set-level ``vocabulary``.
        """
        ids = articles["article_id"].to_list()
        texts = [interned(words(body)) for body in articles["body"]]
        columns = {
            f"distinct_{order}": [distinct(text, order) for text in texts] for order in (1, 2, 3)
        }
        columns["repetition"] = [repetition(text, 4) for text in texts]
        whole = scored(ids, columns)
        rows = sampled(ids, self.sample, seeds.generator(self.seed, "self-bleu"))
        of_some = scored(
            [ids[row] for row in rows], {"self_bleu": self_bleu([texts[row] for row in rows])}
        )
        size, low, high = vocabulary(texts)
        sets = pl.DataFrame(
            {"metric": ["vocabulary"], "value": [size], "low": [low], "high": [high]},
            schema=whole.set_scores.schema,
        )
        return Scored(pl.concat([whole.scores, of_some.scores]), whole.leaning_scores, sets)


class DiversityKind:
    """The registry's entry: nothing to fit."""

    whole_set = True

    def fit(self, context: FitContext, folder: Path) -> None:
        """Write nothing: there is no instrument."""

    def load(self, context: FitContext, folder: Path) -> Diversity:
        """Take the settings."""
        return Diversity(context.config.self_bleu_articles, context.seed)
