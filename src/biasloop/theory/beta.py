"""The Beta family on (0, 1): the paper's own simulation.

Points are kept as ``(log x, log(1 - x))``, because x itself rounds to 0 or 1 for small parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import betainc, betaincinv, betaln, digamma

from biasloop.errors import InputError
from biasloop.theory.family import TAIL, Family, Floats, Moments
from biasloop.theory.fit import beta_from_statistics


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

    def density_moments(self, parameters: Floats, previous: Floats | None) -> Moments:
        """Compute in closed form: a ratio of Beta functions, and digamma differences."""
        target = parameters if previous is None else self.product(parameters, previous)
        statistics = digamma(target) - digamma(target.sum(axis=1, keepdims=True))
        if previous is None:
            return Moments(np.zeros(len(parameters)), statistics)
        log_mass = (
            betaln(target[:, 0], target[:, 1])
            - betaln(parameters[:, 0], parameters[:, 1])
            - betaln(previous[:, 0], previous[:, 1])
        )
        return Moments(log_mass, statistics)

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
