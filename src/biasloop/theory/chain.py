"""Chains of generations: fitted to draws, or exactly, with unlimited data."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from biasloop import seeds
from biasloop.device import cores
from biasloop.errors import InputError
from biasloop.theory.families import get_family
from biasloop.theory.family import Family, Floats
from biasloop.theory.settings import Settings, get_regime, part_weights, settings


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


def wmle_chain(
    pretrained: Sequence[float] | None = None,
    real: Sequence[float] | None = None,
    **others: Any,  # noqa: ANN401 - `settings` checks them
) -> Chain:
    """Weighted maximum likelihood, generation after generation.

    Generation 0 is fitted to real data weighted by the pre-trained density; Generation g to its
    training set weighted by Generation g-1's density. Parameters are those of `settings`; the
    defaults are the paper's simulation (arXiv 2410.15234, section 3).

    Raises
    ------
    InputError
        If a setting is wrong, or a generation has no fit because its points or its weights have
        shrunk to one single point.
    """
    return run(settings("wmle", pretrained=pretrained, real=real, **others))


def mle_chain(
    real: Sequence[float] | None = None,
    **others: Any,  # noqa: ANN401 - `settings` checks them
) -> Chain:
    """Plain maximum likelihood, generation after generation; see `wmle_chain`.

    Generation 0 is fitted to the real data alone, so there is no pre-trained distribution.
    """
    return run(settings("mle", pretrained=real, real=real, **others))


def run(given: Settings, threads: int | None = None) -> Chain:
    """Run a simulation.

    Parameters
    ----------
    given
        From `settings`.
    threads
        Workers; None takes every core. The result does not depend on it: every replicate has its
        own random stream.
    """
    if given.samples is None:
        return Chain(given, population_path(given))
    size = max(1, min(_BLOCK_REPLICATES, _BLOCK_POINTS // given.samples))
    blocks = [
        range(start, min(start + size, given.replicates))
        for start in range(0, given.replicates, size)
    ]
    with ThreadPoolExecutor(max_workers=threads or cores()) as pool:
        paths = list(pool.map(lambda block: _run_block(given, block), blocks))
    return Chain(given, np.concatenate(paths, axis=1))


@dataclass
class _Part:
    """The samples of one origin that one generation added, one per replicate."""

    is_real: bool
    count: int
    samples: list[Floats]


def _run_block(given: Settings, replicates: range) -> Floats:
    family, rule = given.family, get_regime(given.regime)
    generators = [seeds.generator(given.seed, "simulate", replicate) for replicate in replicates]
    truth = np.broadcast_to(given.real_array(), (len(replicates), len(given.real)))
    previous = _base(given, replicates, truth.shape)
    kept: list[_Part] = []
    path = np.empty((given.generations, *truth.shape))
    for generation in range(given.generations):
        added = []
        for is_real, count in _counts(given, generation):
            source = truth if is_real else previous
            samples = [
                family.draw(parameters, count, generator)
                for parameters, generator in zip(source, generators, strict=True)
            ]
            added.append(_Part(is_real, count, samples))
        kept = [*kept, *added] if rule.accumulates else added
        try:
            previous = path[generation] = _fit(given, kept, previous, generation)
        except InputError as error:
            raise InputError(
                f"Generation {generation} has no fit (replicates {replicates.start} to "
                f"{replicates.stop - 1}): {error}. Use fewer --generations or more --samples"
            ) from error
    return path


def _base(given: Settings, replicates: range, shape: tuple[int, ...]) -> Floats:
    """Give the base of each replicate: exact, or fitted to draws from it."""
    exact = np.broadcast_to(np.array(given.pretrained), shape)
    if given.pretrained_samples is None:
        return exact
    family = given.family
    drawn = [
        family.draw(
            parameters,
            given.pretrained_samples,
            seeds.generator(given.seed, "simulate", "base", replicate),
        )
        for parameters, replicate in zip(exact, replicates, strict=True)
    ]
    return family.fit(np.array([family.sample_moments(sample, None)[1] for sample in drawn]))


def _counts(given: Settings, generation: int) -> list[tuple[bool, int]]:
    assert given.samples is not None  # noqa: S101 - `run` sends unlimited data elsewhere
    rule = get_regime(given.regime)
    return [
        (is_real, round(given.samples * share))
        for is_real, share in rule.added(generation, given.real_fraction)
    ]


def _fit(given: Settings, parts: list[_Part], previous: Floats, generation: int) -> Floats:
    family, weigh = given.family, given.estimator == "wmle"
    unweighted_real = weigh and generation > 0 and given.real_weight == "one"
    log_masses = np.empty((len(parts), len(previous)))
    statistics = []
    for index, part in enumerate(parts):
        weighted = weigh and not (part.is_real and unweighted_real)
        rows = []
        for replicate, sample in enumerate(part.samples):
            log_masses[index, replicate], row = family.sample_moments(
                sample, previous[replicate] if weighted else None
            )
            rows.append(row)
        statistics.append(rows)
    shares = np.array([part.count for part in parts], dtype=np.float64)
    weights = part_weights(
        shares / shares.sum(),
        [part.is_real for part in parts],
        log_masses,
        unweighted_real=unweighted_real and any(not part.is_real for part in parts),
    )
    return family.fit(family.mix(weights, np.array(statistics)))
