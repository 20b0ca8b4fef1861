"""Every quantity of every set, and under every resample, as arrays. Knows no pooling and no rows.

The quantities are listed in `summary`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from biasloop import seeds
from biasloop.analysis.bootstrap import article_weights, percentile_interval, weighted_means
from biasloop.analysis.collapse import MEASURES, change_of
from biasloop.analysis.distance import jensen_shannon, total_variation
from biasloop.analysis.intervals import paired_shares, wilson
from biasloop.analysis.outcomes import likeliest
from biasloop.analysis.tables import (
    HOLDOUT,
    Grid,
    SetKey,
    Tables,
    article_grid,
    holdout_grid,
    leaning_probabilities,
    metric_values,
)
from biasloop.analysis.validity import validity
from biasloop.tables import REAL

_GEOMETRIC = ("perplexity", "holdout_perplexity")
#: 1 or 0 of each article, so their means are shares.
_SHARES = ("outside_domain", "leaning_agreement")


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
    withheld, reasons
        Of each set, whether and why the figure must not be shown.
    edges
        Low and high of sets whose share is 0 or 1 (of changes: at either end; of distances: of
        one leaning only), where resamples cannot show what is possible; NaN for the others.
        Shape (2, sets); None for no set.
    """

    quantity: str
    value: np.ndarray
    draws: np.ndarray
    n: np.ndarray
    withheld: np.ndarray
    reasons: Sequence[str]
    edges: np.ndarray | None = None


def estimates(
    tables: Tables, keys: Sequence[SetKey], resamples: int, seed: int
) -> Iterator[Estimate]:
    """Estimate one quantity after the other.

    Parameters
    ----------
    tables, keys
        The scores, and the sets in order.
    resamples, seed
        How many resamples of articles, and their seed.
    """
    own, held_out = article_grid(tables, keys), holdout_grid(tables, keys)
    weights = article_weights(
        len(own.article_ids), resamples, seeds.generator(seed, "bootstrap", "articles")
    )
    holdout_weights = article_weights(
        len(held_out.article_ids), resamples, seeds.generator(seed, "bootstrap", "holdout")
    )
    if tables.leaning_scores.height:
        yield from _leaning_estimates(tables, own, weights, seed)
    clear = np.zeros(len(keys), dtype=bool)
    silent = [""] * len(keys)
    changes = {measure.change for measure in MEASURES}
    for metric in tables.scores["metric"].unique().sort().to_list():
        at_holdout = metric.startswith(HOLDOUT)
        grid, drawn = (held_out, holdout_weights) if at_holdout else (own, weights)
        values = metric_values(tables, grid, metric)
        mean = _mean(metric, values, drawn, clear, silent)
        yield replace(mean, edges=_share_edges(mean)) if metric in _SHARES else mean
        logs = mean
        if metric in _GEOMETRIC:
            with np.errstate(divide="ignore"):
                logs = _mean(f"{metric}:geometric", np.log(values), drawn, clear, silent)
            yield Estimate(
                logs.quantity, np.exp(logs.value), np.exp(logs.draws), logs.n, clear, silent
            )
        if change_of(metric) in changes:
            yield _change(change_of(metric), logs, keys)


def _mean(
    quantity: str,
    values: np.ndarray,
    weights: np.ndarray,
    withheld: np.ndarray,
    reasons: Sequence[str],
) -> Estimate:
    n = (~np.isnan(values)).sum(axis=1)
    sums = np.nansum(values, axis=1)
    value = np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0)
    return Estimate(quantity, value, weighted_means(values, weights), n, withheld, reasons)


def _change(quantity: str, level: Estimate, keys: Sequence[SetKey]) -> Estimate:
    """Less Generation 0 of the same chain; nothing where a chain has no Generation 0."""
    place = {key: row for row, key in enumerate(keys)}
    starts = [place.get((regime, seed, 0)) if g > 0 else None for regime, seed, g in keys]
    value = np.full_like(level.value, np.nan)
    draws = np.full_like(level.draws, np.nan)
    withheld = level.withheld.copy()
    reasons = list(level.reasons)
    for row, start in enumerate(starts):
        if start is None:
            continue
        value[row] = level.value[row] - level.value[start]
        draws[:, row] = level.draws[:, row] - level.draws[:, start]
        if level.withheld[start]:
            withheld[row] = True
            own = f"Generation {keys[row][2]}: {reasons[row]}" if reasons[row] else ""
            reasons[row] = "; ".join(
                part for part in (f"Generation 0: {level.reasons[start]}", own) if part
            )
    n = np.where(np.isnan(value), 0, level.n)
    return Estimate(quantity, value, draws, n, withheld, reasons)


