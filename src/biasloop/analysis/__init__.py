"""Statistics on score tables: what each generation's figures are, how sure, and what they show."""

from biasloop.analysis.bootstrap import (
    article_weights,
    joined_interval,
    percentile_interval,
    wilson,
)
from biasloop.analysis.changes import Change, change, with_levels
from biasloop.analysis.classifier_errors import (
    Confusion,
    Corrections,
    damage_curve,
    instrument_confusion,
)
from biasloop.analysis.collapse import Answer, Sign, collapse_signs
from biasloop.analysis.dose_response import LeastDose, least_dose
from biasloop.analysis.evidence import SHIFT_MEASURES, Evidence, evidence, tables_evidence
from biasloop.analysis.inference import (
    Equivalence,
    Inference,
    holm,
    paired_mean,
    tost,
    total_variation,
    two_sided,
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
    youden,
)
from biasloop.analysis.prevalence import leaning_readings, prevalence
from biasloop.analysis.projected_update import projected_updates, sign_agreement
from biasloop.analysis.selection import SELECTIONS, selections
from biasloop.analysis.summary import SUMMARY, summarise
from biasloop.analysis.tables import (
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
from biasloop.analysis.tradeoff import (
    Frontier,
    RegimeAnswer,
    RunAnswer,
    frontier,
    run_answer,
    trains_on_itself,
)
from biasloop.analysis.verdict import Verdict, judge, judge_run, verdicts
from biasloop.metrics.quantification import nearest_distribution, saerens_shares

__all__ = [
    "SELECTIONS",
    "SHIFT_MEASURES",
    "SUMMARY",
    "Answer",
    "Change",
    "Confusion",
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
    "change",
    "collapse_signs",
    "damage_curve",
    "design_of",
    "detectable_change",
    "evidence",
    "fine_tuned_alone",
    "followed_leaning",
    "frontier",
    "holm",
    "instrument_confusion",
    "joined_interval",
    "judge",
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
    "saerens_shares",
    "seeds_to_hold",
    "selections",
    "set_keys",
    "sign_agreement",
    "source_codes",
    "sources_apart",
    "summarise",
    "tables_evidence",
    "tables_of",
    "tost",
    "total_variation",
    "trains_on_itself",
    "two_sided",
    "validity",
    "verdicts",
    "wilson",
    "with_levels",
    "youden",
]
