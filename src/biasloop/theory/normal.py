"""The Normal families: variance fitted, or variance known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from biasloop.errors import InputError
from biasloop.theory.family import TAIL, Family, Floats, Moments

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

    def density_moments(self, parameters: Floats, previous: Floats | None) -> Moments:
        """Compute in closed form: the two densities' overlap, and their product."""
        if previous is None:
            return Moments(np.zeros(len(parameters)), parameters)
        distance = parameters[:, 0] - previous[:, 0]
        log_mass = _log_density(distance, parameters[:, 1] + previous[:, 1])
        return Moments(log_mass, self.product(parameters, previous))

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

    def density_moments(self, parameters: Floats, previous: Floats | None) -> Moments:
        """Compute in closed form: the overlap, and the mean in the middle."""
        if previous is None:
            return Moments(np.zeros(len(parameters)), parameters)
        log_mass = _log_density(parameters[:, 0] - previous[:, 0], 2.0 * self.known)
        return Moments(log_mass, self.product(parameters, previous))

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
