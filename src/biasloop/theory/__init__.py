"""Simulations and closed forms of bias amplification: MLE and WMLE over generations, no torch."""

from biasloop.theory.cases import CASES
from biasloop.theory.chain import Chain, mle_chain, run, wmle_chain
from biasloop.theory.closed_forms import (
    RealSharePoint,
    balanced_threshold,
    beta_bias_direction,
    beta_wmle_path,
    leaning_thresholds,
    least_real_share,
    normal_preservation_variance,
    two_leanings_fixed_points,
    two_leanings_threshold,
)
from biasloop.theory.conditions import bias_step, growth_threshold, update_projection
from biasloop.theory.family import Family
from biasloop.theory.fit import BetaFit, fit_beta, fit_beta_statistics
from biasloop.theory.fixed_points import FixedPoint, fixed_points, multipliers
from biasloop.theory.measures import Verdict, measure, summarise, verdict
from biasloop.theory.output import describe, report, save
from biasloop.theory.population import population_map, population_path
from biasloop.theory.registry import FAMILIES, get_family
from biasloop.theory.settings import Settings, command, parse_parameters, parse_samples, settings
from biasloop.theory.sharpening import SHARPENED_REGIMES, sharpened, sharpening_path

__all__ = [
    "CASES",
    "FAMILIES",
    "SHARPENED_REGIMES",
    "BetaFit",
    "Chain",
    "Family",
    "FixedPoint",
    "RealSharePoint",
    "Settings",
    "Verdict",
    "balanced_threshold",
    "beta_bias_direction",
    "beta_wmle_path",
    "bias_step",
    "command",
    "describe",
    "fit_beta",
    "fit_beta_statistics",
    "fixed_points",
    "get_family",
    "growth_threshold",
    "leaning_thresholds",
    "least_real_share",
    "measure",
    "mle_chain",
    "multipliers",
    "normal_preservation_variance",
    "parse_parameters",
    "parse_samples",
    "population_map",
    "population_path",
    "report",
    "run",
    "save",
    "settings",
    "sharpened",
    "sharpening_path",
    "summarise",
    "two_leanings_fixed_points",
    "two_leanings_threshold",
    "update_projection",
    "verdict",
    "wmle_chain",
]
