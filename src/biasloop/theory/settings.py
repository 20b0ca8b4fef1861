"""Settings of a simulation, checked, and what each generation trains on in a regime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from biasloop.errors import InputError, nearest
from biasloop.theory.families import get_family
from biasloop.theory.family import Family, Floats


@dataclass(frozen=True)
class TrainingSetRule:
    """How a training set is put together.

    Attributes
    ----------
    name
        The paper's word.
    accumulates
        Whether the sets of all earlier generations stay in.
    default_fraction
        Share of real points in what each generation adds, where none is given.
    lowest, highest
        Bounds of that share; ``lowest`` itself is excluded where ``excludes_zero``.
    """

    name: str
    accumulates: bool
    default_fraction: float
    highest: float
    excludes_zero: bool = False

    def checked_fraction(self, fraction: float | None) -> float:
        """Return the share, or the default; raise `InputError` out of bounds."""
        if fraction is None:
            return self.default_fraction
        too_low = fraction == 0.0 and self.excludes_zero
        if not 0.0 <= fraction <= self.highest or too_low:
            hint = (
                "no real data enter after Generation 0; use preservation or accumulation"
                if self.highest == 0.0
                else f"it must lie in {'(' if self.excludes_zero else '['}0, {self.highest:g}]"
            )
            raise InputError(f"--real-fraction {fraction} in the {self.name} regime: {hint}")
        return fraction

    def added(self, generation: int, fraction: float) -> list[tuple[bool, float]]:
        """List what a generation adds: (real or not, share), shares summing to 1."""
        if generation == 0:
            return [(True, 1.0)]
        parts = [(False, 1.0 - fraction), (True, fraction)]
        return [part for part in parts if part[1] > 0.0]


#: ``synthetic``: only the previous generation's output. ``preservation``: that, and fresh real
#: data. ``accumulation``: everything so far, the real data of Generation 0 included.
REGIMES: dict[str, TrainingSetRule] = {
    regime.name: regime
    for regime in (
        TrainingSetRule("synthetic", accumulates=False, default_fraction=0.0, highest=0.0),
        TrainingSetRule("preservation", False, 0.1, 1.0, excludes_zero=True),
        TrainingSetRule("accumulation", True, 0.0, 1.0),
    )
}


def get_regime(name: str) -> TrainingSetRule:
    """Return the regime of a name, or raise `InputError`."""
    if name not in REGIMES:
        raise InputError(f"no regime '{name}': {nearest(name, REGIMES)}")
    return REGIMES[name]


#: Numerical limits of a simulation, so that a typing error cannot ask for years.
MAXIMUM_GENERATIONS = 10_000
MAXIMUM_DRAWS = 10**11

ESTIMATORS = ("wmle", "mle")
REAL_WEIGHTS = ("density", "one")


@dataclass(frozen=True)
class Settings:
    """One simulation; use `settings` to make a checked one.

    Attributes
    ----------
    estimator
        ``wmle`` weighs every training point by its density under the previous fit (the base, at
        Generation 0); ``mle`` weighs all alike and does not use the base.
    family
        The family of every distribution in the chain.
    pretrained, real
        Parameters of the base model and of the real data.
    samples
        Training points per generation; ``None`` is unlimited.
    generations
        How many, Generation 0 included: g = 0 .. generations - 1.
    replicates
        Independent chains.
    regime
        ``synthetic``, ``preservation`` or ``accumulation``; see `REGIMES`.
    real_fraction
        Share of real points in what each generation after Generation 0 adds.
    real_weight
        Under ``wmle``, from Generation 1 on: ``density`` weighs real points as all others;
        ``one`` leaves them unweighted and scales the synthetic points' weights to a mean of 1.
    seed
        Of the sampling.
    pretrained_samples
        The base is fitted to so many draws from ``pretrained``, anew in each replicate, as the
        paper's is; ``None`` takes ``pretrained`` itself.
    """

    estimator: str
    family: Family
    pretrained: tuple[float, ...]
    real: tuple[float, ...]
    samples: int | None = 10_000
    generations: int = 11
    replicates: int = 1
    regime: str = "synthetic"
    real_fraction: float = 0.0
    real_weight: str = "density"
    seed: int = 0
    pretrained_samples: int | None = None

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the family's parameters."""
        return self.family.parameter_names(len(self.real))

    def real_array(self) -> Floats:
        """Return the real distribution's parameters, ``(parameters,)``."""
        return np.array(self.real)


