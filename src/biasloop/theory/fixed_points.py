"""Fixed points under real data, which way an update moves the bias, and thresholds.

A threshold is the fraction of real data at which bias stops growing, or below which an amplified
state lasts. See docs/theory.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, root

from biasloop.errors import InputError
from biasloop.theory.chain import population_map
from biasloop.theory.families import get_family
from biasloop.theory.family import Family, Floats

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

    Parameters are those of `chain.population_map`; relative error about 1e-8.
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

    def after(self, parameters: Floats) -> Floats:
        """One generation, row by row."""
        return population_map(
            parameters,
            self.real,
            family=self.family,
            estimator=self.estimator,
            regime="preservation",
            real_fraction=self.real_fraction,
            real_weight=self.real_weight,
        )

    def __call__(self, coordinates: Floats) -> Floats:
        """In free coordinates."""
        return self.family.free(self.after(self.family.unfree(coordinates)))

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
    step = _Preservation(get_family(family), real, real_fraction, estimator, real_weight)
    start = step.family.check(parameters)[None, :]
    return float((step.family.mean(step.after(start)) - step.family.mean(start))[0])


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


def two_leanings_threshold(real_share: float) -> float:
    """Real fraction below which two leanings have a second stable, amplified state.

    Where the discriminant of ``2 u^3 - 2 F r u^2 + (F - 1/2) u - F r / 2`` changes sign, of whose
    roots ``u = share - 1/2`` are the fixed points (``r = real share - 1/2``); 1/2 for real data
    that are in balance, less for others. Above it every chain comes back to one state.
    """
    r = real_share - 0.5
    if abs(r) >= 0.5:
        raise InputError("the real share must lie inside (0, 1)")
    if r == 0.0:
        return 0.5

    def discriminant(F: float) -> float:
        a, b, c, d = 2.0, -2.0 * F * r, F - 0.5, -0.5 * F * r
        return float(
            18 * a * b * c * d - 4 * b**3 * d + b**2 * c**2 - 4 * a * c**3 - 27 * a**2 * d**2
        )

    return float(brentq(discriminant, 0.0, 0.5, xtol=1e-14))


def least_real_share(real: ArrayLike) -> float | None:
    """Real fraction below which an amplified state lasts, of unweighted real data.

    Of two leanings `two_leanings_threshold`, of several in balance `balanced_threshold`; None
    where no closed form is known, or a leaning has no real article.
    """
    shares = np.asarray(real, dtype=np.float64)
    if shares.size < 2 or (shares <= 0).any():
        return None
    if shares.size == 2:
        return two_leanings_threshold(float(shares[1] / shares.sum()))
    return balanced_threshold(shares.size) if np.ptp(shares) < 1e-9 else None


def balanced_threshold(leanings: int) -> float:
    """Real fraction below which K leanings in balance have amplified states of one leaning.

    ``K (K - 2 sqrt(K - 1)) / (K - 2)^2`` for unweighted real data, 1/2 for K = 2. A state with
    share x of one leaning and the rest evenly over the others is a fixed point exactly if
    ``K x^2 - (2 + (1 - F)(K - 2)) x + F = 0``. The balanced state itself attracts if F is above
    1/2, whatever K: between the two fractions both attract.
    """
    if leanings < 2:
        raise InputError(f"{leanings} leanings: there must be at least two")
    if leanings == 2:
        return 0.5
    K = float(leanings)
    return K * (K - 2.0 * float(np.sqrt(K - 1.0))) / (K - 2.0) ** 2
