"""The causal check in the loop: what editing neurons from a generation on does to the growth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from biasloop.analysis import (
    Needed,
    Outcomes,
    design_of_differences,
    needed_to_exceed,
)
from biasloop.analysis.changes import estimate_of, infer
from biasloop.analysis.grids import SetKey
from biasloop.errors import InputError

#: The three ways to go on from the same chains.
UNEDITED, CHOSEN, RANDOM = "unedited", "edited", "random"


@dataclass(frozen=True)
class Figure:
    """A difference of shares (-1 to 1) with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class InterventionEffect:
    """What the edit did to a leaning's share.

    Attributes
    ----------
    leaning
        Whose share.
    first, last
        The generation of the first edit, and the one that is judged.
    before
        The share at the generation before the first edit, which all chains have in common.
    growth
        By way, the change of the share from that generation to ``last``; ``random`` is the mean
        over all draws.
    at_once
        Likewise to ``first``, whose articles the edited models are the first to write.
    less
        ``edited less unedited``, ``random less unedited`` and ``edited less random`` of ``growth``.
    draws
        By regime of random neurons, its growth.
    chains, articles
        What it rests on.
    needed
        What would show ``edited less random``, were it as found, with a power of 80 %; None where
        nothing would.
    """

    leaning: str
    first: int
    last: int
    before: float
    growth: Mapping[str, Figure]
    at_once: Mapping[str, Figure]
    less: Mapping[str, Figure]
    draws: Mapping[str, float]
    chains: int
    articles: int
    needed: Needed | None


def intervention_effect(
    found: Outcomes,
    leaning: str,
    first: int,
    regimes: tuple[str, str, Sequence[str]],
    youden: float = 1.0,
) -> InterventionEffect:
    """Estimate the effect by chains that are the same up to the first edit.

    All chains of a seed start from the same articles, so the growths' difference is that of the
    shares at the end: no noise of the start is in it. Random neurons are drawn for each chain
    anew, so that the variance between chains has that of the draws in it. Of one chain nothing
    is said about other draws.

    Parameters
    ----------
    found
        The outcomes of a run, as read.
    leaning
        Whose share.
    first
        The generation of the first edit.
    regimes
        The regime without an edit, the edited one, and those of random neurons.
    youden
        What is read of a true change of 1, for the plan: see `Design`.

    Raises
    ------
    InputError
        If no generation from ``first`` on can be read in every chain of every regime.
    """
    quantity, judged = f"share:{leaning}", found.as_corrected()
    own, edited, random = regimes
    names = [own, edited, *random]
    seeds = [s for s in found.seeds(own) if all(s in found.seeds(name) for name in names)]
    equal = 1 / len(random)
    weights = {
        UNEDITED: [-1, 1, 0, *[0] * len(random)],
        CHOSEN: [-1, 0, 1, *[0] * len(random)],
        RANDOM: [-1, 0, 0, *[equal] * len(random)],
    }
    pairs = ((CHOSEN, UNEDITED), (RANDOM, UNEDITED), (CHOSEN, RANDOM))
    differences = {
        f"{one} less {other}": np.subtract(weights[one], weights[other]) for one, other in pairs
    }
    each = {name: [-1, 0, 0, *[float(name == other) for other in random]] for name in random}

    def keys(end: int) -> list[list[SetKey]]:
        return [[(own, s, first - 1), *((name, s, end) for name in names)] for s in seeds]

    def figures(end: int, wanted: Mapping[str, Sequence[float] | np.ndarray]) -> dict[str, Figure]:
        result = {}
        for name, weight in wanted.items():
            moved = infer(judged, quantity, keys(end), lambda means, w=weight: means @ np.array(w))
            if moved is None:
                raise InputError(f"too few articles of Generation {end} can be read as {leaning}")
            result[name] = Figure(*estimate_of(moved, quantity)[:3])
        return result

    ends = [g for g in found.generations(own) if g >= first and _all_read(found, quantity, keys(g))]
    if not seeds or not ends:
        raise InputError(
            f"no generation from {first} on has its leaning read in every chain of {own}, {edited} "
            "and the random neurons' regimes: the run is not finished, or its text is too damaged"
        )
    last = max(ends)
    less, growth = figures(last, differences), figures(last, weights)
    rows = np.array([[found.row(quantity, key) for key in chain] for chain in keys(last)])
    apart = np.einsum("csa,s->ca", rows, differences[f"{CHOSEN} less {RANDOM}"])
    there = ~np.isnan(apart).any(axis=0)
    start = [np.nanmean(judged.row(quantity, (own, seed, first - 1))) for seed in seeds]
    return InterventionEffect(
        leaning,
        first,
        last,
        float(np.mean(start)),
        growth,
        growth if first == last else figures(first, weights) if first in ends else {},
        less,
        {name: one.value for name, one in figures(last, each).items()},
        len(seeds),
        int(there.sum()),
        _needed(apart, less[f"{CHOSEN} less {RANDOM}"].value, youden),
    )


def _all_read(found: Outcomes, quantity: str, keys: Sequence[Sequence[SetKey]]) -> bool:
    return not any(np.isnan(found.row(quantity, key)).all() for chain in keys for key in chain)


def _needed(apart: np.ndarray, change: float, youden: float) -> Needed | None:
    try:
        return needed_to_exceed(design_of_differences(apart, youden), change, 0.0, len(apart))
    except InputError:  # such a change is not possible, or too little is read of it
        return None
