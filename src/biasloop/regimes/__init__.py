"""What Generation g trains on. A new regime is one class in one file and one line below."""

from __future__ import annotations

from biasloop.config import RegimeConfig
from biasloop.errors import InputError, nearest
from biasloop.regimes.accumulation import AccumulateSubsample, Accumulation
from biasloop.regimes.base import Regime
from biasloop.regimes.preservation import Preservation
from biasloop.regimes.synthetic import Overfitting, Synthetic

REGIMES: dict[str, type[Regime]] = {
    "synthetic": Synthetic,
    "overfitting": Overfitting,
    "preservation": Preservation,
    "accumulation": Accumulation,
    "accumulate_subsample": AccumulateSubsample,
}


def make_regime(config: RegimeConfig) -> Regime:
    """Build the regime that a config names.

    Raises
    ------
    InputError
        If there is no regime of that kind; the message names the nearest.
    """
    if config.kind not in REGIMES:
        raise InputError(f"regimes: no regime '{config.kind}': {nearest(config.kind, REGIMES)}")
    return REGIMES[config.kind](config)


__all__ = [
    "REGIMES",
    "AccumulateSubsample",
    "Accumulation",
    "Overfitting",
    "Preservation",
    "Regime",
    "Synthetic",
    "make_regime",
]
