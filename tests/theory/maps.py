"""The map of one generation with unlimited data, its fixed points, and where bias stops growing.

What docs/theory.md says of real data is shown with these; nothing in the package calls them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import brentq, root

from biasloop.errors import InputError
from biasloop.theory.chain import _Part, _project
from biasloop.theory.families import Family, Floats, get_family
from biasloop.theory.settings import get_regime, settings

_STEP = 1e-5
#: How far a point may lie from the root that its residual and derivative predict.
_DISTANCE = 1e-6
#: Where the map minus the identity is flatter than this, a root cannot be told from its neighbours.
_SMALLEST_SLOPE = 1e-7
#: A state of less than this share of the real variance has collapsed: no interior fixed point.
_SMALLEST_VARIANCE = 1e-5
_OFFSETS = (-2.0, -1.2, -0.5, 0.0, 1.0, 3.0)


def free(family: Family, parameters: Floats) -> Floats:
    """Map parameters to unconstrained coordinates."""
    if family.name == "beta":
        return np.log(parameters)
    if family.name == "normal":
        return np.stack([parameters[:, 0], np.log(parameters[:, 1])], axis=1)
    if family.name == "categorical":  # log-odds against the last leaning
        return np.log(parameters[:, :-1]) - np.log(parameters[:, -1:])
    return parameters


def unfree(family: Family, coordinates: Floats) -> Floats:
    """Undo `free`."""
    if family.name == "beta":
        return np.exp(coordinates)
    if family.name == "normal":
        return np.stack([coordinates[:, 0], np.exp(coordinates[:, 1])], axis=1)
    if family.name == "categorical":
        full = np.concatenate([coordinates, np.zeros((len(coordinates), 1))], axis=1)
        odds = np.exp(full - full.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)
    return coordinates


def natural(family: Family, parameters: Floats) -> Floats:
    """Natural parameters, in which a model's update is a difference."""
    if family.name == "beta":
        return parameters - 1.0
    if family.name == "normal":
        mean, variance = parameters.T
        return np.stack([mean / variance, -0.5 / variance], axis=1)
    if family.name == "categorical":
        return free(family, parameters)
    return parameters / family.variance(parameters)[:, None]


def mean_gradient(family: Family, parameters: Floats) -> Floats:
    """Gradient of the mean of x with respect to the natural parameters."""
    if family.name == "beta":  # the covariances of x with log x and with log(1 - x)
        total = parameters.sum(axis=1, keepdims=True)
        return parameters[:, ::-1] * np.array([1.0, -1.0]) / total**2
    if family.name == "normal":
        mean, variance = parameters.T
        return np.stack([variance, 2.0 * mean * variance], axis=1)
    if family.name == "categorical":
        scores = np.linspace(0.0, 1.0, parameters.shape[1])
        distance = scores - family.mean(parameters)[:, None]
        return (parameters * distance)[:, :-1]
    return family.variance(parameters)[:, None]


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


@dataclass(frozen=True)
class FixedPoint:
    """A model that the next generation gives back.

    Attributes
    ----------
    parameters
        Of the family.
    multipliers
        Absolute eigenvalues of the population map's derivative, largest first; they do not depend
        on the coordinates. The largest is the factor by which a deviation changes per generation
        in the end.
    """

    parameters: tuple[float, ...]
    multipliers: tuple[float, ...]

    @property
    def stable(self) -> bool:
        """Whether every small deviation dies out."""
        return self.multipliers[0] < 1.0


def multipliers(
    parameters: Sequence[float],
    real: Sequence[float] | None = None,
    *,
    real_fraction: float,
    family: str | Family = "beta",
    estimator: str = "wmle",
    real_weight: str = "density",
) -> tuple[float, ...]:
    """Absolute eigenvalues of the preservation map's derivative, by central differences.

    Parameters are those of `chain.population_map`; relative error about 1e-8.
    """
    step = _Preservation(get_family(family), real, real_fraction, estimator, real_weight)
    derivative = step.derivative(
        free(step.family, np.asarray(parameters, dtype=np.float64)[None])[0]
    )
    return _moduli(derivative)


