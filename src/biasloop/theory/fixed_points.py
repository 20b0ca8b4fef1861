"""Fixed points of a family's population map under real data, and whether they attract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import root

from biasloop.errors import InputError
from biasloop.theory.family import Family, Floats
from biasloop.theory.population import population_map
from biasloop.theory.registry import get_family

_STEP = 1e-5
#: How far a point may lie from the root that its residual and derivative predict.
_DISTANCE = 1e-6
#: Where the map minus the identity is flatter than this, a root cannot be told from its neighbours.
_SMALLEST_SLOPE = 1e-7
#: A state of less than this share of the real variance has collapsed: no interior fixed point.
_SMALLEST_VARIANCE = 1e-5
_OFFSETS = (-2.0, -1.2, -0.5, 0.0, 1.0, 3.0)


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

    Parameters are those of `population.population_map`; relative error about 1e-8.
    """
    step = _Preservation(get_family(family), real, real_fraction, estimator, real_weight)
    derivative = step.derivative(
        step.family.free(np.asarray(parameters, dtype=np.float64)[None])[0]
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
        As `population.population_map`.
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
    centre = members.free(truth[None, :])[0]
    begin = [centre + np.array(offset) for offset in product(_OFFSETS, repeat=len(centre))]
    begin += [members.free(members.check(start)[None, :])[0] for start in starts]
    smallest = _SMALLEST_VARIANCE * members.variance(truth[None, :])[0]
    found: dict[tuple[float, ...], FixedPoint] = {}
    for coordinates in begin:
        with np.errstate(all="ignore"):
            end = root(step.residual, coordinates, tol=1e-13).x
            left = step.residual(end)
        parameters = members.unfree(end[None, :])
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
            self.family.unfree(coordinates),
            self.real,
            family=self.family,
            estimator=self.estimator,
            regime="preservation",
            real_fraction=self.real_fraction,
            real_weight=self.real_weight,
        )
        return self.family.free(after)

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
