"""How versions make up chains, and what is taken out of a series. Knows no neuron and no metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biasloop.errors import InputError

Floats = np.ndarray[Any, np.dtype[np.float64]]

#: A series that moves, per version, by fewer roundings of its size than this and the number of
#: versions together, has not moved.
_STILL = 64
#: Neither has one whose squares add up to less: they would underflow.
_LEAST = 1e-290


@dataclass(frozen=True)
class Layout:
    """Versions in the order in which they are computed on: chain by chain, in time.

    Attributes
    ----------
    order
        The rows, in that order.
    spans
        Where each chain begins in that order, and the place after its end.
    period
        The time of each version, in that order: 0, 1, ... within its chain.
    parameters
        What a regression fits: the slope, and one constant or one per chain.
    differences, fixed_effects
        What `center` takes out.
    """

    order: np.ndarray
    spans: tuple[tuple[int, int], ...]
    period: np.ndarray
    differences: bool
    fixed_effects: bool

    @property
    def size(self) -> int:
        """How many observations a regression has."""
        return self.spans[-1][1]

    @property
    def parameters(self) -> int:
        """How many parameters a regression has, constants included."""
        return 1 + (len(self.spans) if self.fixed_effects else 1)

    def take(self, values: np.ndarray) -> Floats:
        """Copy values of shape (versions, ...) in order, differenced where that is asked."""
        given = np.array(values, dtype=float, order="C")
        ordered = given[self.order] if (np.diff(self.order) != 1).any() else given
        if not self.differences:
            return ordered
        starts = _starts(self.spans, 1)
        return np.concatenate([ordered[a + 1 : b] - ordered[a : b - 1] for a, b in starts])

    def center(self, values: Floats) -> Floats:
        """Take out the mean, or each chain's, in place; return the sum of squares of what is left.

        Returns
        -------
        np.ndarray
            Without the axis of versions: 0 for a series that stands still, whose values are then
            all 0; not finite for one with a value that is not finite, or too large to be squared.
        """
        spans = self.spans if self.fixed_effects else ((0, self.size),)
        level = np.zeros(values.shape[1:])
        with np.errstate(invalid="ignore", over="ignore"):
            for a, b in spans:
                mean = values[a:b].mean(axis=0)
                values[a:b] -= mean
                np.maximum(level, np.abs(mean), out=level)
            squares = np.einsum("i...,i...->...", values, values)
            # A mean over many versions is itself rounded at every addition.
            rounding = (_STILL + self.size) * np.finfo(float).eps * level
            still = squares <= np.maximum(self.size * rounding**2, _LEAST)
            still &= np.isfinite(squares)
        if still.any():
            values[..., still] = 0.0
            squares = np.where(still, 0.0, squares)
        return squares


def _starts(spans: Sequence[tuple[int, int]], shift: int) -> list[tuple[int, int]]:
    """Give the spans of the undifferenced series."""
    return [(a + shift * i, b + shift * (i + 1)) for i, (a, b) in enumerate(spans)]


def lay_out(
    versions: int,
    groups: Sequence[object] | np.ndarray | None = None,
    time: Sequence[float] | np.ndarray | None = None,
    differences: bool = False,
    fixed_effects: bool = False,
) -> Layout:
    """Lay versions out chain by chain.

    Parameters
    ----------
    versions
        How many there are.
    groups
        The chain of each; None makes one of all.
    time
        The time of each, distinct within a chain; None takes the order in which they come.
    differences
        Work on changes from one version of a chain to its next.
    fixed_effects
        Give every chain a constant of its own.

    Raises
    ------
    InputError
        If lengths differ, a time stands twice in a chain, or too few versions are left.
    """
    labels = ["" for _ in range(versions)] if groups is None else [str(g) for g in groups]
    times = np.arange(versions, dtype=float) if time is None else np.asarray(time, dtype=float)
    if len(labels) != versions or len(times) != versions:
        raise InputError(
            f"x has {versions} versions, groups {len(labels)} and time {len(times)}: they must be "
            "as many"
        )
    place = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    chain = np.array([place[label] for label in labels], dtype=int)
    order = np.lexsort((times, chain))
    chain = chain[order]
    if time is not None and np.any((np.diff(times[order]) == 0) & (np.diff(chain) == 0)):
        raise InputError("two versions of one chain have the same time")
    lengths = np.bincount(chain, minlength=len(place)) - int(differences)
    if (lengths < 1).any():
        short = list(place)[int(np.argmin(lengths))]
        raise InputError(f"chain '{short}' has too few versions to take differences of")
    ends = np.cumsum(lengths)
    spans = tuple(zip((ends - lengths).tolist(), ends.tolist(), strict=True))
    period = np.concatenate([np.arange(length) for length in lengths])
    if groups is not None and time is not None:
        kept = np.concatenate(
            [np.arange(b - a) >= int(differences) for a, b in _starts(spans, int(differences))]
        )
        period = np.unique(times[order][kept], return_inverse=True)[1]
    layout = Layout(order, spans, period, differences, fixed_effects)
    if layout.size <= layout.parameters:
        raise InputError(
            f"a regression with {layout.parameters} parameters needs more than {layout.size} "
            "observations"
        )
    return layout
