"""An interpolated Kneser-Ney n-gram model over numbered symbols. Knows no text.

Every probability is a few look-ups in sorted arrays, for all symbols of all sequences at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

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
