"""Is the classifier still to be believed on what the models write? Knows readings, not texts.

The corrections of `adjustment` assume that a leaning's articles are read on synthetic text as on
the validation articles. That cannot be proved without labels, but two things give it away: the
classifier is less sure than it was, and another classifier, built independently, no longer agrees.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.analysis.bootstrap import article_weights, percentile_interval
from biasloop.analysis.paired import paired_mean
from biasloop.analysis.tables import (
    Tables,
    article_grid,
    metric_values,
    set_keys,
    source_codes,
)
from biasloop.errors import InputError
from biasloop.tables import CHAIN, REAL

#: Measure -> its metric, and by how much its mean may fall before the readings are doubtful:
#: the probability of the likeliest leaning, and the share of articles that a second classifier,
#: of other features, reads alike.
MEASURES_OF_DOUBT: Mapping[str, tuple[str, float]] = {
    "confidence": ("leaning_confidence", 0.05),
    "agreement": ("leaning_agreement", 0.1),
}

#: One row per set and measure: its mean, and that less the mean on the real articles that prompted
#: them, with its 95 % interval. ``doubtful``: it fell by more than it may, and the interval
#: excludes 0.
SHIFTS = pl.Schema(
    {
        **CHAIN,
        "measure": pl.String,
        "value": pl.Float64,
        "shift": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "doubtful": pl.Boolean,
    }
)

#: One row per set that both classifiers read: the share of articles on which their likeliest
#: leanings agree, and Cohen's kappa, each with its 95 % interval.
AGREEMENT = pl.Schema(
    {
        **CHAIN,
        "agreement": pl.Float64,
        "agreement_low": pl.Float64,
        "agreement_high": pl.Float64,
        "kappa": pl.Float64,
        "kappa_low": pl.Float64,
        "kappa_high": pl.Float64,
        "articles": pl.Int64,
    }
)


def classifier_shifts(tables: Tables) -> pl.DataFrame:
    """Hold each set's confidence and agreement against those on the real articles, by article.

    Returns
    -------
    pl.DataFrame
        `SHIFTS`, sorted by set within each measure; without what was not scored of the real
        articles.
    """
    keys = set_keys(tables)
    grid = article_grid(tables, keys)
    codes = source_codes(tables, grid.article_ids)
    real = [row for row, key in enumerate(keys) if key[0] == REAL]
    rows: list[tuple[object, ...]] = []
    for measure, (metric, tolerable) in MEASURES_OF_DOUBT.items():
        values = metric_values(tables, grid, metric)
        if not real or np.isnan(values[real[0]]).all():
            continue
        for row, key in enumerate(keys):
            shift = paired_mean(values[row] - values[real[0]], codes)
            if key[0] == REAL or shift is None:
                continue
            low, high = shift.interval()
            doubtful = shift.value < -tolerable and high < 0
            mean = float(np.nanmean(values[row]))
            rows.append((*key, measure, mean, shift.value, low, high, doubtful))
    return pl.DataFrame(rows, schema=SHIFTS, orient="row")


def agreement(
    first: pl.DataFrame,
    second: pl.DataFrame,
    resamples: int = 1000,
    random: np.random.Generator | None = None,
) -> pl.DataFrame:
    """Hold the readings of two independently built classifiers against each other.

    Parameters
    ----------
    first, second
        `tables.LEANING_SCORES` of the same articles, one per classifier.
    resamples
        Of articles, per interval.
    random
        Their source; by default a fixed one.

    Returns
    -------
    pl.DataFrame
        `AGREEMENT`, sorted; only articles that both read.

    Raises
    ------
    InputError
        If the two have no article in common.
    """
    key = [*CHAIN, "article_id"]
    both = _likeliest(first).join(_likeliest(second), on=key, suffix="_second").sort(key)
    if not both.height:
        raise InputError("the two classifiers have read no article in common: nothing to compare")
    random = np.random.default_rng(0) if random is None else random
    rows = []
    for found, own in both.group_by(list(CHAIN), maintain_order=True):
        names = sorted({*own["leaning"].to_list(), *own["leaning_second"].to_list()})
        one = np.array([names.index(name) for name in own["leaning"]])
        two = np.array([names.index(name) for name in own["leaning_second"]])
        weights = article_weights(np.arange(len(one)), resamples, random)
        value = agree_and_kappa(one, two, np.ones((1, len(one))), len(names))
        draws = agree_and_kappa(one, two, weights, len(names))
        ends = percentile_interval(draws)
        figures = [
            float(number) if np.isfinite(number) else None
            for index in (0, 1)
            for number in (value[0, index], ends[0][index], ends[1][index])
        ]
        rows.append((*found, *figures, len(one)))
    return pl.DataFrame(rows, schema=AGREEMENT, orient="row")


def _likeliest(scores: pl.DataFrame) -> pl.DataFrame:
    key = [*CHAIN, "article_id"]
    ordered = scores.sort("probability", descending=True, maintain_order=True)
    return ordered.unique(key, keep="first", maintain_order=True).select(*key, "leaning")


def agree_and_kappa(
    one: np.ndarray, two: np.ndarray, weights: np.ndarray, labels: int
) -> np.ndarray:
    """How far two readings agree, and Cohen's kappa, under every resample.

    Parameters
    ----------
    one, two
        Index of each article's label by either reader, shape (articles,).
    weights
        How often each counts, shape (resamples, articles).
    labels
        How many there are.

    Returns
    -------
    np.ndarray
        Shape (resamples, 2); kappa is NaN where agreement by chance is certain.
    """
    total = weights.sum(axis=1)
    agree = weights @ (one == two).astype(float) / total
    eye = np.eye(labels)
    by_chance = ((weights @ eye[one]) * (weights @ eye[two])).sum(axis=1) / total**2
    room = 1 - by_chance
    kappa = np.divide(agree - by_chance, room, out=np.full_like(room, np.nan), where=room > 1e-12)
    return np.stack([agree, kappa], axis=1)
