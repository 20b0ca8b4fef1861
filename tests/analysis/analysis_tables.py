"""Made-up score tables for the tests of the analysis."""

from __future__ import annotations

import numpy as np
import polars as pl

from biasloop.analysis import Tables
from biasloop.tables import LEANING_SCORES, SCORES, SET_SCORES

Key = tuple[str, int, int]


def leaning_rows(key: Key, probabilities: np.ndarray, labels: tuple[str, ...]) -> list[tuple]:
    return [
        (*key, f"a{article:03d}", label, float(probabilities[article, index]))
        for article in range(len(probabilities))
        for index, label in enumerate(labels)
    ]


def score_rows(key: Key, metric: str, values: np.ndarray, prefix: str = "a") -> list[tuple]:
    return [
        (*key, f"{prefix}{article:03d}", metric, None if np.isnan(value) else float(value))
        for article, value in enumerate(values)
    ]


def make_tables(
    labels: tuple[str, ...] = ("left", "right"),
    scores: list[tuple] | None = None,
    leanings: list[tuple] | None = None,
    sets: list[tuple] | None = None,
    **more: object,
) -> Tables:
    return Tables(
        labels=labels,
        scores=pl.DataFrame(scores or [], schema=SCORES, orient="row"),
        leaning_scores=pl.DataFrame(leanings or [], schema=LEANING_SCORES, orient="row"),
        set_scores=pl.DataFrame(sets or [], schema=SET_SCORES, orient="row"),
        **more,
    )
