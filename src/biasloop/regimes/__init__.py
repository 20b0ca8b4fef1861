"""What Generation g trains on.

A new regime is one class in one file and one line below, and its settings one in `config.regimes`.
"""

from __future__ import annotations

from typing import Any

from biasloop.config import AnyRegimeConfig
from biasloop.errors import registered
from biasloop.regimes.accumulate_subsample import AccumulateSubsample
from biasloop.regimes.accumulation import Accumulation
from biasloop.regimes.anchored import Anchored
from biasloop.regimes.balanced import Balanced
from biasloop.regimes.base import Regime
from biasloop.regimes.counterfactual import Counterfactual
from biasloop.regimes.detector import Detector
from biasloop.regimes.edited import Edited
from biasloop.regimes.overfitting import Overfitting
from biasloop.regimes.preservation import Preservation
from biasloop.regimes.real import Real
from biasloop.regimes.real_share import RealShare
from biasloop.regimes.reweighted import Reweighted
from biasloop.regimes.surprise import Surprise
from biasloop.regimes.synthetic import Synthetic
from biasloop.regimes.verified import Verified

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
