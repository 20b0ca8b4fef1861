"""A test that does not trust any model of time: deal the chains' outcomes out anew.

Within a chain, versions stay in order, so whatever drift a chain has is in every deal, and only
which neuron chain meets which outcome chain is random. Right wherever chains are exchangeable: it
does not suppose that their errors are independent, stationary or normal. Drift that all chains
share is in every deal too, so it is not evidence. Six chains have 720 deals, and so no p-value
below 1/720; chains that share Generation 0 are exchangeable only from there on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from math import factorial

import numpy as np

from biasloop.errors import InputError
from biasloop.neurons.design import Floats, Layout, lay_out

#: A deal counts as extreme as the real one when it comes within rounding of it.
_ROUNDING = 1e-12
_CHUNK = 2**19


def permute_chains(
    x: np.ndarray,
    y: np.ndarray,
    groups: Sequence[object] | np.ndarray,
    *,
    random: np.random.Generator,
    time: Sequence[float] | np.ndarray | None = None,
    fixed_effects: bool = False,
    differences: bool = False,
    most: int = 5000,
) -> Floats:
    """P-value of each neuron's absolute correlation with y, over deals of chains.

    Parameters
    ----------
    x, y, groups, time, fixed_effects, differences
        As in `hac_regression`.
    random
        Draws deals where there are too many to go through.
    most
        All deals are gone through if there are no more than this; else so many are drawn, and the
        real one counts with them.

    Returns
    -------
    np.ndarray
        Shape (neurons,); NaN for a neuron that does not vary.

    Raises
    ------
    InputError
        If there are fewer than two chains, or they are not of one length.
    """
    x, y = np.asarray(x), np.asarray(y, dtype=float)
    layout = lay_out(len(y), groups, time, differences, fixed_effects)
    lengths = {b - a for a, b in layout.spans}
    if len(layout.spans) < 2 or len(lengths) > 1:
        raise InputError(
            "a permutation of chains needs at least two, all of one length; there are "
            f"{len(layout.spans)}, of {', '.join(map(str, sorted(lengths)))} versions"
        )
    target = layout.take(y)
    layout.center(target)
    target = target.reshape(len(layout.spans), -1)
    deals = target[_deals(len(target), most, random)].reshape(-1, layout.size)
    result = np.empty(len(x))
    step = max(1, _CHUNK // len(deals))
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        result[part] = _pvalues(x[part], deals, layout)
    return result


def _deals(chains: int, most: int, random: np.random.Generator) -> np.ndarray:
    """List orders of chains, shape (deals, chains), the real one first."""
    if chains <= 12 and factorial(chains) <= most:
        return np.array(list(permutations(range(chains))))
    drawn = random.permuted(np.tile(np.arange(chains), (most, 1)), axis=1)
    return np.concatenate([np.arange(chains)[None, :], drawn])


def _pvalues(x: np.ndarray, deals: Floats, layout: Layout) -> Floats:
    centred = layout.take(x.T)
    squares = layout.center(centred)
    moves = squares > 0
    products = np.abs(deals @ (centred / np.sqrt(np.where(moves, squares, 1.0))))
    extreme = (products >= products[0] * (1 - _ROUNDING)).mean(axis=0)
    return np.where(moves, extreme, np.nan)
