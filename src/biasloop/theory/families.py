"""The families of distributions: Beta (the paper's simulation), Normal and Categorical.

Points of a Beta are kept as ``(log x, log(1 - x))``, because x itself rounds to 0 or 1 for small
parameters. A Categorical has the shares of ordered leanings: the first is scored 0, the last 1, the
others evenly between, so that a mean and a variance exist; with two leanings the mean is the share
of the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv, betaln, digamma, entr, ndtr, ndtri, polygamma

from biasloop.errors import InputError, nearest
from biasloop.theory.family import TAIL, Family, Floats, WeightedMoments

_MAXIMUM_STEPS = 200
_LARGEST_STEP = 2.0
_TOLERANCE = 1e-13
#: Below this, 1 - exp(E log x) - exp(E log(1-x)) is rounding: the points cannot be told apart.
_DEGENERATE = 1e-13


def beta_from_statistics(statistics: Floats) -> Floats:
    """Solve ``digamma(a) - digamma(a + b) = E log x`` and its twin in b, row by row.

    Parameters
    ----------
    statistics
        ``(replicates, 2)``: the means of ``log x`` and of ``log(1 - x)``.

    Returns
    -------
    Floats
        ``(replicates, 2)``: a and b.

    Raises
    ------
    InputError
        If no Beta distribution has these means: both must be below 0, and the sum of their
        exponentials below 1.

    Notes
    -----
    Newton's step in (a, b) is taken as a factor, ``a * exp(step / a)``, which keeps a and b
    positive and still converges quadratically. The start is Johnson and Kotz's approximation
    (Continuous Univariate Distributions, vol. 2, ch. 25).
    """
    if not np.isfinite(statistics).all():
        raise InputError("a mean logarithm is not finite: the points hold 0, 1 or NaN")
    geometric = np.exp(statistics)
    spread = 1.0 - geometric.sum(axis=1)
    if (spread < _DEGENERATE).any():
        row = int(np.flatnonzero(spread < _DEGENERATE)[0])
        raise InputError(
            f"no Beta distribution fits row {row}: its points, or the few that carry all the "
            "weight, cannot be told from one single point in double precision"
        )
    parameters = 0.5 + geometric / (2.0 * spread[:, None])
    for _ in range(_MAXIMUM_STEPS):
        total = parameters.sum(axis=1, keepdims=True)
        own, both = digamma(parameters), digamma(total)
        gradient = statistics - own + both
        rounding = 8.0 * np.finfo(np.float64).eps * (1.0 + np.abs(own) + np.abs(both))
        curvature = polygamma(1, parameters)
        shared = polygamma(1, total)
        # Sherman-Morrison on diag(curvature) - shared.
        scaled = gradient / curvature
        remainder = 1.0 / shared - (1.0 / curvature).sum(axis=1, keepdims=True)
        step = scaled + scaled.sum(axis=1, keepdims=True) / (curvature * remainder)
        relative = np.clip(step / parameters, -_LARGEST_STEP, _LARGEST_STEP)
        parameters = parameters * np.exp(relative)
        if ((np.abs(relative) <= _TOLERANCE) | (np.abs(gradient) <= rounding)).all():
            return parameters
    raise InputError(
        f"the Beta fit did not converge in {_MAXIMUM_STEPS} steps: E log x, E log(1-x) = "
        f"{statistics[0].tolist()}"
    )


class Beta(Family):
    """Beta(a, b), with density proportional to ``x**(a-1) * (1-x)**(b-1)``."""

    name = "beta"
    pretrained = (3.0, 2.0)
    real = (2.0, 2.0)

    def parameter_names(self, count: int) -> tuple[str, ...]:
        """Name the two parameters."""
        return ("a", "b")

    def check(self, parameters: Sequence[float]) -> Floats:
        """Two positive finite numbers."""
        values = np.asarray(parameters, dtype=np.float64)
        if values.shape != (2,) or not np.isfinite(values).all() or (values <= 0).any():
            raise InputError(
                f"a Beta distribution takes two positive numbers a,b: got {list(parameters)}"
            )
        return values

    def draw(self, parameters: Floats, size: int, generator: np.random.Generator) -> Floats:
        """Draw ``(2, size)``: log x and log(1 - x), through two gamma variables."""
        if parameters.min() >= 1.0:
            gammas = np.empty((2, size))
            for row, shape in zip(gammas, parameters, strict=True):
                generator.standard_gamma(shape, out=row)
            gammas /= gammas[0] + gammas[1]
            return np.log(gammas, out=gammas)
        # Gamma(a) is Gamma(a + 1) * U**(1/a); in logarithms it cannot underflow.
        logs = np.stack(
            [
                np.log(generator.standard_gamma(shape + 1.0, size))
                - generator.standard_exponential(size) / shape
                for shape in parameters
            ]
        )
        return logs - np.logaddexp(logs[0], logs[1])

    def sample_moments(self, sample: Floats, previous: Floats | None) -> tuple[float, Floats]:
        """Weigh the logarithms by the previous fit's density, in log space."""
        if previous is None:
            return 0.0, sample.mean(axis=1)
        log_weights = (previous - 1.0) @ sample
        largest = log_weights.max()
        log_weights -= largest
        weights = np.exp(log_weights, out=log_weights)
        total = weights.sum()
        log_mass = largest + np.log(total / weights.size) - betaln(*previous)
        return float(log_mass), sample @ weights / total

    def density_moments(self, parameters: Floats, previous: Floats | None) -> WeightedMoments:
        """Compute in closed form: a ratio of Beta functions, and digamma differences."""
        target = parameters if previous is None else self.product(parameters, previous)
        statistics = digamma(target) - digamma(target.sum(axis=1, keepdims=True))
        if previous is None:
            return WeightedMoments(np.zeros(len(parameters)), statistics)
        log_mass = (
            betaln(target[:, 0], target[:, 1])
            - betaln(parameters[:, 0], parameters[:, 1])
            - betaln(previous[:, 0], previous[:, 1])
        )
        return WeightedMoments(log_mass, statistics)

    def product(self, parameters: Floats, previous: Floats) -> Floats:
        """Beta(a + a' - 1, b + b' - 1), which exists only while both are positive."""
        target = parameters + previous - 1.0
        if (target <= 0.0).any():
            row = int(np.argwhere(target <= 0.0)[0][0])
            raise InputError(
                f"no fit exists with unlimited data: Beta{tuple(map(float, parameters[row]))} "
                f"weighted by Beta{tuple(map(float, previous[row]))} has infinite mass at an edge. "
                "A parameter below 1 falls twice as far below 1 at every generation: "
                "use fewer --generations, or parameters of at least 1"
            )
        return target

    def fit(self, statistics: Floats) -> Floats:
        """Newton's method on the mean logarithms."""
        return beta_from_statistics(statistics)

    def mean(self, parameters: Floats) -> Floats:
        """Return a / (a + b)."""
        return parameters[:, 0] / parameters.sum(axis=1)

    def variance(self, parameters: Floats) -> Floats:
        """Return a b / ((a + b)^2 (a + b + 1))."""
        total = parameters.sum(axis=1)
        return parameters[:, 0] / total * (parameters[:, 1] / total) / (total + 1.0)

    def mode(self, parameters: Floats) -> Floats:
        """Return (a - 1) / (a + b - 2), an edge where only one parameter is above 1, else NaN."""
        above = parameters - 1.0
        inside = (above >= 0.0).all(axis=1) & (above > 0.0).any(axis=1)
        total = np.where(inside, above.sum(axis=1), 1.0)
        edge = np.where(above[:, 0] > above[:, 1], 1.0, 0.0)
        one_edge = (above[:, 0] < 0.0) != (above[:, 1] < 0.0)
        return np.where(inside, above[:, 0] / total, np.where(one_edge, edge, np.nan))

    def entropy(self, parameters: Floats) -> Floats:
        """Differential entropy in nats: 0 for the uniform, falling without bound."""
        statistics = self.density_moments(parameters, None).statistics
        log_normaliser = betaln(parameters[:, 0], parameters[:, 1])
        return log_normaliser - ((parameters - 1.0) * statistics).sum(axis=1)

    def tail(self, parameters: Floats, real: Floats) -> Floats:
        """Mass outside the real central interval moved with the mean; see `measures.measure`."""
        a, b = parameters[:, 0], parameters[:, 1]
        shift = self.mean(parameters) - self.mean(real[None, :])
        low = np.clip(betaincinv(real[0], real[1], TAIL) + shift, 0.0, 1.0)
        high = np.clip(betaincinv(real[0], real[1], 1.0 - TAIL) + shift, 0.0, 1.0)
        return (betainc(a, b, low) + betainc(b, a, 1.0 - high)) / (2.0 * TAIL)

    def free(self, parameters: Floats) -> Floats:
        """Logarithms."""
        return np.log(parameters)

    def unfree(self, coordinates: Floats) -> Floats:
        """Exponentials."""
        return np.exp(coordinates)

    def natural(self, parameters: Floats) -> Floats:
        """Return (a - 1, b - 1), which double when the density is squared."""
        return parameters - 1.0

    def mean_gradient(self, parameters: Floats) -> Floats:
        """(b, -a) / (a + b)^2: the covariances of x with log x and with log(1 - x)."""
        total = parameters.sum(axis=1, keepdims=True)
        return parameters[:, ::-1] * np.array([1.0, -1.0]) / total**2

    def grid(self, parameters: Floats) -> Floats:
        """Cover the open unit interval."""
        return np.linspace(0.0, 1.0, 2003)[1:-1]

    def density(self, parameters: Floats, x: Floats) -> Floats:
        """Density, through its logarithm."""
        a, b = parameters
        return np.exp((a - 1.0) * np.log(x) + (b - 1.0) * np.log1p(-x) - betaln(a, b))


