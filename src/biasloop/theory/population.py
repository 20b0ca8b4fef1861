"""The exact path of a chain with unlimited data: no sampling, no fit beyond an M-projection.

Knows parts of a training set; knows no random number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biasloop.errors import InputError
from biasloop.theory.family import Family, Floats
from biasloop.theory.registry import get_family
from biasloop.theory.settings import Settings, settings
from biasloop.theory.training_sets import get_regime, part_weights


def population_map(
    parameters: Sequence[float] | Floats,
    real: Sequence[float] | None = None,
    *,
    family: str | Family = "beta",
    estimator: str = "wmle",
    regime: str = "synthetic",
    real_fraction: float | None = None,
    real_weight: str = "density",
    earlier: Sequence[Sequence[float]] = (),
) -> Floats:
    """One generation with unlimited data: the parameters that follow ``parameters``.

    Parameters
    ----------
    parameters
        The previous generation's fit, ``(parameters,)`` or ``(replicates, parameters)``.
    real
        The real distribution; the family's default where None.
    family, estimator, regime, real_fraction, real_weight
        As `settings.Settings`.
    earlier
        Under ``accumulation`` only: the fits of Generations 0 to the one before ``parameters``,
        oldest first. The map then gives Generation ``len(earlier) + 1``.

    Returns
    -------
    Floats
        Of the shape of ``parameters``.

    Raises
    ------
    InputError
        If no fit exists, or ``earlier`` is given to a regime that forgets.

    Notes
    -----
    The weighted training set's density is a mixture ``sum_j s_j p f_j`` with p the previous fit.
    Each product has a closed-form mass and closed-form mean statistics, so the fit to unlimited
    data, which matches the mixture's mean statistics, needs no sampling. See docs/theory.md.
    """
    members = get_family(family)
    given = settings(
        estimator,
        family=members,
        pretrained=None if real is None else real,
        real=real,
        samples=None,
        regime=regime,
        real_fraction=real_fraction,
        real_weight=real_weight,
    )
    rule = get_regime(regime)
    if len(earlier) and not rule.accumulates:
        raise InputError(f"the {regime} regime does not look at earlier generations")
    previous = np.asarray(parameters, dtype=np.float64)
    rows = np.atleast_2d(previous)
    for row in rows:
        members.check(row)
    if rows.shape[1] != len(given.real):
        raise InputError(f"{rows.shape[1]} parameters, but the real data have {len(given.real)}")
    truth = np.broadcast_to(given.real_array(), rows.shape)
    parts = [(True, 1.0, truth)] if rule.accumulates else []
    history = [
        np.broadcast_to(members.check(old), rows.shape) for old in np.asarray(earlier, float)
    ]
    models = [*history, rows] if rule.accumulates else [rows]
    for model in models:
        for is_real, share in rule.added(1, given.real_fraction):
            parts.append((is_real, share, truth if is_real else model))
    return _project(given, parts, rows, generation=1).reshape(previous.shape)


def population_path(given: Settings) -> Floats:
    """Follow a chain with unlimited data: ``(generations, 1, parameters)``."""
    family, rule = given.family, get_regime(given.regime)
    truth = given.real_array()[None, :]
    previous = np.array(given.pretrained)[None, :]
    kept: list[tuple[bool, float, Floats]] = []
    path = np.empty((given.generations, *previous.shape))
    for generation in range(given.generations):
        added = [
            (is_real, share, truth if is_real else previous)
            for is_real, share in rule.added(generation, given.real_fraction)
        ]
        kept = [*kept, *added] if rule.accumulates else added
        previous = path[generation] = _project(given, kept, previous, generation)
        family.check(previous[0])
    return path


def _project(
    given: Settings, parts: list[tuple[bool, float, Floats]], previous: Floats, generation: int
) -> Floats:
    """M-project the weighted mixture of a training set's parts."""
    family, weigh = given.family, given.estimator == "wmle"
    if len(parts) == 1:
        # The target lies in the family: no fit, no rounding.
        only = parts[0][2]
        unweighted = not weigh or (parts[0][0] and generation > 0 and given.real_weight == "one")
        return np.array(only) if unweighted else family.product(only, previous)
    unweighted_real = weigh and generation > 0 and given.real_weight == "one"
    moments = [
        family.density_moments(
            model, previous if weigh and not (is_real and unweighted_real) else None
        )
        for is_real, _, model in parts
    ]
    weights = part_weights(
        np.array([share for _, share, _ in parts]),
        [is_real for is_real, _, _ in parts],
        np.stack([part.log_mass for part in moments]),
        unweighted_real=unweighted_real,
    )
    return family.fit(family.mix(weights, np.stack([part.statistics for part in moments])))
