"""What a family of distributions must offer to be run through generations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Probability in each tail beyond the real distribution's central interval.
TAIL = 0.05


class WeightedMoments(NamedTuple):
    """One part of a training set, as the fit sees it.

    Attributes
    ----------
    log_mass
        ``(replicates,)`` log of the mean weight of the part's points; 0 without weights.
    statistics
        ``(replicates, statistics)`` weighted mean of the sufficient statistics.
    """

    log_mass: Floats
    statistics: Floats


class Family(ABC):
    """A parametric family with closed-form products and an exact M-projection.

    Parameters are float64 arrays ``(replicates, parameters)``. A *sample* is an array whose form
    only the family knows. The *M-projection* of a density onto the family is the member with the
    smallest Kullback-Leibler divergence from it, which is the maximum-likelihood fit to unlimited
    data; for an exponential family it is the member with the same mean sufficient statistics.
    """

    name: ClassVar[str]
    pretrained: ClassVar[tuple[float, ...]]
    real: ClassVar[tuple[float, ...]]

    @abstractmethod
    def parameter_names(self, count: int) -> tuple[str, ...]:
        """Name the parameters of a member that has ``count`` of them."""

    @abstractmethod
    def check(self, parameters: Sequence[float]) -> Floats:
        """Return one member's parameters ``(parameters,)``, or raise `InputError`."""

    @abstractmethod
    def draw(self, parameters: Floats, size: int, generator: np.random.Generator) -> Floats:
        """Draw a sample of ``size`` points from one member."""

    @abstractmethod
    def sample_moments(self, sample: Floats, previous: Floats | None) -> tuple[float, Floats]:
        """Log mean weight and mean statistics of one sample, weighted by ``previous``'s density."""

    @abstractmethod
    def density_moments(self, parameters: Floats, previous: Floats | None) -> WeightedMoments:
        """Return the moments of unlimited data from ``parameters`` under the same weights."""

    @abstractmethod
    def product(self, parameters: Floats, previous: Floats) -> Floats:
        """M-project the normalised product of two members."""

    @abstractmethod
    def fit(self, statistics: Floats) -> Floats:
        """M-project: parameters ``(replicates, parameters)`` from mean statistics."""

    @abstractmethod
    def mean(self, parameters: Floats) -> Floats:
        """Mean of x, ``(replicates,)``."""

    @abstractmethod
    def variance(self, parameters: Floats) -> Floats:
        """Variance of x, ``(replicates,)``."""

    @abstractmethod
    def mode(self, parameters: Floats) -> Floats:
        """Mode of x, NaN where there is none or more than one, ``(replicates,)``."""

    @abstractmethod
    def entropy(self, parameters: Floats) -> Floats:
        """Entropy in nats (differential where x is continuous), ``(replicates,)``."""

    @abstractmethod
    def tail(self, parameters: Floats, real: Floats) -> Floats:
        """Tail mass relative to the real distribution's: 1 as much, 0 none; ``(replicates,)``."""

    @abstractmethod
    def free(self, parameters: Floats) -> Floats:
        """Map parameters to unconstrained coordinates, for root finding and derivatives."""

    @abstractmethod
    def unfree(self, coordinates: Floats) -> Floats:
        """Undo `free`."""

    @abstractmethod
    def natural(self, parameters: Floats) -> Floats:
        """Natural parameters, in which a model's update is a difference."""

    @abstractmethod
    def mean_gradient(self, parameters: Floats) -> Floats:
        """Gradient of the mean of x with respect to the natural parameters."""

    @abstractmethod
    def grid(self, parameters: Floats) -> Floats:
        """Values of x at which to draw members ``(members, parameters)``."""

    @abstractmethod
    def density(self, parameters: Floats, x: Floats) -> Floats:
        """Density (or share) of one member ``(parameters,)`` at ``x``."""

    def mix(self, shares: Floats, statistics: Floats) -> Floats:
        """Mean statistics of a mixture.

        Parameters
        ----------
        shares
            ``(parts, replicates)``, summing to 1 over parts.
        statistics
            ``(parts, replicates, statistics)``.
        """
        return np.einsum("pr,prs->rs", shares, statistics)
