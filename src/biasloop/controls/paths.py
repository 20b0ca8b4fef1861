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
        settings.generation(config.generation).temperature,
        config.loop.generations,
        settings.kind,
        getattr(settings, "fraction", 0.0),
    )
    return path[:, list(types).index(leaning)]


def measured_path(
    summary: pl.DataFrame, regime: str, leaning: str, seed: int | None = None
) -> np.ndarray:
    """Measure the share of articles read as a leaning, shape (generations + 1,).

    Parameters
    ----------
    summary
        `analysis.SUMMARY` of a run.
    regime, leaning
        Whose share, in which regime.
    seed
        Of which chain; None takes the mean over chains.
    """
    rows = summary.filter(pl.col("seed").eq_missing(seed), regime=regime)
    rows = rows.filter(quantity=f"share:{leaning}").sort("generation")
    return rows["value"].cast(pl.Float64).to_numpy()
