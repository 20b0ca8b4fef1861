"""The metric ``diversity``: distinct n-grams, repetition, self-BLEU and vocabulary.

Words are `text.words`. No instrument: nothing is fitted and there is no card.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from biasloop import seeds
from biasloop.metrics.base import FitContext, Scored, scored
from biasloop.metrics.text import distinct, interned, ngrams, repetition, words

_ORDERS = (1, 2, 3, 4)
_EPSILON = 0.1
_NORMAL_95 = 1.959963984540054


def self_bleu(texts: Sequence[Sequence[str]]) -> list[float | None]:
    """BLEU-4 of each text against all the others (self-BLEU, Zhu et al. 2018).

    Sentence BLEU with uniform weights, clipping by the best of the references, the brevity penalty
    of the reference nearest in length (the shorter of equals), and 0.1 in place of a count of no
    match (Chen and Cherry 2014, method 1).

    Parameters
    ----------
    texts
        Tokenised texts.

    Returns
    -------
    list
        One value in [0, 1] per text: higher is more alike. None for a text of fewer than four
        words, or when it is alone.
    """
    if len(texts) < 2:
        return [None] * len(texts)
    logs = np.zeros(len(texts))
    for order in _ORDERS:
        counts = [Counter(ngrams(text, order)) for text in texts]
        best, second = _two_largest(counts)
        for row, own in enumerate(counts):
            total = sum(own.values())
            matched = 0
            for gram, count in own.items():
                value, owner = best[gram]
                others = second.get(gram, 0) if owner == row else value
                matched += min(count, others)
            logs[row] += np.log((matched or _EPSILON) / max(total, 1)) / len(_ORDERS)
    lengths = [len(text) for text in texts]
    return [
        None
        if length < len(_ORDERS)
        else float(np.exp(log + _brevity(length, lengths[:row] + lengths[row + 1 :])))
        for row, (log, length) in enumerate(zip(logs, lengths, strict=True))
    ]


def _two_largest(
    counts: Sequence[Counter[tuple[str, ...]]],
) -> tuple[dict[tuple[str, ...], tuple[int, int]], dict[tuple[str, ...], int]]:
    """For each n-gram the largest count and whose it is, and the largest of the others'."""
    best: dict[tuple[str, ...], tuple[int, int]] = {}
    second: dict[tuple[str, ...], int] = {}
    for row, own in enumerate(counts):
        for gram, count in own.items():
            if gram not in best:
                best[gram] = (count, row)
            elif count > best[gram][0]:
                second[gram] = best[gram][0]
                best[gram] = (count, row)
            else:
                second[gram] = max(second.get(gram, 0), count)
    return best, second


def _brevity(length: int, references: Sequence[int]) -> float:
    nearest = min(references, key=lambda reference: (abs(reference - length), reference))
    return min(0.0, 1.0 - nearest / length)


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
    half = _NORMAL_95 * float(np.sqrt(variance))
    return size, size - half, size + half


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
            n-gram; ``self_bleu`` of the sampled articles; set-level ``vocabulary``.
        """
        ids = articles["article_id"].to_list()
        texts = [interned(words(body)) for body in articles["body"]]
        columns = {
            f"distinct_{order}": [distinct(text, order) for text in texts] for order in (1, 2, 3)
        }
        columns["repetition"] = [repetition(text, 4) for text in texts]
        whole = scored(ids, columns)
        rows = self._sample(ids)
        sampled = scored(
            [ids[row] for row in rows], {"self_bleu": self_bleu([texts[row] for row in rows])}
        )
        size, low, high = vocabulary(texts)
        sets = pl.DataFrame(
            {"metric": ["vocabulary"], "value": [size], "low": [low], "high": [high]},
            schema=whole.set_scores.schema,
        )
        return Scored(pl.concat([whole.scores, sampled.scores]), whole.leaning_scores, sets)

    def _sample(self, ids: Sequence[str]) -> list[int]:
        place = {article: row for row, article in enumerate(ids)}
        order = sorted(place)
        shuffled = seeds.generator(self.seed, "self-bleu").permutation(len(order))
        return sorted(place[order[index]] for index in shuffled[: self.sample])


class DiversityKind:
    """The registry's entry: nothing to fit."""

    whole_set = True

    def fit(self, context: FitContext, folder: Path) -> None:
        """Write nothing: there is no instrument."""

    def load(self, context: FitContext, folder: Path) -> Diversity:
        """Take the settings."""
        return Diversity(context.config.self_bleu_articles, context.seed)
