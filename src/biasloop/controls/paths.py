"""A control's path: what the theory forecasts, and what its run measured. Judges nothing."""

from __future__ import annotations

import numpy as np
import polars as pl

from biasloop.config import Config
from biasloop.theory import sharpening_path


def forecast_path(config: Config, regime: str, leaning: str) -> np.ndarray:
    """Forecast a leaning's share, shape (generations + 1,); see `theory.sharpening_path`.

    Parameters
    ----------
    config
        Of a run on the control corpus: real articles are as many of each leaning.
    regime
        Its label.
    leaning
        Whose share.
    """
    types = config.corpus.control.word_types
    settings = next(one for one in config.regimes if one.label == regime)
    path = sharpening_path(
        np.full(len(types), 1 / len(types)),
        tuple(types.values()),
        config.generation.temperature,
        config.loop.generations,
        settings.kind,
        getattr(settings, "fraction", 0.0),
    )
    return path[:, list(types).index(leaning)]


def measured_path(leaning_scores: pl.DataFrame, regime: str, leaning: str) -> np.ndarray:
    """Measure the share of articles read as a leaning, shape (generations + 1,), over all chains.

    Parameters
    ----------
    leaning_scores
        `tables.LEANING_SCORES`.
    regime, leaning
        Whose share, in which regime.
    """
    read = (
        leaning_scores.filter(pl.col("regime") == regime)
        .sort("probability", descending=True, maintain_order=True)
        .group_by("seed", "generation", "article_id", maintain_order=True)
        .first()
    )
    shares = (
        read.group_by("generation").agg((pl.col("leaning") == leaning).mean()).sort("generation")
    )
    return shares["leaning"].to_numpy()