def settings(
    estimator: str = "wmle",
    *,
    family: str | Family = "beta",
    pretrained: Sequence[float] | None = None,
    real: Sequence[float] | None = None,
    real_fraction: float | None = None,
    samples: int | float | None = 10_000,
    **others: Any,  # noqa: ANN401 - further fields of `Settings`
) -> Settings:
    """Check what was asked for, and fill in what was left out.

    Parameters
    ----------
    estimator, family, pretrained, real, real_fraction, samples, **others
        As `Settings`; ``pretrained`` and ``real`` default to the family's (for ``beta`` the
        paper's (3, 2) and (2, 2)), ``samples`` may be ``math.inf``, ``real_fraction`` defaults to
        the regime's.

    Raises
    ------
    InputError
        If a value is out of bounds, unknown, or contradicts another.
    """
    members = get_family(family)
    base = members.check(members.pretrained if pretrained is None else pretrained)
    truth = members.check(members.real if real is None else real)
    if base.shape != truth.shape:
        raise InputError(f"--pretrained has {base.size} shares, --real has {truth.size}")
    count = _count(samples)
    given = Settings(
        estimator, members, tuple(base.tolist()), tuple(truth.tolist()), count, **others
    )
    for what, value, known in (
        ("estimator", estimator, ESTIMATORS),
        ("real weight", given.real_weight, REAL_WEIGHTS),
    ):
        if value not in known:
            raise InputError(f"no {what} '{value}': {nearest(value, known)}")
    if not 1 <= given.generations <= MAXIMUM_GENERATIONS:
        raise InputError(f"--generations {given.generations}: must lie in 1..{MAXIMUM_GENERATIONS}")
    if given.seed < 0:
        raise InputError(f"--seed {given.seed}: must be at least 0")
    if given.replicates < 1:
        raise InputError(f"--replicates {given.replicates}: must be at least 1")
    if count is None and given.replicates > 1:
        raise InputError(
            f"--replicates {given.replicates} with unlimited samples: there is no sampling noise, "
            "so one replicate is all there is"
        )
    if count is not None and count * given.replicates * given.generations > MAXIMUM_DRAWS:
        raise InputError(f"more than {MAXIMUM_DRAWS:.0e} draws: lower --samples or --replicates")
    if given.pretrained_samples is not None:
        _count(given.pretrained_samples, "--pretrained-samples")
        if estimator != "wmle" or count is None:
            raise InputError(
                f"--pretrained-samples {given.pretrained_samples}: needs wmle and a number of "
                "--samples; plain maximum likelihood uses no base, and unlimited data have an "
                "exact one"
            )
    share = get_regime(given.regime).checked_fraction(real_fraction)
    if count is not None and 0.0 < share < 1.0 and round(count * share) in (0, count):
        raise InputError(
            f"--real-fraction {share} of {count} samples rounds to {round(count * share)} real "
            "points: raise --samples"
        )
    return replace(given, real_fraction=share)


def _count(samples: int | float | None, option: str = "--samples") -> int | None:
    if samples is None or samples == math.inf:
        return None
    if samples != int(samples) or samples < 2:
        raise InputError(f"{option} {samples}: give a whole number of at least 2, or inf")
    return int(samples)


def command(given: Settings) -> str:
    """Write the command line that asks for this simulation."""
    words = ["biasloop simulate", given.estimator, f"--family {given.family.name}"]
    if given.estimator == "wmle":
        words.append("--pretrained " + ",".join(f"{value:.9g}" for value in given.pretrained))
    words += [
        "--real " + ",".join(f"{value:.9g}" for value in given.real),
        f"--generations {given.generations}",
        f"--samples {'inf' if given.samples is None else given.samples}",
        f"--replicates {given.replicates}",
        f"--regime {given.regime}",
    ]
    if given.regime != "synthetic":
        words.append(f"--real-fraction {given.real_fraction:g}")
        if given.estimator == "wmle":
            words.append(f"--real-weight {given.real_weight}")
    if given.pretrained_samples is not None:
        words.append(f"--pretrained-samples {given.pretrained_samples}")
    return " ".join([*words, f"--seed {given.seed}"])


def unlimited(given: Settings) -> Settings:
    """Return the same simulation with unlimited data."""
    return replace(given, samples=None, replicates=1, pretrained_samples=None)
