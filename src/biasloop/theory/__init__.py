"""Simulations and closed forms of bias amplification: MLE and WMLE over generations, no torch."""

from biasloop.theory.chain import Chain, population_path, run
from biasloop.theory.families import FAMILIES, Family, get_family
from biasloop.theory.measures import (
    ChainVerdict,
    describe,
    measure,
    report,
    save,
    summarise,
    verdict,
)
from biasloop.theory.settings import Settings, command, settings
from biasloop.theory.shares import (
    SHARPENED_REGIMES,
    balanced_threshold,
    least_real_share,
    sharpened,
    sharpening_path,
    two_leanings_threshold,
)

__all__ = [
    "FAMILIES",
    "SHARPENED_REGIMES",
    "Chain",
    "ChainVerdict",
    "Family",
    "Settings",
    "balanced_threshold",
    "command",
    "describe",
    "get_family",
    "least_real_share",
    "measure",
    "population_path",
    "report",
    "run",
    "save",
    "settings",
    "sharpened",
    "sharpening_path",
    "summarise",
    "two_leanings_threshold",
    "verdict",
]
