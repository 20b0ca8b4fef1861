"""Statistics on score tables: what each generation's figures are, how sure, and what they show."""

from biasloop.analysis.bootstrap import (
    article_weights,
    percentile_interval,
    seed_weights,
    weighted_means,
)
from biasloop.analysis.collapse import (
    MEASURES,
    Answer,
    Change,
    Measure,
    Sign,
    collapse_signs,
    collapsed,
    worsened,
)
from biasloop.analysis.completeness import MISSING, missing_sets
from biasloop.analysis.distance import jensen_shannon, total_variation
from biasloop.analysis.summary import SUMMARY, summarise
from biasloop.analysis.tables import Tables, tables_of
from biasloop.analysis.updates import FORETOLD, foretold
from biasloop.analysis.validity import VALIDITY, validity
from biasloop.analysis.verdict import (
    Verdict,
    followed_leaning,
    moved_answer,
    verdicts,
)

__all__ = [
    "FORETOLD",
    "MEASURES",
    "MISSING",
    "SUMMARY",
    "VALIDITY",
    "Answer",
    "Change",
    "Measure",
    "Sign",
    "Tables",
    "Verdict",
    "article_weights",
    "collapse_signs",
    "collapsed",
    "followed_leaning",
    "foretold",
    "jensen_shannon",
    "missing_sets",
    "moved_answer",
    "percentile_interval",
    "seed_weights",
    "summarise",
    "tables_of",
    "total_variation",
    "validity",
    "verdicts",
    "weighted_means",
    "worsened",
]
