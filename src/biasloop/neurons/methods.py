"""Ways to test many neurons against one series, by name, so that they can be held side by side.

One of them supposes no model of time: it deals the chains' outcomes out anew. Within a chain,
versions stay in order, so whatever drift a chain has is in every deal, and only which neuron chain
meets which outcome chain is random. It is right wherever chains are exchangeable: errors need not
be independent, stationary or normal. Drift that all chains share is in every deal too, so it is not
evidence. Six chains have 720 deals, and so no p-value below 1/720; chains that share Generation 0
are exchangeable only from there on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from math import factorial
from typing import Any

import numpy as np

from biasloop import seeds
from biasloop.errors import InputError, nearest
from biasloop.neurons.regression import Floats, Panel, Regression, hac_regression, make_panel

#: A deal counts as extreme as the real one when it comes within rounding of it.
_ROUNDING = 1e-12
_DEALS_AT_ONCE = 2**19


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
    panel = make_panel(len(y), groups, time, differences, fixed_effects)
    lengths = {b - a for a, b in panel.spans}
    if len(panel.spans) < 2 or len(lengths) > 1:
        raise InputError(
            "a permutation of chains needs at least two, all of one length; there are "
            f"{len(panel.spans)}, of {', '.join(map(str, sorted(lengths)))} versions"
        )
    target = panel.take(y)
    panel.center(target)
    target = target.reshape(len(panel.spans), -1)
    deals = target[_deals(len(target), most, random)].reshape(-1, panel.size)
    result = np.empty(len(x))
    step = max(1, _DEALS_AT_ONCE // len(deals))
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        result[part] = _permutation_pvalues(x[part], deals, panel)
    return result


def _deals(chains: int, most: int, random: np.random.Generator) -> np.ndarray:
    """List orders of chains, shape (deals, chains), the real one first."""
    if chains <= 12 and factorial(chains) <= most:
        return np.array(list(permutations(range(chains))))
    drawn = random.permuted(np.tile(np.arange(chains), (most, 1)), axis=1)
    return np.concatenate([np.arange(chains)[None, :], drawn])


def _permutation_pvalues(x: np.ndarray, deals: Floats, panel: Panel) -> Floats:
    centred = panel.take(x.T)
    squares = panel.center(centred)
    moves = squares > 0
    products = np.abs(deals @ (centred / np.sqrt(np.where(moves, squares, 1.0))))
    extreme = (products >= products[0] * (1 - _ROUNDING)).mean(axis=0)
    return np.where(moves, extreme, np.nan)


@dataclass(frozen=True)
class Method:
    """One way to get p-values.

    Attributes
    ----------
    says
        What it does, for a reader.
    options
        Of `hac_regression`.
    pooled
        Treats all versions as one series, in which lags cross chains.
    permutation
        P-values over deals of chains, and not from the standard error.
    """

    says: str
    options: Mapping[str, Any] = field(default_factory=dict)
    pooled: bool = False
    permutation: bool = False


_CLUSTERS: dict[str, Any] = {"covariance": "cluster", "small_sample": True, "distribution": "t"}

#: Every method by its name. One line adds one.
METHODS: Mapping[str, Method] = {
    "published": Method("all versions one series, Newey-West", pooled=True),
    "within-chains": Method("Newey-West, lags within chains"),
    "fixed-effects": Method("a constant per chain, lags within chains", {"fixed_effects": True}),
    "differences": Method(
        "changes on changes, lags within chains, small-sample factor, t",
        {"differences": True, "small_sample": True, "distribution": "t"},
    ),
    "groupsum": Method("Driscoll-Kraay over generations", {"covariance": "hac-groupsum"}),
    "cluster": Method("clusters by chain, normal p-values", {"covariance": "cluster"}),
    "cluster-t": Method(
        "clusters by chain, small-sample factor, t with chains - 1 degrees", _CLUSTERS
    ),
    "fixed-effects-cluster-t": Method(
        "a constant per chain, clusters by chain, t", _CLUSTERS | {"fixed_effects": True}
    ),
    "permutation": Method("chains dealt out anew, levels", permutation=True),
    "permutation-fixed-effects": Method(
        "chains dealt out anew, a constant per chain", {"fixed_effects": True}, permutation=True
    ),
}


def method(name: str) -> Method:
    """Look a method up.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    try:
        return METHODS[name]
    except KeyError:
        raise InputError(f"unknown method '{name}'; {nearest(name, METHODS)}") from None


def apply(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    chains: np.ndarray,
    time: np.ndarray,
    maxlags: int = 1,
    random: np.random.Generator | None = None,
) -> Regression:
    """Test every neuron by a method.

    Parameters
    ----------
    name
        One of `METHODS`.
    x, y
        Shapes (neurons, versions) and (versions,).
    chains, time
        Of each version.
    maxlags
        Of the Bartlett kernel.
    random
        For a permutation with too many deals to go through.

    Returns
    -------
    Regression
        Under a permutation, slope and standard error are those of lags within chains, and the
        p-value is the permutation's.
    """
    how = method(name)
    if how.pooled:
        order = np.lexsort((time, chains))
        return hac_regression(x[:, order], y[order], maxlags)
    found = hac_regression(x, y, maxlags, chains, time=time, **how.options)
    if not how.permutation:
        return found
    draws = random or seeds.generator(0, "neurons", "permutation")
    pvalue = permute_chains(x, y, chains, random=draws, time=time, **how.options)
    return replace(found, pvalue=pvalue)