def _leaning_estimates(
    tables: Tables, grid: Grid, weights: np.ndarray, seed: int
) -> Iterator[Estimate]:
    checked = validity(tables)
    withheld = checked["withheld"].to_numpy().astype(bool)
    reasons = checked["reason"].to_list()
    probabilities = leaning_probabilities(tables, grid)
    hits = likeliest(tables, probabilities)
    shares = []
    for index, (label, hit) in enumerate(hits.items()):
        share = _mean(f"share:{label}", hit, weights, withheld, reasons)
        share = replace(share, edges=_share_edges(share))
        shares.append(share)
        yield share
        change = _change(f"change:{label}", share, grid.keys)
        yield replace(change, edges=_change_edges(share, hit, grid.keys))
        yield _mean(f"probability:{label}", probabilities[index], weights, withheld, reasons)
    random = seeds.generator(seed, "bootstrap", "edge")
    yield from _distances(shares, grid.keys, random)


def _share_edges(share: Estimate) -> np.ndarray:
    """Score intervals of the shares that are 0 or 1."""
    at = ((share.value == 0) | (share.value == 1)) & (share.n > 0)
    n = np.maximum(share.n, 1)
    return np.where(at, np.stack(wilson(np.nan_to_num(share.value) * n, n)), np.nan)


def _change_edges(share: Estimate, hit: np.ndarray, keys: Sequence[SetKey]) -> np.ndarray:
    """Newcombe's intervals of the changes from or to a share of 0 or 1."""
    place = {key: row for row, key in enumerate(keys)}
    edges = np.full((2, len(keys)), np.nan)
    for row, (regime, seed, generation) in enumerate(keys):
        start = place.get((regime, seed, 0)) if generation > 0 else None
        if start is None:
            continue
        both = ~np.isnan(hit[row]) & ~np.isnan(hit[start])
        if both.any() and {share.value[row], share.value[start]} & {0.0, 1.0}:
            edges[:, row] = paired_shares(hit[start, both], hit[row, both])[1:]
    return edges


def _distances(
    shares: Sequence[Estimate], keys: Sequence[SetKey], random: np.random.Generator
) -> Iterator[Estimate]:
    """Yield the distances from the real articles; none where those were not scored.

    A set of one leaning only is the same in every resample; its shares are drawn from their
    posterior under Jeffreys' prior instead, and the interval holds the distance itself.
    """
    real = [row for row, (regime, _, _) in enumerate(keys) if regime == REAL]
    real = [row for row in real if shares[0].n[row] > 0]
    if not real:
        return
    value = np.stack([share.value for share in shares], axis=-1)
    draws = np.stack([share.draws for share in shares], axis=-1)
    single = np.flatnonzero((value == 1).any(axis=1))
    for row in single:
        counts = value[row] * shares[0].n[row] + 0.5
        draws[:, row] = random.dirichlet(counts, size=len(draws))
    value_there = value[real].mean(axis=0)
    draws_there = draws[:, real].mean(axis=1, keepdims=True)
    withheld = shares[0].withheld | shares[0].withheld[real].any()
    reasons = [
        reason or ("the real articles' own figures are withheld" if held else "")
        for reason, held in zip(shares[0].reasons, withheld, strict=True)
    ]
    n = np.where([regime == REAL for regime, _, _ in keys], 0, shares[0].n)
    for name, distance in (("tv", total_variation), ("js", jensen_shannon)):
        found, drawn = distance(value, value_there), distance(draws, draws_there)
        edges = np.full((2, len(keys)), np.nan)
        ends = np.stack(percentile_interval(drawn[:, single]))
        edges[:, single] = [
            np.minimum(ends[0], found[single]), np.maximum(ends[1], found[single])
        ]  # fmt: skip
        yield Estimate(f"distance:{name}", found, drawn, n, withheld, reasons, edges)
