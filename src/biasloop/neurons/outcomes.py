"""A metric of each version of a model, from the score tables of a run. Knows no neuron."""

from __future__ import annotations

import polars as pl

from biasloop.errors import InputError, nearest
from biasloop.tables import CHAIN

_KEY = list(CHAIN)
_LEANING = "leaning:"


def known_metrics(
    scores: pl.DataFrame, leaning_scores: pl.DataFrame, set_scores: pl.DataFrame
) -> list[str]:
    """List the metrics that a run can be asked for."""
    return [
        *(f"{_LEANING}{name}" for name in leaning_scores["leaning"].unique().sort()),
        *scores["metric"].unique().sort(),
        *set_scores["metric"].unique().sort(),
    ]


def model_scores(
    scores: pl.DataFrame,
    leaning_scores: pl.DataFrame,
    set_scores: pl.DataFrame,
    metric: str,
) -> pl.DataFrame:
    """Give each version's figure.

    Parameters
    ----------
    scores, leaning_scores, set_scores
        As in `loop.Results`.
    metric
        ``leaning:LABEL``: the share of its articles of which LABEL is the likeliest leaning (the
        paper's measure of bias; of equal ones the first in the table counts); or the name of a
        metric: its mean over articles, or that of the whole set.

    Returns
    -------
    polars.DataFrame
        ``regime, seed, generation, value``, sorted; real articles and the base model included.

    Raises
    ------
    InputError
        If there is no such metric.
    """
    if metric.startswith(_LEANING):
        label = metric.removeprefix(_LEANING)
        if (leaning_scores["leaning"] == label).any():
            likeliest = leaning_scores.sort(
                "probability", descending=True, maintain_order=True
            ).unique([*_KEY, "article_id"], keep="first", maintain_order=True)
            share = (pl.col("leaning") == label).mean().alias("value")
            return likeliest.group_by(_KEY).agg(share).sort(_KEY)
    for table in (scores, set_scores):
        rows = table.filter(pl.col("metric") == metric)
        if rows.height:
            return rows.group_by(_KEY).agg(pl.col("value").mean()).sort(_KEY)
    known = known_metrics(scores, leaning_scores, set_scores)
    raise InputError(f"unknown metric '{metric}'; {nearest(metric, known)}")
