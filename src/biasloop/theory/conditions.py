"""Which way an update moves the bias, and how much real data turns it round.

Knows one generation and the next; knows no chain and no sampling.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from biasloop.errors import InputError
from biasloop.theory.family import Family
from biasloop.theory.population import population_map
from biasloop.theory.registry import get_family


def update_projection(
    before: Sequence[float], after: Sequence[float], family: str | Family = "beta"
) -> float:
    """Projection of a parameter update on the bias direction, not normalised.

    The bias direction is the gradient of the mean of x with respect to the natural parameters,
    taken at ``before``; the update is the difference of natural parameters. The result is the
    first-order change of the mean. For Beta in the synthetic regime its sign is exactly that of
    the change (docs/theory.md); in general that holds for small updates only.

    Returns
    -------
    float
        In units of x.
    """
    members = get_family(family)
    start = members.check(before)[None, :]
    end = members.check(after)[None, :]
    update = members.natural(end) - members.natural(start)
    return float((members.mean_gradient(start) * update).sum())


def bias_step(
    parameters: Sequence[float],
    real: Sequence[float] | None = None,
    *,
    real_fraction: float,
    family: str | Family = "beta",
    estimator: str = "wmle",
    real_weight: str = "density",
) -> float:
    """Exact change of the mean in one generation of preservation with unlimited data."""
    members = get_family(family)
    start = members.check(parameters)[None, :]
    end = population_map(
        start,
        real,
        family=members,
        estimator=estimator,
        regime="preservation",
        real_fraction=real_fraction,
        real_weight=real_weight,
    )
    return float((members.mean(end) - members.mean(start))[0])


def growth_threshold(
    parameters: Sequence[float],
    real: Sequence[float] | None = None,
    *,
    family: str | Family = "beta",
    real_weight: str = "density",
) -> float | None:
    """Real fraction at which the next generation's bias neither grows nor shrinks.

    Parameters
    ----------
    parameters
        The generation to start from; it must be biased.
    real, family, real_weight
        As `population.population_map`.

    Returns
    -------
    float or None
        Below it bias grows in the next generation, above it shrinks. None if bias does not grow
        even with a vanishing real fraction.

    Raises
    ------
    InputError
        If bias grows even where all data are real, so that there is no threshold.
    """
    members = get_family(family)
    truth = members.check(members.real if real is None else real)
    start = members.check(parameters)
    bias = (members.mean(start[None, :]) - members.mean(truth[None, :]))[0]
    if bias == 0.0:
        raise InputError("the generation has no bias: its mean is the real one")

    def growth(real_fraction: float) -> float:
        step = bias_step(
            start.tolist(),
            truth.tolist(),
            real_fraction=real_fraction,
            family=members,
            real_weight=real_weight,
        )
        return float(np.sign(bias) * step)

    lowest = 1e-12
    if growth(lowest) <= 0.0:
        return None
    if growth(1.0) > 0.0:
        raise InputError("bias grows at every real fraction: the real data lean that way too")
    return float(brentq(growth, lowest, 1.0, xtol=1e-12))
