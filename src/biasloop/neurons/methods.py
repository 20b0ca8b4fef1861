"""Ways to test many neurons against one series, by name, so that they can be held side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from biasloop import seeds
from biasloop.errors import InputError, nearest
from biasloop.neurons.design import Floats
from biasloop.neurons.permutation import permute_chains
from biasloop.neurons.regression import Regression, hac_regression


@dataclass(frozen=True)
class Method:
    """One way to get p-values.

    Attributes
    ----------
    says
        What it does, for a reader.
    pooled
        Treats all versions as one series, in which lags cross chains.
    permutation
        P-values over deals of chains, and not from the standard error.
    covariance, fixed_effects, differences, small_sample, distribution
        As in `hac_regression`.
    """

    says: str
    pooled: bool = False
    permutation: bool = False
    covariance: str = "hac"
    fixed_effects: bool = False
    differences: bool = False
    small_sample: bool = False
    distribution: str = "normal"


#: Every method by its name. One line adds one.
METHODS: Mapping[str, Method] = {
    "published": Method("all versions one series, Newey-West", pooled=True),
    "within-chains": Method("Newey-West, lags within chains"),
    "fixed-effects": Method("a constant per chain, lags within chains", fixed_effects=True),
    "differences": Method(
        "changes on changes, lags within chains, small-sample factor, t",
        differences=True,
        small_sample=True,
        distribution="t",
    ),
    "groupsum": Method("Driscoll-Kraay over generations", covariance="hac-groupsum"),
    "cluster": Method("clusters by chain, normal p-values", covariance="cluster"),
    "cluster-t": Method(
        "clusters by chain, small-sample factor, t with chains - 1 degrees",
        covariance="cluster",
        small_sample=True,
        distribution="t",
    ),
    "fixed-effects-cluster-t": Method(
        "a constant per chain, clusters by chain, t",
        covariance="cluster",
        fixed_effects=True,
        small_sample=True,
        distribution="t",
    ),
    "permutation": Method("chains dealt out anew, levels", permutation=True),
    "permutation-fixed-effects": Method(
        "chains dealt out anew, a constant per chain", permutation=True, fixed_effects=True
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
    found = hac_regression(
        x,
        y,
        maxlags,
        chains,
        time=time,
        covariance=how.covariance,
        fixed_effects=how.fixed_effects,
        differences=how.differences,
        small_sample=how.small_sample,
        distribution=how.distribution,
    )
    if not how.permutation:
        return found
    pvalue: Floats = permute_chains(
        x,
        y,
        chains,
        time=time,
        fixed_effects=how.fixed_effects,
        differences=how.differences,
        random=random or seeds.generator(0, "neurons", "permutation"),
    )
    return Regression(found.coef, found.stderr, pvalue, found.pearson, found.observations)
