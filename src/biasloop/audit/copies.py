"""Which texts are, for the larger part, texts of another set again. Knows no leaning.

A published "synthetic" set may hold real articles, and a classifier that was trained on an article
reads it too well: such texts say nothing of what a model writes. Compared are runs of words, as in
tests for contamination of training data (Brown et al. 2020, appendix C), so that a copy is found
though white space, case, punctuation or a cut-off end differ.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

from biasloop.metrics.tokenization import words

#: Words of a run. Shorter ones are common phrases, longer ones end at every typing error.
RUN = 8
#: A text is a copy where more than this share of its runs are found.
COPIED = 0.5

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def copied(texts: Sequence[str], originals: Iterable[str]) -> np.ndarray:
    """Say which texts are copies.

    Parameters
    ----------
    originals
        What they may have been copied from.

    Returns
    -------
    np.ndarray
        Shape (texts,), bool: more than `COPIED` of the text's runs of `RUN` words are found in
        ``originals``. A text of fewer words is one run, and found only where an original is that
        whole text; one without a word is no copy.
    """
    numbers: dict[str, int] = {}
    found = [_runs(text, numbers) for text in originals]
    known = np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)
    shares = [np.isin(runs, known) for runs in (_runs(text, numbers) for text in texts)]
    return np.array([bool(len(own)) and own.mean() > COPIED for own in shares], dtype=bool)


def _runs(text: str, numbers: dict[str, int]) -> np.ndarray:
    """Hash every run of a text to 64 bits; new words get the next number."""
    spelt = unicodedata.normalize("NFKC", text).casefold()
    own = [numbers.setdefault(word, len(numbers)) for word in words(spelt)]
    size = min(RUN, len(own))
    if not size:
        return np.empty(0, np.uint64)
    # Runs of all lengths share one table, so a short text's hash starts from its length.
    hashed = np.full(len(own) - size + 1, size, np.uint64)
    spread = _spread(np.array(own, np.uint64))
    for place in range(size):
        hashed = hashed * _MULTIPLIER + spread[place : len(own) - size + 1 + place]
    return hashed


def _spread(values: np.ndarray) -> np.ndarray:
    """Mix the bits of numbers (the finaliser of splitmix64, Steele et al. 2014)."""
    values = (values + np.uint64(1)) * _MULTIPLIER
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
