"""What the instruments read in articles, as columns beside them. Knows the score tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from biasloop.metrics.base import SCORED, SCORED_LEANINGS
from biasloop.tables import read_table


def with_readings(
    articles: pl.DataFrame, metrics: Sequence[str], inputs: Mapping[str, Path], start: str
) -> pl.DataFrame:
    """Add a column per metric: ``leaning`` the likeliest one, else the metric's value.

    Parameters
    ----------
    articles
        `tables.ARTICLES`.
    metrics
        Each has the folder of its scores in ``inputs``, by ``start`` and its name.

    Returns
    -------
    polars.DataFrame
        The articles in their order; null where one has no such figure.
    """
    for metric in metrics:
        folder = inputs[f"{start}{metric}"]
        if metric == "leaning":
            table = read_table(folder / "leaning_scores.parquet", SCORED_LEANINGS)
            table = table.sort("probability", descending=True, maintain_order=True)
            found = table.group_by("article_id", maintain_order=True).agg(pl.first("leaning"))
        else:
            table = read_table(folder / "scores.parquet", SCORED).filter(metric=metric)
            found = table.select("article_id", pl.col("value").alias(metric))
        articles = articles.join(found, on="article_id", how="left", maintain_order="left")
    return articles
