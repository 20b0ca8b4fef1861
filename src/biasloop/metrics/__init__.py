"""Metrics: an article in, figures out, with the error of the instrument that read them."""

from __future__ import annotations

from biasloop.errors import InputError, nearest
from biasloop.metrics.base import FitContext, Metric, MetricKind, Scored
from biasloop.metrics.damage import DamageCurve
from biasloop.metrics.detector import Detected, detect
from biasloop.metrics.diversity import DiversityKind
from biasloop.metrics.leaning import LeaningKind
from biasloop.metrics.pairs import PairsKind
from biasloop.metrics.perplexity import PerplexityKind, perplexities
from biasloop.metrics.quality import QualityKind

#: Every metric by its name in the config. One line adds one.
METRICS: dict[str, MetricKind] = {
    "leaning": LeaningKind(),
    "quality": QualityKind(),
    "perplexity": PerplexityKind(),
    "diversity": DiversityKind(),
    "pairs": PairsKind(),
}


def metric_kind(name: str) -> MetricKind:
    """Look a metric up.

    Raises
    ------
    InputError
        If there is none of that name; the message says which are near.
    """
    try:
        return METRICS[name]
    except KeyError:
        raise InputError(
            f"metrics.names: unknown metric '{name}'; {nearest(name, METRICS)}"
        ) from None


__all__ = [
    "METRICS",
    "DamageCurve",
    "Detected",
    "FitContext",
    "Metric",
    "MetricKind",
    "Scored",
    "detect",
    "metric_kind",
    "perplexities",
]
