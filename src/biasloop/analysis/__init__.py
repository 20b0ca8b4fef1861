"""Statistics on score tables: what each generation's figures are, how sure, and what they show."""

from biasloop.analysis.adjusted import (
    ADJUSTED,
    Confusion,
    adjusted,
    instrument_confusion,
    overall_corrections,
    readings_of,
)
from biasloop.analysis.answer import (
    Contrast,
    RegimeAnswer,
    RunAnswer,
    run_answer,
    trains_on_itself,
)
from biasloop.analysis.apart import CORRELATIONS, correlations
from biasloop.analysis.bootstrap import (
    article_weights,
    percentile_interval,
    weighted_means,
)
from biasloop.analysis.collapse import Answer, Change, Sign, collapse_signs, collapsed
from biasloop.analysis.comparison import COMPARISONS, change_less, compare
from biasloop.analysis.completeness import MISSING, missing_sets
from biasloop.analysis.contrasts import CONTRASTS, change, contrasts, differences
from biasloop.analysis.corrections import Corrections
from biasloop.analysis.distance import debiased_distance, total_variation
from biasloop.analysis.dose import (
    LeastDose,
    Needed,
    Plan,
    judged_changes,
    least_dose,
    needed_for,
    needed_to_exceed,
    needed_to_hold,
)
from biasloop.analysis.doubt import (
    AGREEMENT,
    MEASURES_OF_DOUBT,
    SHIFTS,
    agree_and_kappa,
    agreement,
    classifier_shifts,
)
from biasloop.analysis.equivalence import Equivalence, tost
from biasloop.analysis.evidence import Evidence, evidence, tables_evidence
from biasloop.analysis.followed import followed_leaning
from biasloop.analysis.frontier import Choice, Frontier, frontier
from biasloop.analysis.intervals import wilson
from biasloop.analysis.outcomes import Outcomes, outcomes
from biasloop.analysis.paired import (
    Inference,
    chain_figure,
    holm,
    paired_mean,
    two_sided,
)
from biasloop.analysis.planning import design_of
from biasloop.analysis.pooling import joined_interval
from biasloop.analysis.power import (
    Design,
    Hold,
    articles_needed,
    articles_to_hold,
    can_hold,
    change_variance,
    detectable_change,
    power,
    power_to_hold,
    seeds_to_hold,
    standard_error,
    youden,
)
from biasloop.analysis.selection import SELECTIONS, selections
from biasloop.analysis.summary import SUMMARY, summarise
from biasloop.analysis.tables import (
    Tables,
    article_grid,
    curve_of,
    fine_tuned_alone,
    set_keys,
    source_codes,
    sources_apart,
    tables_of,
)
from biasloop.analysis.trend import Kendall, linear_trend, mann_kendall, paired_kendall
from biasloop.analysis.trends import TRENDS, trends
from biasloop.analysis.updates import FORETOLD, Agreement, foretold, sign_agreement
from biasloop.analysis.validity import VALIDITY, validity
from biasloop.analysis.verdict import Bias, Verdict, judge, judge_run, verdicts
from biasloop.analysis.walk import walk_pvalue
from biasloop.metrics.adjustment import (
    adjusted_shares,
    drawn_error_rates,
    error_rates,
    nearest_distribution,
    saerens_shares,
)

__all__ = [
    "ADJUSTED",
    "AGREEMENT",
    "COMPARISONS",
    "CONTRASTS",
    "CORRELATIONS",
    "FORETOLD",
    "MEASURES_OF_DOUBT",
    "MISSING",
    "SELECTIONS",
    "SHIFTS",
    "SUMMARY",
    "TRENDS",
    "VALIDITY",
    "Agreement",
    "Answer",
    "Bias",
    "Change",
    "Choice",
    "Confusion",
    "Contrast",
    "Corrections",
    "Design",
    "Equivalence",
    "Evidence",
    "Frontier",
    "Hold",
    "Inference",
    "Kendall",
    "LeastDose",
    "Needed",
    "Outcomes",
    "Plan",
    "RegimeAnswer",
    "RunAnswer",
    "Sign",
    "Tables",
    "Verdict",
    "adjusted",
    "adjusted_shares",
    "agree_and_kappa",
    "agreement",
    "article_grid",
    "article_weights",
    "articles_needed",
    "articles_to_hold",
    "can_hold",
    "chain_figure",
    "change",
    "change_less",
    "change_variance",
    "classifier_shifts",
    "collapse_signs",
    "collapsed",
    "compare",
    "contrasts",
    "correlations",
    "curve_of",
    "debiased_distance",
    "design_of",
    "detectable_change",
    "differences",
    "drawn_error_rates",
    "error_rates",
    "evidence",
    "fine_tuned_alone",
    "followed_leaning",
    "foretold",
    "frontier",
    "holm",
    "instrument_confusion",
    "joined_interval",
    "judge",
    "judge_run",
    "judged_changes",
    "least_dose",
    "linear_trend",
    "mann_kendall",
    "missing_sets",
    "nearest_distribution",
    "needed_for",
    "needed_to_exceed",
    "needed_to_hold",
    "outcomes",
    "overall_corrections",
    "paired_kendall",
    "paired_mean",
    "percentile_interval",
    "power",
    "power_to_hold",
    "readings_of",
    "run_answer",
    "saerens_shares",
    "seeds_to_hold",
    "selections",
    "set_keys",
    "sign_agreement",
    "source_codes",
    "sources_apart",
    "standard_error",
    "summarise",
    "tables_evidence",
    "tables_of",
    "tost",
    "total_variation",
    "trains_on_itself",
    "trends",
    "two_sided",
    "validity",
    "verdicts",
    "walk_pvalue",
    "weighted_means",
    "wilson",
    "youden",
]
