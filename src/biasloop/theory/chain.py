"""Chains of generations: fitted to draws, or exactly, with unlimited data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from biasloop import seeds
from biasloop.device import cores
from biasloop.errors import InputError
from biasloop.theory.families import get_family
from biasloop.theory.family import Family, Floats
from biasloop.theory.settings import Settings, get_regime, settings

#: Points that one block of replicates holds per generation: small enough for a core's cache.
_BLOCK_POINTS = 200_000
_BLOCK_REPLICATES = 50


@dataclass(frozen=True)
class Chain:
    """A simulated chain.

    Attributes
    ----------
    settings
        What was asked for.
    parameters
        ``(generations, replicates, parameters)``: the fit of every generation.
    """

    settings: Settings
    parameters: Floats


class _Part(NamedTuple):
    """What one origin added to the training set of one generation.

    ``share`` is of the points that a generation adds. ``data`` are ``(replicates, parameters)`` of
    a distribution, of unlimited data, or one sample per replicate.
    """

    is_real: bool
    share: float
    data: Floats | list[Floats]


def run(given: Settings, threads: int | None = None) -> Chain:
    """Run a simulation.

    Parameters
    ----------
    given
        From `settings`.
    threads
        Workers; None takes every core. The result does not depend on it: every replicate has its
        own random stream.

    Raises
    ------
    InputError
        If a generation has no fit because its points or its weights have shrunk to one single
        point.
    """
    samples = given.samples
    if samples is None:
        return Chain(given, population_path(given))
    size = max(1, min(_BLOCK_REPLICATES, _BLOCK_POINTS // samples))
    blocks = [
        range(start, min(start + size, given.replicates))
        for start in range(0, given.replicates, size)
    ]
    with ThreadPoolExecutor(max_workers=threads or cores()) as pool:
        paths = list(pool.map(lambda block: _run_block(given, samples, block), blocks))
    return Chain(given, np.concatenate(paths, axis=1))


def _follow(
    given: Settings,
    base: Floats,
    data: Callable[[Floats, float], Floats | list[Floats]],
    fit: Callable[[list[_Part], Floats, int], Floats],
) -> Floats:
    """Train generation after generation; ``data`` are those of a distribution, by their share."""
    rule = get_regime(given.regime)
    truth = np.broadcast_to(given.real_array(), base.shape)
    kept: list[_Part] = []
    previous, path = base, np.empty((given.generations, *base.shape))
    for generation in range(given.generations):
        added = [
            _Part(is_real, share, data(truth if is_real else previous, share))
            for is_real, share in rule.added(generation, given.real_fraction)
        ]
        kept = [*kept, *added] if rule.accumulates else added
        previous = path[generation] = fit(kept, previous, generation)
    return path


def _fit(
    given: Settings,
    parts: Sequence[_Part],
    generation: int,
    moments: Callable[[_Part, bool], tuple[Floats, Floats]],
) -> Floats:
    """Fit the family to a training set, whose parts are weighed against each other.

    Parameters
    ----------
    given, parts, generation
        What is fitted to what.
    moments
        Of a part, whose points are weighted by the previous fit or not: the log mean weight
        ``(replicates,)`` and the mean statistics ``(replicates, statistics)``.
    """
    unweighted_real = _leaves_real_unweighted(given, generation)
    found = [
        moments(part, given.estimator == "wmle" and not (part.is_real and unweighted_real))
        for part in parts
    ]
    log_masses = np.stack([log_mass for log_mass, _ in found])
    shares = np.array([part.share for part in parts], dtype=np.float64)
    weights = np.exp(log_masses - log_masses.max(axis=0)) * shares[:, None]
    real = np.array([part.is_real for part in parts])
    if unweighted_real and not real.all():
        # Real points count as one each, and the synthetic points' weights are scaled to a mean of
        # one; otherwise all weights are taken as they are.
        synthetic = weights[~real] / weights[~real].sum(axis=0) * shares[~real].sum()
        weights[real], weights[~real] = shares[real, None], synthetic
    family = given.family
    return family.fit(
        family.mix(weights / weights.sum(axis=0), np.stack([own for _, own in found]))
    )


def _leaves_real_unweighted(given: Settings, generation: int) -> bool:
    return given.estimator == "wmle" and generation > 0 and given.real_weight == "one"


# With unlimited data -----------------------------------------------------------------------------


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
        pretrained=real,
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
    models = [np.broadcast_to(members.check(old), rows.shape) for old in np.asarray(earlier, float)]
    parts = [_Part(True, 1.0, truth)] if rule.accumulates else []
    parts += [
        _Part(is_real, share, truth if is_real else model)
        for model in [*models, rows]
        for is_real, share in rule.added(1, given.real_fraction)
    ]
    return _project(given, parts, rows, generation=1).reshape(previous.shape)


def population_path(given: Settings) -> Floats:
    """Follow a chain with unlimited data: ``(generations, 1, parameters)``."""

    def fit(parts: list[_Part], previous: Floats, generation: int) -> Floats:
        found = _project(given, parts, previous, generation)
        given.family.check(found[0])
        return found

    base = np.array(given.pretrained)[None, :]
    return _follow(given, base, lambda model, _: model, fit)


def _project(given: Settings, parts: Sequence[_Part], previous: Floats, generation: int) -> Floats:
    """M-project the weighted mixture of a training set's parts."""
    family = given.family
    if len(parts) == 1:
        # The target lies in the family: no fit, no rounding.
        only = np.array(parts[0].data)
        if given.estimator == "mle" or (
            parts[0].is_real and _leaves_real_unweighted(given, generation)
        ):
            return only
        return family.product(only, previous)
    return _fit(
        given,
        parts,
        generation,
        lambda part, weighted: family.density_moments(
            np.asarray(part.data), previous if weighted else None
        ),
    )


# Of draws ----------------------------------------------------------------------------------------


def _run_block(given: Settings, samples: int, replicates: range) -> Floats:
    family = given.family
    generators = [seeds.generator(given.seed, "simulate", replicate) for replicate in replicates]

    def draw(model: Floats, share: float) -> list[Floats]:
        return [
            family.draw(parameters, round(samples * share), generator)
            for parameters, generator in zip(model, generators, strict=True)
        ]

    def fit(parts: list[_Part], previous: Floats, generation: int) -> Floats:
        def moments(part: _Part, weighted: bool) -> tuple[Floats, Floats]:
            rows = [
                family.sample_moments(sample, own if weighted else None)
                for sample, own in zip(part.data, previous, strict=True)
            ]
            return np.array([mass for mass, _ in rows]), np.array([own for _, own in rows])

        counts = [round(samples * part.share) for part in parts]
        counted = [
            part._replace(share=count / sum(counts))
            for part, count in zip(parts, counts, strict=True)
        ]
        try:
            return _fit(given, counted, generation, moments)
        except InputError as error:
            raise InputError(
                f"Generation {generation} has no fit (replicates {replicates.start} to "
                f"{replicates.stop - 1}): {error}. Use fewer --generations or more --samples"
            ) from error

    return _follow(given, _base(given, replicates), draw, fit)


def _base(given: Settings, replicates: range) -> Floats:
    """Give the base of each replicate: exact, or fitted to draws from it."""
    family, exact = given.family, np.array(given.pretrained)
    if given.pretrained_samples is None:
        return np.broadcast_to(exact, (len(replicates), len(exact)))
    drawn = [
        family.draw(
            exact,
            given.pretrained_samples,
            seeds.generator(given.seed, "simulate", "base", replicate),
        )
        for replicate in replicates
    ]
    return family.fit(np.array([family.sample_moments(sample, None)[1] for sample in drawn]))