_LOG_TWO_PI = np.log(2.0 * np.pi)


def _log_density(distance: Floats, variance: Floats | float) -> Floats:
    return -0.5 * (_LOG_TWO_PI + np.log(variance) + distance**2 / variance)


def _weights(sample: Floats, mean: float, variance: float) -> tuple[float, Floats]:
    """Log mean weight, and weights that sum to 1."""
    log_weights = _log_density(sample - mean, variance)
    largest = log_weights.max()
    weights = np.exp(log_weights - largest)
    total = weights.sum()
    return float(largest + np.log(total / weights.size)), weights / total


class Normal(Family):
    """Normal(mean, variance), both fitted. Statistics: mean and central second moment."""

    name = "normal"
    pretrained = (1.0, 1.0)
    real = (0.0, 1.0)

    def parameter_names(self, count: int) -> tuple[str, ...]:
        """Name the two parameters."""
        return ("mean", "variance")

    def check(self, parameters: Sequence[float]) -> Floats:
        """Two finite numbers, the second positive."""
        values = np.asarray(parameters, dtype=np.float64)
        if values.shape != (2,) or not np.isfinite(values).all() or values[1] <= 0:
            raise InputError(
                "a Normal distribution takes mean,variance with a positive variance: "
                f"got {list(parameters)}"
            )
        return values

    def draw(self, parameters: Floats, size: int, generator: np.random.Generator) -> Floats:
        """Draw ``(size,)``."""
        return generator.normal(parameters[0], np.sqrt(parameters[1]), size)

    def sample_moments(self, sample: Floats, previous: Floats | None) -> tuple[float, Floats]:
        """Weighted mean and central second moment, in two passes."""
        if previous is None:
            return 0.0, np.array([sample.mean(), sample.var()])
        log_mass, weights = _weights(sample, previous[0], previous[1])
        mean = weights @ sample
        return log_mass, np.array([mean, weights @ (sample - mean) ** 2])

    def density_moments(self, parameters: Floats, previous: Floats | None) -> WeightedMoments:
        """Compute in closed form: the two densities' overlap, and their product."""
        if previous is None:
            return WeightedMoments(np.zeros(len(parameters)), parameters)
        distance = parameters[:, 0] - previous[:, 0]
        log_mass = _log_density(distance, parameters[:, 1] + previous[:, 1])
        return WeightedMoments(log_mass, self.product(parameters, previous))

    def product(self, parameters: Floats, previous: Floats) -> Floats:
        """Precisions add, means are weighted by precision."""
        pull = parameters[:, 1] / (parameters[:, 1] + previous[:, 1])
        mean = parameters[:, 0] + pull * (previous[:, 0] - parameters[:, 0])
        return np.stack([mean, pull * previous[:, 1]], axis=1)

    def mix(self, shares: Floats, statistics: Floats) -> Floats:
        """Law of total variance."""
        mean = np.einsum("pr,pr->r", shares, statistics[..., 0])
        within = statistics[..., 1] + (statistics[..., 0] - mean) ** 2
        return np.stack([mean, np.einsum("pr,pr->r", shares, within)], axis=1)

    def fit(self, statistics: Floats) -> Floats:
        """Return the statistics, which are the parameters."""
        if (statistics[:, 1] <= 0.0).any():
            raise InputError("no Normal distribution fits: all points, or all weight, are in one")
        return statistics

    def mean(self, parameters: Floats) -> Floats:
        """Return the first parameter."""
        return parameters[:, 0]

    def variance(self, parameters: Floats) -> Floats:
        """Return the second parameter."""
        return parameters[:, 1]

    def mode(self, parameters: Floats) -> Floats:
        """Return the mean."""
        return parameters[:, 0]

    def entropy(self, parameters: Floats) -> Floats:
        """Half of log(2 pi e variance)."""
        return 0.5 * (_LOG_TWO_PI + 1.0 + np.log(self.variance(parameters)))

    def tail(self, parameters: Floats, real: Floats) -> Floats:
        """Mass outside the real central interval moved with the mean; see `measures.measure`."""
        ratio = np.sqrt(self.variance(real[None, :]) / self.variance(parameters))
        return ndtr(ndtri(TAIL) * ratio) / TAIL

    def free(self, parameters: Floats) -> Floats:
        """Mean and log variance."""
        return np.stack([parameters[:, 0], np.log(parameters[:, 1])], axis=1)

    def unfree(self, coordinates: Floats) -> Floats:
        """Undo `free`."""
        return np.stack([coordinates[:, 0], np.exp(coordinates[:, 1])], axis=1)

    def natural(self, parameters: Floats) -> Floats:
        """Mean / variance and -1 / (2 variance)."""
        mean, variance = parameters.T
        return np.stack([mean / variance, -0.5 / variance], axis=1)

    def mean_gradient(self, parameters: Floats) -> Floats:
        """Covariances of x with x and with x squared."""
        mean, variance = parameters.T
        return np.stack([variance, 2.0 * mean * variance], axis=1)

    def grid(self, parameters: Floats) -> Floats:
        """Four standard deviations either side of every member."""
        reach = 4.0 * np.sqrt(self.variance(parameters))
        mean = self.mean(parameters)
        return np.linspace((mean - reach).min(), (mean + reach).max(), 2001)

    def density(self, parameters: Floats, x: Floats) -> Floats:
        """Density."""
        row = parameters[None, :]
        return np.exp(_log_density(x - self.mean(row), self.variance(row)))


