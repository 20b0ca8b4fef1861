"""What each generation trains on: the three regimes as shares of real and synthetic data.

Knows shares and how parts are weighed against each other; draws nothing and fits nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biasloop.errors import InputError, nearest
from biasloop.theory.family import Floats


@dataclass(frozen=True)
class Regime:
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
REGIMES: dict[str, Regime] = {
    regime.name: regime
    for regime in (
        Regime("synthetic", accumulates=False, default_fraction=0.0, highest=0.0),
        Regime("preservation", False, 0.1, 1.0, excludes_zero=True),
        Regime("accumulation", True, 0.0, 1.0),
    )
}


def get_regime(name: str) -> Regime:
    """Return the regime of a name, or raise `InputError`."""
    if name not in REGIMES:
        raise InputError(f"no regime '{name}': {nearest(name, REGIMES)}")
    return REGIMES[name]


def part_weights(
    shares: Floats, real: list[bool], log_masses: Floats, *, unweighted_real: bool
) -> Floats:
    """Weigh a training set's parts against each other.

    Parameters
    ----------
    shares
        ``(parts,)`` share of the points.
    real
        Which parts are real data.
    log_masses
        ``(parts, replicates)`` log mean weight of each part's points.
    unweighted_real
        Real points count as one each, and the synthetic points' weights are scaled to a mean of
        one; otherwise all weights are taken as they are.

    Returns
    -------
    Floats
        ``(parts, replicates)``, summing to 1 over parts.
    """
    weights = np.exp(log_masses - log_masses.max(axis=0)) * shares[:, None]
    if not unweighted_real:
        return weights / weights.sum(axis=0)
    chosen = np.array(real)
    synthetic = weights[~chosen] / weights[~chosen].sum(axis=0) * shares[~chosen].sum()
    weights[chosen] = shares[chosen, None]
    weights[~chosen] = synthetic
    return weights / weights.sum(axis=0)