def fixed_points(
    real: Sequence[float] | None = None,
    *,
    real_fraction: float,
    family: str | Family = "beta",
    estimator: str = "wmle",
    real_weight: str = "density",
    starts: Sequence[Sequence[float]] = (),
) -> list[FixedPoint]:
    """Find the fixed points with variance of the preservation regime.

    Those of ``accumulation`` at the same fraction are the same; see docs/theory.md.

    Parameters
    ----------
    real, real_fraction, family, estimator, real_weight
        As `chain.population_map`.
    starts
        Further parameters to start the search from, beside a grid around the real ones.

    Returns
    -------
    list of FixedPoint
        Stable ones first. Found numerically from many starts, so the list is complete only as far
        as the starts reach; states without variance (all mass in one point, or a leaning lost) are
        not among them. An empty list says that the chain keeps collapsing.
    """
    members = get_family(family)
    truth = members.check(members.real if real is None else real)
    step = _Preservation(members, truth.tolist(), real_fraction, estimator, real_weight)
    centre = free(members, truth[None, :])[0]
    begin = [centre + np.array(offset) for offset in product(_OFFSETS, repeat=len(centre))]
    begin += [free(members, members.check(start)[None, :])[0] for start in starts]
    smallest = _SMALLEST_VARIANCE * members.variance(truth[None, :])[0]
    found: dict[tuple[float, ...], FixedPoint] = {}
    for coordinates in begin:
        with np.errstate(all="ignore"):
            end = root(step.residual, coordinates, tol=1e-13).x
            left = step.residual(end)
        parameters = unfree(members, end[None, :])
        if np.abs(left).max() > _DISTANCE or members.variance(parameters)[0] < smallest:
            continue
        derivative = step.derivative(end)
        slope = derivative - np.eye(len(end))
        # A small residual alone is no root: a map that hardly moves has one everywhere.
        if np.linalg.svd(slope, compute_uv=False)[-1] < _SMALLEST_SLOPE:
            continue
        if np.abs(np.linalg.solve(slope, left)).max() > _DISTANCE:
            continue
        point = FixedPoint(tuple(parameters[0].tolist()), _moduli(derivative))
        found.setdefault(tuple(np.round(end, 5).tolist()), point)
    return sorted(found.values(), key=lambda point: (not point.stable, point.parameters))


@dataclass(frozen=True)
class _Preservation:
    """The preservation map in free coordinates."""

    family: Family
    real: Sequence[float] | None
    real_fraction: float
    estimator: str
    real_weight: str

    def __call__(self, coordinates: Floats) -> Floats:
        """One generation, row by row."""
        after = population_map(
            unfree(self.family, coordinates),
            self.real,
            family=self.family,
            estimator=self.estimator,
            regime="preservation",
            real_fraction=self.real_fraction,
            real_weight=self.real_weight,
        )
        return free(self.family, after)

    def residual(self, coordinates: Floats) -> Floats:
        try:
            return self(coordinates[None, :])[0] - coordinates
        except InputError:  # outside the map's domain: send the search elsewhere
            return np.full_like(coordinates, 1e3)

    def derivative(self, centre: Floats) -> Floats:
        """Jacobian by central differences; rows are outputs."""
        steps = np.concatenate([np.eye(len(centre)), -np.eye(len(centre))]) * _STEP
        after = self(centre + steps)
        return (after[: len(centre)] - after[len(centre) :]).T / (2.0 * _STEP)


def _moduli(derivative: Floats) -> tuple[float, ...]:
    return tuple(np.sort(np.abs(np.linalg.eigvals(derivative)))[::-1].tolist())


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
    update = natural(members, end) - natural(members, start)
    return float((mean_gradient(members, start) * update).sum())


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
        As `chain.population_map`.

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