@dataclass(frozen=True)
class NormalKnownVariance(Normal):
    """Normal with only the mean fitted: a model that cannot collapse.

    Attributes
    ----------
    known
        The variance of every distribution in the chain, the real one included. Leave it at 1 to
        measure means in standard deviations.
    """

    known: float = 1.0
    name = "normal-known-variance"
    pretrained = (1.0,)
    real = (0.0,)

    def parameter_names(self, count: int) -> tuple[str, ...]:
        """Name the parameter."""
        return ("mean",)

    def check(self, parameters: Sequence[float]) -> Floats:
        """One finite number."""
        values = np.asarray(parameters, dtype=np.float64)
        if values.shape != (1,) or not np.isfinite(values).all():
            raise InputError(
                f"a Normal distribution of known variance takes one mean: got {list(parameters)}"
            )
        return values

    def draw(self, parameters: Floats, size: int, generator: np.random.Generator) -> Floats:
        """Draw ``(size,)``."""
        return generator.normal(parameters[0], np.sqrt(self.known), size)

    def sample_moments(self, sample: Floats, previous: Floats | None) -> tuple[float, Floats]:
        """Weighted mean."""
        if previous is None:
            return 0.0, np.array([sample.mean()])
        log_mass, weights = _weights(sample, previous[0], self.known)
        return log_mass, np.array([weights @ sample])

    def density_moments(self, parameters: Floats, previous: Floats | None) -> WeightedMoments:
        """Compute in closed form: the overlap, and the mean in the middle."""
        if previous is None:
            return WeightedMoments(np.zeros(len(parameters)), parameters)
        log_mass = _log_density(parameters[:, 0] - previous[:, 0], 2.0 * self.known)
        return WeightedMoments(log_mass, self.product(parameters, previous))

    def product(self, parameters: Floats, previous: Floats) -> Floats:
        """Return the mean in the middle (the product's variance is half, the fit's is not)."""
        return 0.5 * (parameters + previous)

    def mix(self, shares: Floats, statistics: Floats) -> Floats:
        """Weighted mean of the means."""
        return Family.mix(self, shares, statistics)

    def fit(self, statistics: Floats) -> Floats:
        """Return the mean."""
        return statistics

    def variance(self, parameters: Floats) -> Floats:
        """Return the known variance."""
        return np.full(len(parameters), self.known)

    def free(self, parameters: Floats) -> Floats:
        """Return the mean itself."""
        return parameters

    def unfree(self, coordinates: Floats) -> Floats:
        """Undo `free`."""
        return coordinates

    def natural(self, parameters: Floats) -> Floats:
        """Mean / variance."""
        return parameters / self.known

    def mean_gradient(self, parameters: Floats) -> Floats:
        """Return the variance."""
        return np.full_like(parameters, self.known)


