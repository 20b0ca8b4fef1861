"""What Generation g trains on.

A new regime is one class in one file and one line below, and its settings one in `config.regimes`.
"""

from __future__ import annotations

from typing import Any

from biasloop.config import AnyRegimeConfig
from biasloop.errors import registered
from biasloop.regimes.accumulation import AccumulateSubsample, Accumulation
from biasloop.regimes.anchored import Anchored
from biasloop.regimes.base import Regime
from biasloop.regimes.chosen import Balanced, Detector, Reweighted, Surprise, Verified
from biasloop.regimes.counterfactual import Counterfactual
from biasloop.regimes.edited import Edited
from biasloop.regimes.preservation import Preservation
from biasloop.regimes.real import Real
from biasloop.regimes.real_share import RealShare
from biasloop.regimes.synthetic import Overfitting, Synthetic

REGIMES: dict[str, type[Regime[Any]]] = {
    "synthetic": Synthetic,
    "overfitting": Overfitting,
    "preservation": Preservation,
    "real_share": RealShare,
    "balanced": Balanced,
    "verified": Verified,
    "surprise": Surprise,
    "detector": Detector,
    "reweighted": Reweighted,
    "anchored": Anchored,
    "counterfactual": Counterfactual,
    "edited": Edited,
    "accumulation": Accumulation,
    "accumulate_subsample": AccumulateSubsample,
    "real": Real,
}


def make_regime(config: AnyRegimeConfig) -> Regime[Any]:
    """Build the regime that a config names."""
    return registered(REGIMES, config.kind, "REGIMES of regimes/__init__.py")(config)


__all__ = [
    "REGIMES",
    "AccumulateSubsample",
    "Accumulation",
    "Anchored",
    "Balanced",
    "Counterfactual",
    "Detector",
    "Edited",
    "Overfitting",
    "Preservation",
    "Real",
    "RealShare",
    "Regime",
    "Reweighted",
    "Surprise",
    "Synthetic",
    "Verified",
    "make_regime",
]
