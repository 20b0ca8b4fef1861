"""Every quantity of every set with its interval, as arrays. Knows no rows.

The quantities are listed in `summary`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from biasloop import quantities, seeds
from biasloop.analysis.bootstrap import article_weights, weighted_means
from biasloop.analysis.distance import debiased_distance
from biasloop.analysis.intervals import wilson
from biasloop.analysis.outcomes import Outcomes
from biasloop.analysis.paired import edge_variance, source_jackknife
from biasloop.analysis.tables import (
    HOLDOUT,
    Grid,
    Tables,
    article_grid,
    holdout_grid,
    leaning_probabilities,
    metric_values,
    source_codes,
)
from biasloop.tables import REAL


@dataclass(frozen=True)
class Estimate:
    """One quantity of every set.

    Attributes
    ----------
    quantity
        Its name.
    value
        Shape (sets,); NaN where there is none.
    draws
        The same under every resample, shape (resamples, sets).
    n
        How many articles it rests on, shape (sets,).
    sources
        Of how many sources they are, shape (sets,).
    edges
        Low and high of sets whose interval is not that of the draws: shares that are 0 or 1, whose
        resamples cannot show what is possible, and distances. NaN for the others; shape (2, sets).
        None for no set.
    of_leaning
        Whether it is withheld where a set's leaning figures are.
    """

    quantity: str
    value: np.ndarray
    draws: np.ndarray
    n: np.ndarray
    sources: np.ndarray
    edges: np.ndarray | None = None
    of_leaning: bool = False


def estimates(tables: Tables, found: Outcomes, resamples: int, seed: int) -> Iterator[Estimate]:
    """Estimate one quantity after the other.

    Parameters
    ----------
    tables, found
        The scores, and their outcomes.
    resamples, seed
        How many resamples of sources, and their seed.
    """
    keys = found.keys
    own, held_out = article_grid(tables, keys), holdout_grid(tables, keys)
    codes, held_out_codes = (source_codes(tables, grid.article_ids) for grid in (own, held_out))
    weights = article_weights(codes, resamples, seeds.generator(seed, "bootstrap", "articles"))
    holdout_weights = article_weights(
        held_out_codes, resamples, seeds.generator(seed, "bootstrap", "holdout")
    )
    if tables.leaning_scores.height:
        yield from _leaning_estimates(tables, found, own, codes, weights)
    for metric in tables.scores["metric"].unique().sort().to_list():
        at_holdout = metric.startswith(HOLDOUT)
        grid, drawn = (held_out, holdout_weights) if at_holdout else (own, weights)
        sources = held_out_codes if at_holdout else codes
        values = metric_values(tables, grid, metric)
        mean = _mean(metric, values, sources, drawn)
        record = quantities.quantity(metric)
        yield replace(mean, edges=_share_edges(mean)) if record.binary else mean
        if record.geometric:
            with np.errstate(divide="ignore"):
                logs = _mean(f"{metric}:geometric", np.log(values), sources, drawn)
            yield replace(logs, value=np.exp(logs.value), draws=np.exp(logs.draws))


def _mean(quantity: str, values: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> Estimate:
    present = ~np.isnan(values)
    n = present.sum(axis=1)
    sums = np.nansum(values, axis=1)
    value = np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0)
    sources = np.array([len(np.unique(codes[row])) for row in present])
    return Estimate(quantity, value, weighted_means(values, weights), n, sources)


def _leaning_estimates(
    tables: Tables, found: Outcomes, grid: Grid, codes: np.ndarray, weights: np.ndarray
) -> Iterator[Estimate]:
    probabilities = leaning_probabilities(tables, grid)
    for index, label in enumerate(found.labels):
        hit = found.read[label]
        share = _mean(f"share:{label}", hit, codes, weights)
        yield replace(share, edges=_share_edges(share), of_leaning=True)
        readable = np.where(np.isnan(hit), np.nan, probabilities[index])
        mean = _mean(f"probability:{label}", readable, codes, weights)
        yield replace(mean, of_leaning=True)
    yield from distance_estimate(found)


def _share_edges(share: Estimate) -> np.ndarray:
    """Score intervals of the shares that are 0 or 1, by the number of sources."""
    at = ((share.value == 0) | (share.value == 1)) & (share.n > 0)
    n = np.maximum(share.sources, 1)
    return np.where(at, np.stack(wilson(np.nan_to_num(share.value) * n, n)), np.nan)


def distance_estimate(found: Outcomes) -> list[Estimate]:
    """Estimate every set's distance from the real articles; none where those were not scored."""
    keys, codes = found.keys, found.sources[f"share:{found.labels[0]}"]
    hits = np.stack([found.read[label] for label in found.labels])
    there = ~np.isnan(hits[0])
    real = [row for row, (regime, _, _) in enumerate(keys) if regime == REAL and there[row].any()]
    if not real:
        return []
    value, edges = np.full(len(keys), np.nan), np.full((2, len(keys)), np.nan)
    n, sources = there.sum(axis=1), np.zeros(len(keys), dtype=int)
    n[real] = 0
    for row in np.flatnonzero(n):
        pair = np.concatenate([hits[:, row], hits[:, real[0]]])
        taken = source_jackknife(pair[None], codes)
        if taken is None:
            n[row] = 0
            continue
        labels = len(found.labels)
        whole = taken.whole[0, :labels] - taken.whole[0, labels:]
        without = taken.without[0, :, :labels] - taken.without[0, :, labels:]
        centred = without - without.mean(axis=0)
        sources[row] = len(without)
        covariance = centred.T @ centred * (sources[row] - 1) / sources[row]
        least = edge_variance(taken.fewest)
        figures = debiased_distance(whole, covariance, sources[row] - 1, least)
        value[row], *edges[:, row] = figures
    draws = np.broadcast_to(value, (1, len(keys)))
    return [Estimate("distance:tv", value, draws, n, sources, edges, of_leaning=True)]