_SUM_TOLERANCE = 1e-6


class Categorical(Family):
    """Categorical(p1, ..., pK). A sample is its counts."""

    name = "categorical"
    pretrained = (0.3, 0.3, 0.4)
    real = (1 / 3, 1 / 3, 1 / 3)

    def parameter_names(self, count: int) -> tuple[str, ...]:
        """Name the shares p1 to pK."""
        return tuple(f"p{index + 1}" for index in range(count))

    def check(self, parameters: Sequence[float]) -> Floats:
        """At least two shares, none negative, summing to 1."""
        values = np.asarray(parameters, dtype=np.float64)
        if values.ndim != 1 or values.size < 2 or not (values >= 0).all():
            raise InputError(
                "a Categorical distribution takes two or more shares, none negative: "
                f"got {list(parameters)}"
            )
        if not abs(values.sum() - 1.0) <= _SUM_TOLERANCE:
            raise InputError(f"shares {list(parameters)} sum to {values.sum():.6g}, not to 1")
        return values / values.sum()

    def draw(self, parameters: Floats, size: int, generator: np.random.Generator) -> Floats:
        """Draw ``(leanings,)``: the share of each in ``size`` draws."""
        return generator.multinomial(size, parameters) / size

    def sample_moments(self, sample: Floats, previous: Floats | None) -> tuple[float, Floats]:
        """Weighted shares."""
        if previous is None:
            return 0.0, sample
        moments = self.density_moments(sample[None, :], previous[None, :])
        return float(moments.log_mass[0]), moments.statistics[0]

    def density_moments(self, parameters: Floats, previous: Floats | None) -> WeightedMoments:
        """Normalised products; a part of no mass keeps its own shares, at weight 0."""
        if previous is None:
            return WeightedMoments(np.zeros(len(parameters)), parameters)
        products = parameters * previous
        mass = products.sum(axis=1)
        some = mass > 0.0
        log_mass = np.full(len(mass), -np.inf)
        np.log(mass, out=log_mass, where=some)
        safe = np.where(some, mass, 1.0)[:, None]
        return WeightedMoments(log_mass, np.where(some[:, None], products / safe, parameters))

    def product(self, parameters: Floats, previous: Floats) -> Floats:
        """Normalised products."""
        moments = self.density_moments(parameters, previous)
        if not np.isfinite(moments.log_mass).all():
            raise InputError(
                "no leaning has a share above 0 both in the data and in the model that weighs them"
            )
        return moments.statistics

    def fit(self, statistics: Floats) -> Floats:
        """Return the shares, renormalised against rounding."""
        return statistics / statistics.sum(axis=1, keepdims=True)

    def mean(self, parameters: Floats) -> Floats:
        """Mean score."""
        return parameters @ self._scores(parameters)

    def variance(self, parameters: Floats) -> Floats:
        """Variance of the score."""
        distance = self._scores(parameters) - self.mean(parameters)[:, None]
        return (parameters * distance**2).sum(axis=1)

    def mode(self, parameters: Floats) -> Floats:
        """Score of the most frequent leaning, NaN where two are equally frequent."""
        ordered = np.sort(parameters, axis=1)
        scores = self._scores(parameters)[parameters.argmax(axis=1)]
        return np.where(ordered[:, -1] > ordered[:, -2], scores, np.nan)

    def entropy(self, parameters: Floats) -> Floats:
        """Shannon entropy in nats."""
        return entr(parameters).sum(axis=1)

    def tail(self, parameters: Floats, real: Floats) -> Floats:
        """Share of the rarest leaning, relative to the rarest one's share in the real data."""
        present = real > 0.0
        return parameters[:, present].min(axis=1) / real[present].min()

    def free(self, parameters: Floats) -> Floats:
        """Log-odds against the last leaning."""
        return np.log(parameters[:, :-1]) - np.log(parameters[:, -1:])

    def unfree(self, coordinates: Floats) -> Floats:
        """Undo `free`."""
        full = np.concatenate([coordinates, np.zeros((len(coordinates), 1))], axis=1)
        odds = np.exp(full - full.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def natural(self, parameters: Floats) -> Floats:
        """Log-odds against the last leaning."""
        return self.free(parameters)

    def mean_gradient(self, parameters: Floats) -> Floats:
        """Covariances of the score with the leanings' indicators."""
        distance = self._scores(parameters) - self.mean(parameters)[:, None]
        return (parameters * distance)[:, :-1]

    def grid(self, parameters: Floats) -> Floats:
        """Return the leanings' scores."""
        return self._scores(parameters)

    def density(self, parameters: Floats, x: Floats) -> Floats:
        """Return the shares."""
        return parameters

    @staticmethod
    def _scores(parameters: Floats) -> Floats:
        return np.linspace(0.0, 1.0, parameters.shape[1])


FAMILIES: dict[str, Family] = {
    family.name: family for family in (Beta(), Normal(), NormalKnownVariance(), Categorical())
}


def get_family(name: str | Family) -> Family:
    """Return the family of a name; a family is returned as it is.

    Raises
    ------
    InputError
        If there is no family of that name.
    """
    if isinstance(name, Family):
        return name
    if name not in FAMILIES:
        raise InputError(f"no family '{name}': {nearest(name, FAMILIES)}")
    return FAMILIES[name]
