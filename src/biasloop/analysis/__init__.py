"""Statistics on score tables: what each generation's figures are, how sure, and what they show."""

from biasloop.analysis.bootstrap import article_weights, percentile_interval, wilson
from biasloop.analysis.changes import Change
from biasloop.analysis.classifier_errors import (
    Corrections,
    damage_curve,
    instrument_confusion,
)
from biasloop.analysis.collapse import Sign
from biasloop.analysis.evidence import (
    SHIFT_MEASURES,
    Evidence,
    classifier_shifts,
    evidence,
    tables_evidence,
)
from biasloop.analysis.grids import (
    Tables,
    article_grid,
    fine_tuned_alone,
    followed_leaning,
    missing_sets,
    set_keys,
    source_codes,
    sources_apart,
    tables_of,
    validity,
)
from biasloop.analysis.inference import (
    Equivalence,
    Inference,
    holm,
    paired_mean,
    total_variation,
    two_sided,
)
from biasloop.analysis.mitigation import (
    Frontier,
    LeastDose,
    RegimeAnswer,
    RunAnswer,
    frontier,
    least_dose,
    run_answer,
    trains_on_itself,
)
from biasloop.analysis.outcomes import Outcomes, outcomes
from biasloop.analysis.power import (
    Design,
    Needed,
    articles_needed,
    articles_to_hold,
    can_hold,
    design_of,
    detectable_change,
    needed_for,
    needed_to_exceed,
    needed_to_hold,
    power,
    seeds_to_hold,
)
from biasloop.analysis.prevalence import leaning_readings, prevalence
from biasloop.analysis.projected_update import projected_updates, sign_agreement
from biasloop.analysis.selection import SELECTIONS, selections
from biasloop.analysis.summary import summarise
from biasloop.analysis.verdict import Verdict, judge, judge_axes, judge_run
from biasloop.metrics.quantification import nearest_distribution

__all__ = [
    "SELECTIONS",
    "SHIFT_MEASURES",
    "Change",
    "Corrections",
    "Design",
    "Equivalence",
    "Evidence",
    "Frontier",
    "Inference",
    "LeastDose",
    "Needed",
    "Outcomes",
    "RegimeAnswer",
    "RunAnswer",
    "Sign",
    "Tables",
    "Verdict",
    "article_grid",
    "article_weights",
    "articles_needed",
    "articles_to_hold",
    "can_hold",
    "classifier_shifts",
    "damage_curve",
    "design_of",
    "detectable_change",
    "evidence",
    "fine_tuned_alone",
    "followed_leaning",
    "frontier",
    "holm",
    "instrument_confusion",
    "judge",
    "judge_axes",
    "judge_run",
    "leaning_readings",
    "least_dose",
    "missing_sets",
    "nearest_distribution",
    "needed_for",
    "needed_to_exceed",
    "needed_to_hold",
    "outcomes",
    "paired_mean",
    "percentile_interval",
    "power",
    "prevalence",
    "projected_updates",
    "run_answer",
    "seeds_to_hold",
    "selections",
    "set_keys",
    "sign_agreement",
    "source_codes",
    "sources_apart",
    "summarise",
    "tables_evidence",
    "tables_of",
    "total_variation",
    "trains_on_itself",
    "two_sided",
    "validity",
    "wilson",
]
