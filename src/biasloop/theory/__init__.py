"""Simulations and closed forms of bias amplification: MLE and WMLE over generations, no torch."""

from biasloop.theory.chain import Chain, population_map, population_path, run
from biasloop.theory.families import FAMILIES, get_family
from biasloop.theory.family import Family
from biasloop.theory.fixed_points import (
    FixedPoint,
    balanced_threshold,
    bias_step,
    fixed_points,
    growth_threshold,
    least_real_share,
    multipliers,
    two_leanings_threshold,
    update_projection,
)
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
from biasloop.theory.sharpening import SHARPENED_REGIMES, sharpened, sharpening_path
