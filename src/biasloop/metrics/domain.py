"""Is an article like those that the classifier was validated on? Knows measures, not leanings.

A classifier answers whatever it is asked. On a collapsed model's loops its answer means nothing,
and reads as bias. So every article is measured, and lies *outside the domain* where any measure of
the first four is beyond what real, held-out articles show:

======================  ==========  ============================================================
measure                 bound       outside when
======================  ==========  ============================================================
``words``               low         fewer than half the words of the shortest real articles
``oov``                 high        more of its word types are in no instrument article
``distinct_3``          low         fewer of its trigrams are different ones
``repetition``          high        more of its 4-grams repeat one earlier in it
``confidence``          low         the classifier is less sure of its label
======================  ==========  ============================================================

Confidence puts no article outside: it is what the classifier makes of the leaning, so a gate on it
would choose articles by the answer. Its bound stands on the card, for a warning.

Bounds are the 0.5 % and 99.5 % quantiles of the real articles, each measured against the
vocabulary and by the classifier of folds that it was not in. One side only: an article with *few*
unknown words or *no* repetition is no worse to classify. The bound on words is halved since models
write somewhat shorter articles than they were prompted with. An article that is so short that it
has no trigram lies outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biasloop.metrics.folds import Folds
from biasloop.metrics.text import distinct, interned, repetition, words

#: The share of real articles that each bound leaves outside.
TAIL = 0.005

_LOW = ("words", "distinct_3", "confidence")
_HIGH = ("oov", "repetition")
_SHORTER = 0.5


def measure(texts: Sequence[str], vocabulary: frozenset[str]) -> dict[str, np.ndarray]:
    """Measure articles, all but confidence.

    Parameters
    ----------
    texts
        Articles, cut to what the classifier reads.
    vocabulary
        The word types of the instrument articles.

    Returns
    -------
    dict
        ``words``, ``oov``, ``distinct_3`` and ``repetition``, each of shape (texts,); NaN where an
        article is too short to have one.
    """
    rows = [_measure(words(text), vocabulary) for text in texts]
    names = ("words", "oov", "distinct_3", "repetition")
    return {name: np.array([row[i] for row in rows], dtype=float) for i, name in enumerate(names)}


def _measure(found: list[str], vocabulary: frozenset[str]) -> tuple[float | None, ...]:
    types = set(found)
    oov = len(types - vocabulary) / len(types) if types else None
    return len(found), oov, distinct(found, 3), repetition(found, 4)


@dataclass(frozen=True)
class Domain:
    """What the classifier was validated on.

    Attributes
    ----------
    vocabulary
        Word types of the instrument articles.
    bounds
        Measure -> ``low`` and ``high``; None leaves that side open.
    """

    vocabulary: frozenset[str]
    bounds: Mapping[str, Mapping[str, float | None]]

    def outside(self, measures: Mapping[str, np.ndarray]) -> np.ndarray:
        """Say which articles lie outside on any measure of the text, shape (articles,), bool."""
        result: Any = False
        for name, bound in self.bounds.items():
            if name == "confidence":
                continue
            values = measures[name]
            result = result | np.isnan(values)
            if bound["low"] is not None:
                result = result | (values < bound["low"])
            if bound["high"] is not None:
                result = result | (values > bound["high"])
        return result


def fit_domain(texts: Sequence[str], folds: Folds, confidence: np.ndarray) -> Domain:
    """Find the range of real, held-out articles.

    Parameters
    ----------
    texts
        The instrument articles, cut to what the classifier reads.
    folds
        Which of them are held out together; indices into ``texts``.
    confidence
        The classifier's confidence in each held-out article.
    """
    # No sets: of a set's table most is empty.
    types = [interned(set(words(text))) for text in texts]
    held_out: dict[str, list[np.ndarray]] = {}
    for fold in folds:
        inside = set(fold.tolist())
        known = frozenset().union(*(t for row, t in enumerate(types) if row not in inside))
        for name, values in measure([texts[row] for row in fold], known).items():
            held_out.setdefault(name, []).append(values)
    measures = {name: np.concatenate(parts) for name, parts in held_out.items()}
    measures["confidence"] = confidence
    bounds = {name: _bound(name, measures[name]) for name in (*_LOW, *_HIGH)}
    return Domain(frozenset().union(*types), bounds)


def _bound(name: str, values: np.ndarray) -> dict[str, float | None]:
    finite = values[~np.isnan(values)]
    if not len(finite):
        return {"low": None, "high": None}
    if name in _HIGH:
        return {"low": None, "high": float(np.quantile(finite, 1 - TAIL))}
    low = float(np.quantile(finite, TAIL))
    return {"low": low * _SHORTER if name == "words" else low, "high": None}
