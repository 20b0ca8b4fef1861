"""What a metric is: fit once on the instrument part, load, score articles. Knows no metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from biasloop.config import MetricsConfig

#: One row per article per metric of one set of articles; ``value`` is null where the article has
#: no such figure (the perplexity of one token, say).
SCORED = pl.Schema({"article_id": pl.String, "metric": pl.String, "value": pl.Float64})

#: One row per article per leaning.
SCORED_LEANINGS = pl.Schema(
    {"article_id": pl.String, "leaning": pl.String, "probability": pl.Float64}
)

#: One row per set-level metric, with its own 95 % interval.
SCORED_SETS = pl.Schema(
    {"metric": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
)


@dataclass(frozen=True)
class Scored:
    """What one metric says of one set of articles.

    Attributes
    ----------
    scores
        `SCORED`, long form.
    leaning_scores
        `SCORED_LEANINGS`; empty unless the metric is ``leaning``.
    set_scores
        `SCORED_SETS`: figures that only a whole set has, with their own 95 % interval.
    """

    scores: pl.DataFrame
    leaning_scores: pl.DataFrame
    set_scores: pl.DataFrame


@dataclass(frozen=True)
class FitContext:
    """What a metric may read when it is fitted or loaded.

    Attributes
    ----------
    config
        The config's section of metrics.
    labels
        The label set of the bias axis, in order; at least two.
    articles
        The instrument part of the corpus (`tables.ARTICLES`); may be empty in `MetricKind.load`.
    base_model
        Folder or id of the base model, for perplexity.
    seed
        Of folds, corruptions and samples.
    """

    config: MetricsConfig
    labels: tuple[str, ...]
    articles: pl.DataFrame
    base_model: str | None
    seed: int


class Metric(Protocol):
    """A metric that is ready to score."""

    def score(self, articles: pl.DataFrame) -> Scored:
        """Score articles (`tables.ARTICLES`); rows come back in the articles' order."""
        ...


class MetricKind(Protocol):
    """A metric's name in the registry: how to fit it and how to read it back.

    Attributes
    ----------
    whole_set
        Whether its figures need the whole set of articles at once. Where not, every article is
        scored by itself, so that a set can be scored in parts.
    """

    whole_set: bool

    def fit(self, context: FitContext, folder: Path) -> None:
        """Write the instrument's files into an existing, empty folder; equal input, equal bytes.

        A metric that has an instrument also writes its ``card.json``; see `metrics.card`.
        """
        ...

    def load(self, context: FitContext, folder: Path) -> Metric:
        """Read back what `fit` wrote."""
        ...


def scored(
    article_ids: Sequence[str],
    columns: Mapping[str, Sequence[float | None] | np.ndarray],
    leaning_scores: pl.DataFrame | None = None,
    set_scores: pl.DataFrame | None = None,
) -> Scored:
    """Put figures by article into the long form.

    Parameters
    ----------
    article_ids
        The articles, in order.
    columns
        Metric name -> one value per article. NaN and None become null.
    leaning_scores, set_scores
        The other two tables; empty where not given.
    """
    parts = [
        pl.DataFrame(
            {
                "article_id": pl.Series(list(article_ids), dtype=pl.String),
                "metric": pl.Series([name] * len(article_ids), dtype=pl.String),
                "value": pl.Series(list(values), dtype=pl.Float64).fill_nan(None),
            }
        )
        for name, values in columns.items()
    ]
    return Scored(
        pl.concat(parts) if parts else SCORED.to_frame(),
        SCORED_LEANINGS.to_frame() if leaning_scores is None else leaning_scores,
        SCORED_SETS.to_frame() if set_scores is None else set_scores,
    )
