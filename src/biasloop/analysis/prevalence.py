"""Shares of every generation beside the same corrected for the classifier's errors.

Adjusted classify-and-count (Forman 2008; of two labels Rogan and Gladen 1978) by the counted
errors, with maximum likelihood by EM as a check. Intervals are bootstrap intervals over articles
and confusion counts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from biasloop import seeds
from biasloop.analysis.bootstrap import (
    article_weights,
    joined_interval,
    percentile_interval,
    wilson,
)
from biasloop.analysis.classifier_errors import (
    Confusion,
    Readings,
    curve_corrections,
)
from biasloop.analysis.grids import Tables, article_grid, leaning_probabilities, source_codes
from biasloop.analysis.outcomes import Outcomes
from biasloop.metrics.quantification import nearest_distribution, saerens_shares
from biasloop.tables import BASE, REAL

#: Pooled over seeds. ``read`` is the share as read; ``adjusted`` corrects it by the errors on
#: held-out articles, as damaged as each article where that was measured, and its interval holds
#: theirs and the articles' uncertainty; both are of the articles that can be read. ``unread`` is
#: the share that cannot, and ``least`` and ``most`` bound the share over all articles, whatever the
#: unread ones lean to, with the interval's uncertainty. ``change`` is the change of the corrected
#: share since Generation 0 (null for Generation 0, real and base), of the chains that have both;
#: ``likelihood`` is the share by Saerens et al.'s EM, without the errors' uncertainty. All
#: intervals are widened by how far chains differ (`joined_interval`). Shares are 0 to 1.
PREVALENCE = pl.Schema(
    {
        "regime": pl.String,
        "generation": pl.Int64,
        "leaning": pl.String,
        "read": pl.Float64,
        "read_low": pl.Float64,
        "read_high": pl.Float64,
        "adjusted": pl.Float64,
        "adjusted_low": pl.Float64,
        "adjusted_high": pl.Float64,
        "unread": pl.Float64,
        "least": pl.Float64,
        "most": pl.Float64,
        "change": pl.Float64,
        "change_low": pl.Float64,
        "change_high": pl.Float64,
        "likelihood": pl.Float64,
        "likelihood_low": pl.Float64,
        "likelihood_high": pl.Float64,
        "articles": pl.Int64,
        "chains": pl.Int64,
    }
)

#: Resamples of the EM: it is iterated in each, and a check rather than the headline.
_LIKELIHOOD_RESAMPLES = 200
_LIKELIHOOD_STEPS = 300


def prevalence(
    tables: Tables,
    found: Outcomes,
    confusion: Confusion,
    resamples: int,
    seed: int,
    likelihood: bool = True,
) -> pl.DataFrame:
    """Correct the shares of every set that can be read.

    Parameters
    ----------
    tables, found
        The scores, and their outcomes.
    confusion
        The instrument's.
    resamples, seed
        Of the bootstrap over articles and confusion counts together.
    likelihood
        Whether to find the shares by EM, too, which takes most of the time.

    Returns
    -------
    pl.DataFrame
        `PREVALENCE`, in the order of regimes and generations; empty where the confusion counts
        have a problem.
    """
    name = f"share:{tables.labels[0]}" if tables.labels else ""
    if confusion.problem or name not in found.values:
        return pl.DataFrame(schema=PREVALENCE)
    labels = len(tables.labels)
    grid = article_grid(tables, found.keys)
    cube = np.where(
        np.isnan(found.read[found.labels[0]]), np.nan, leaning_probabilities(tables, grid)
    )
    codes = source_codes(tables, grid.article_ids)
    weights = article_weights(codes, resamples, seeds.generator(seed, "bootstrap", "articles"))
    readings = leaning_readings(tables, found, confusion, resamples, seed)
    rows: list[tuple[object, ...]] = []
    order = [(REAL, -1), (BASE, -1)]
    order += [(regime, g) for regime in found.regimes() for g in found.generations(regime)]
    # Chain -> row, of the chains whose generation can be read.
    there = {
        (regime, g): {
            s: found.keys.index((regime, s, g))
            for s in found.seeds(regime)
            if not np.isnan(found.row(name, (regime, s, g))).all()
        }
        for regime, g in order
    }
    for regime, generation in order:
        chains = there[regime, generation]
        if not chains:
            continue
        read = _pooled(found, readings, weights, list(chains.values()), f"{regime} {generation}")
        mean = nearest_distribution(read.corrected.mean(axis=0))
        as_read = _with_interval(read.chains, read.draws, read.sources)
        drawn = nearest_distribution(read.corrected_draws)
        corrected = _with_interval(read.corrected, drawn, read.sources, mean)
        change, likely = (np.full((3, labels), np.nan) for _ in range(2))
        both = [s for s in chains if s in there.get((regime, 0), {})] if generation > 0 else []
        if both:
            before, after = (
                _pooled(
                    found,
                    readings,
                    weights,
                    [there[regime, g][s] for s in both],
                    f"{regime} {g}",
                )
                for g in (0, generation)
            )
            change = _with_interval(
                after.corrected - before.corrected,
                after.corrected_draws - before.corrected_draws,
                min(before.sources, after.sources),
            )
        if likelihood:
            likely = _likelihood(found, cube, weights, list(chains.values()))
        parts = (
            *np.clip(as_read, 0, 1),
            *np.clip(corrected, 0, 1),
            *_over_all(read),
            *np.clip(change, -1, 1),
            *np.clip(likely, 0, 1),
        )
        for index, label in enumerate(tables.labels):
            figures = [float(part[index]) for part in parts]
            rows.append((regime, generation, label, *figures, read.articles, len(chains)))
    floats = pl.col(pl.Float64)
    table = pl.DataFrame(rows, schema=PREVALENCE, orient="row")
    return table.with_columns(pl.when(floats.is_finite()).then(floats))


def leaning_readings(
    tables: Tables, found: Outcomes, confusion: Confusion, resamples: int, seed: int
) -> Readings:
    """Say what readings count for: by level of damage, or else all by the confusion counts."""
    random = seeds.generator(seed, "confusion")
    if found.readings is not None and tables.curve is not None:
        drawn = curve_corrections(tables.curve, tables.labels, resamples, random)
        return replace(found.readings, corrections=drawn)
    hits = np.stack([found.read[label] for label in found.labels])
    reading = np.where(np.isnan(hits[0]), -1, np.argmax(np.nan_to_num(hits), axis=0))
    overall = confusion.corrections(resamples, random)
    return Readings(np.where(reading < 0, -1, 0), reading, overall)


def _with_interval(
    chains: np.ndarray, draws: np.ndarray, sources: int, value: np.ndarray | None = None
) -> np.ndarray:
    """Mean over chains and its 95 % interval, shape (3, labels).

    Parameters
    ----------
    chains
        Shape (chains, labels).
    draws
        Of their mean, shape (resamples, labels).
    sources
        How many it rests on.
    value
        In place of the mean of the chains' figures: the figure of their mean.
    """
    ends = [
        joined_interval(own, low, high, sources)
        for own, low, high in zip(chains.T, *percentile_interval(draws), strict=True)
    ]
    return np.stack([chains.mean(axis=0) if value is None else value, *np.transpose(ends)])


@dataclass(frozen=True)
class _Pooled:
    """Shares of each chain, and their mean's resamples.

    Attributes
    ----------
    chains, draws
        As read, shape (chains, labels) and (resamples, labels).
    corrected, corrected_draws
        The same corrected, not kept within 0 and 1.
    unread, unread_draws
        The share that cannot be read, shape (chains,) and (resamples,).
    articles, sources
        On how many it rests; of sources on no more than the error rates do.
    """

    chains: np.ndarray
    draws: np.ndarray
    corrected: np.ndarray
    corrected_draws: np.ndarray
    unread: np.ndarray
    unread_draws: np.ndarray
    articles: int
    sources: int


def _pooled(
    found: Outcomes, readings: Readings, weights: np.ndarray, rows: Sequence[int], generation: str
) -> _Pooled:
    """Pool some chains of a generation; ``rows`` are their sets."""
    name = f"share:{found.labels[0]}"
    can = ~np.isnan(found.values[name][rows])
    sources = len(np.unique(found.sources[name][can.any(axis=0)]))
    composition = np.stack([_shares(readings.composition(row)) for row in rows])
    drawn = np.mean([_drawn(readings, row, weights, sources, generation) for row in rows], axis=0)
    rates = readings.corrections
    cannot = found.unread[rows] if found.unread is not None else np.zeros_like(can)
    scored = can | cannot
    any_of = np.flatnonzero(scored.any(axis=0))
    own = weights[:, any_of]
    over = [own @ part[:, any_of].T.astype(float) for part in (cannot, scored)]
    return _Pooled(
        composition.sum(axis=1),
        drawn.sum(axis=1),
        np.einsum("ckr,krj->cj", composition, np.nan_to_num(rates.point)),
        np.einsum("dkr,dkrj->dj", drawn, np.nan_to_num(rates.drawn)),
        cannot.sum(axis=1) / scored.sum(axis=1),
        (over[0] / np.maximum(over[1], 1)).mean(axis=1),
        int(can.any(axis=0).sum()),
        sources if rates.sources is None else min(sources, rates.sources),
    )


def _drawn(
    readings: Readings, row: int, weights: np.ndarray, sources: int, generation: str
) -> np.ndarray:
    """Share of readable articles on each level and read so, (resamples, levels, labels)."""
    counts, drawn = readings.composition(row), readings.composition(row, weights)
    one_way = (counts > 0).sum(axis=1) == 1
    if one_way.any():  # no resample of articles shows what is left open
        whole = counts.sum()
        random = seeds.generator(0, "bootstrap", "edge", generation)
        for level in np.flatnonzero(one_way):
            alpha = counts[level] / whole * sources + 0.5
            total = drawn[:, level].sum(axis=1, keepdims=True)
            drawn[:, level] = total * random.dirichlet(alpha, size=len(drawn))
    return _shares(drawn)


def _shares(counts: np.ndarray) -> np.ndarray:
    """Divide counts by their sum over levels and labels; nothing stays nothing."""
    return counts / np.maximum(counts.sum(axis=(-2, -1), keepdims=True), 1e-300)


def _over_all(read: _Pooled) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share that cannot be read, and bounds over all articles, each of shape (labels,)."""
    unread, drawn = read.unread[:, None], read.unread_draws[:, None]
    least = (1 - unread) * read.corrected
    least_draws = (1 - drawn) * nearest_distribution(read.corrected_draws)
    low = _with_interval(least, least_draws, read.sources)[1]
    high = _with_interval(least + unread, least_draws + drawn, read.sources)[2]
    share = np.full(low.shape, unread.mean())
    return share, np.clip(low, 0, 1), np.clip(high, 0, 1)


def _likelihood(
    found: Outcomes, cube: np.ndarray, weights: np.ndarray, rows: Sequence[int]
) -> np.ndarray:
    """Shares by EM with their interval, shape (3, labels)."""
    values, draws = [], []
    prior = np.full(len(cube), 1 / len(cube))
    for row in rows:
        there = ~np.isnan(cube[0, row])
        probabilities = cube[:, row, there].T
        own = weights[:_LIKELIHOOD_RESAMPLES, there]
        values.append(saerens_shares(probabilities, prior, steps=_LIKELIHOOD_STEPS))
        kept = np.where(own.sum(axis=1, keepdims=True) > 0, own, 1.0)
        draws.append(
            saerens_shares(probabilities, prior, kept, steps=_LIKELIHOOD_STEPS, tolerance=1e-5)
        )
    read = (~np.isnan(cube[0, rows])).any(axis=0)
    sources = len(np.unique(found.sources[f"share:{found.labels[0]}"][read]))
    result = _with_interval(np.stack(values), np.mean(draws, axis=0), sources)
    whole = np.round(result[0], 6)
    for label in np.flatnonzero((whole == 0) | (whole == 1)):  # no resample shows what is open
        result[1:, label] = wilson(int(whole[label]) * sources, sources)
    return result
