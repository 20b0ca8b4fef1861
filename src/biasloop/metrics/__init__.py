"""Metrics: an article in, figures out, with the error of the instrument that read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from biasloop.config import MetricsConfig
from biasloop.errors import InputError, nearest
from biasloop.metrics.base import MetricKind, ModelMetric
from biasloop.metrics.benchmarks import benchmarks_content, lm_eval
from biasloop.metrics.diversity import DiversityKind
from biasloop.metrics.embedding import EmbeddingKind
from biasloop.metrics.leaning import LeaningKind
from biasloop.metrics.pairs import pairs, pairs_content
from biasloop.metrics.perplexity import PerplexityKind, own_entropy
from biasloop.metrics.quality import QualityKind

#: Every metric by its name in the config. One line adds one.
METRICS: dict[str, MetricKind] = {
    "leaning": LeaningKind(),
    "quality": QualityKind(),
    "perplexity": PerplexityKind(),
    "diversity": DiversityKind(),
    "embedding": EmbeddingKind(),
}

#: Every metric of a model by its name in the config, likewise.
MODEL_METRICS: dict[str, ModelMetric] = {
    "own_entropy": own_entropy,
    "pairs": pairs,
    "lm_eval": lm_eval,
}

#: Those that read files -> what these are, as part of what a stage is known by.
CONTENTS: dict[str, Callable[[MetricsConfig], dict[str, Any]]] = {
    "pairs": pairs_content,
    "lm_eval": benchmarks_content,
}


def metric_kind(name: str) -> MetricKind:
    """Look a metric up.

    Raises
    ------
    InputError
        If there is none of that name (the message says which are near), or it is of a model.
    """
    if name in MODEL_METRICS:
        raise InputError(
            f"metrics.names: '{name}' reads the model that wrote the articles: only a run scores it"
        )
    try:
        return METRICS[name]
    except KeyError:
        raise InputError(
            f"metrics.names: unknown metric '{name}'; {nearest(name, [*METRICS, *MODEL_METRICS])}"
        ) from None
