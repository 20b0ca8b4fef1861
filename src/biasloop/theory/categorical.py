"""The Categorical family: shares of ordered leanings.

The first leaning is scored 0, the last 1, the others evenly between, so that a mean and a variance
exist; with two leanings the mean is the share of the second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import entr

from biasloop.errors import InputError
from biasloop.theory.family import Family, Floats, Moments

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

    def density_moments(self, parameters: Floats, previous: Floats | None) -> Moments:
        """Normalised products; a part of no mass keeps its own shares, at weight 0."""
        if previous is None:
            return Moments(np.zeros(len(parameters)), parameters)
        products = parameters * previous
        mass = products.sum(axis=1)
        some = mass > 0.0
        log_mass = np.full(len(mass), -np.inf)
        np.log(mass, out=log_mass, where=some)
        safe = np.where(some, mass, 1.0)[:, None]
        return Moments(log_mass, np.where(some[:, None], products / safe, parameters))

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
