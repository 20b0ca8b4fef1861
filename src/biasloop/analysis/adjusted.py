"""Every generation's shares beside the same corrected for the classifier's errors.

Knows tables and an instrument's confusion counts; the corrections are in `adjustment`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from biasloop import seeds
from biasloop.analysis.adjustment import (
    TELLS_APART,
    adjusted_shares,
    drawn_error_rates,
    error_rates,
    saerens_shares,
    tells_apart,
    unbounded_shares,
)
from biasloop.analysis.bootstrap import (
    article_weights,
    percentile_interval,
    seed_weights,
    weighted_means,
)
from biasloop.analysis.outcomes import Outcomes
from biasloop.analysis.tables import Tables, article_grid, leaning_probabilities
from biasloop.tables import BASE, REAL

#: Pooled over seeds. ``read`` is the share as read; ``adjusted`` corrects it by the confusion
#: counts, and its interval holds theirs and the articles' uncertainty; ``change`` is the change of
#: the corrected share since Generation 0 (null for Generation 0, real and base); ``likelihood`` is
#: the share by Saerens et al.'s EM, its interval over articles only. Shares are 0 to 1.
ADJUSTED = pl.Schema(
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


@dataclass(frozen=True)
class Confusion:
    """How a classifier erred on held-out articles.

    Attributes
    ----------
    counts
        Shape (labels, labels): rows are the truth, columns the reading.
    part
        ``sources`` where whole sources were held out, else ``articles``.
    problem
        Why it cannot be used to correct a share; empty where it can.
    """

    counts: np.ndarray
    part: str
    problem: str = ""


def instrument_confusion(
    cards: Sequence[Mapping[str, Any]], labels: Sequence[str]
) -> Confusion | None:
    """Take the leaning instrument's confusion counts from its card.

    Those with whole sources held out are taken where there are any, since what a model writes is
    of no source that the classifier knows.

    Returns
    -------
    Confusion or None
        None where there is no card with counts.
    """
    for card in cards:
        if card["metric"] != "leaning":
            continue
        for part in ("sources", "articles"):
            held_out = (card.get("held_out") or {}).get(part)
            if not held_out or not held_out.get("confusion"):
                continue
            named = [str(label) for label in held_out.get("labels", card.get("labels", labels))]
            if sorted(named) != sorted(labels):
                continue
            place = [named.index(label) for label in labels]
            counts = np.asarray(held_out["confusion"], dtype=float)[np.ix_(place, place)]
            return Confusion(counts, part, _problem(counts, labels))
    return None


def _problem(counts: np.ndarray, labels: Sequence[str]) -> str:
    empty = [label for label, row in zip(labels, counts, strict=True) if row.sum() == 0]
    if empty:
        return f"the classifier was not validated on '{empty[0]}'"
    drawn = drawn_error_rates(counts, 2000, seeds.generator(0, "confusion"))
    apart = tells_apart(drawn)
    if apart < TELLS_APART:
        return (
            f"the classifier tells the leanings apart too little (smallest singular value of its "
            f"error rates {apart:.2f} at the worst likely; at least {TELLS_APART:g} is needed)"
        )
    return ""


def adjusted(
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
        Of the bootstrap over articles, seeds and confusion counts together.
    likelihood
        Whether to find the shares by EM, too, which takes most of the time.

    Returns
    -------
    pl.DataFrame
        `ADJUSTED`, in the order of regimes and generations; empty where the confusion counts
        have a problem.
    """
    names = [f"share:{label}" for label in tables.labels]
    if confusion.problem or any(name not in found.values for name in names):
        return pl.DataFrame(schema=ADJUSTED)
    drawn = drawn_error_rates(confusion.counts, resamples, seeds.generator(seed, "confusion"))
    grid = article_grid(tables, found.keys)
    cube = leaning_probabilities(tables, grid)
    width = len(grid.article_ids)
    weights = article_weights(width, resamples, seeds.generator(seed, "bootstrap", "articles"))
    pooled = _Pooled(found, names, weights, seed)
    rates = error_rates(confusion.counts)
    prior = np.full(len(names), 1 / len(names))
    rows: list[tuple[object, ...]] = []
    order = [(REAL, -1), (BASE, -1)]
    order += [(regime, g) for regime in found.regimes() for g in found.generations(regime)]
    starts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for regime, generation in order:
        read = pooled.of(regime, generation)
        if read is None:
            continue
        value, draws, articles, chains = read
        level, levels = adjusted_shares(value, rates), adjusted_shares(draws, drawn)
        free, frees = unbounded_shares(value, rates), unbounded_shares(draws, drawn)
        if generation == 0:
            starts[regime] = (free, frees)
        change = np.full((3, len(names)), np.nan)
        if generation > 0 and regime in starts:
            moved, moves = free - starts[regime][0], frees - starts[regime][1]
            change = np.clip(np.stack([moved, *percentile_interval(moves)]), -1, 1)
        likely = np.full((3, len(names)), np.nan)
        if likelihood:
            likely = _likelihood(found, cube, weights, regime, generation, prior)
        parts = (value, *percentile_interval(draws), level, *percentile_interval(levels), *change)
        for index, label in enumerate(tables.labels):
            figures = [_number(part[index]) for part in (*parts, *likely)]
            rows.append((regime, generation, label, *figures, articles, chains))
    return pl.DataFrame(rows, schema=ADJUSTED, orient="row")


class _Pooled:
    """Shares as read, pooled over chains, and the same under every resample."""

    def __init__(
        self, found: Outcomes, names: Sequence[str], weights: np.ndarray, seed: int
    ) -> None:
        self._found, self._names, self._weights, self._seed = found, names, weights, seed

    def of(self, regime: str, generation: int) -> tuple[np.ndarray, np.ndarray, int, int] | None:
        hits = [self._found.chains(name, regime, generation) for name in self._names]
        chains = len(hits[0])
        if not chains:
            return None
        value = np.array([np.nanmean(rows, axis=1).mean() for rows in hits])
        drawn = np.stack([weighted_means(rows, self._weights) for rows in hits], axis=-1)
        found = self._found.seeds(regime)
        random = seeds.generator(self._seed, "bootstrap", "seeds", *found)
        chosen = seed_weights(chains, len(drawn), random)
        draws = np.einsum("rc,rck->rk", chosen, drawn) / chosen.sum(axis=1, keepdims=True)
        articles = int((~np.isnan(hits[0])).all(axis=0).sum())
        if np.any((value == 0) | (value == 1)):  # no resample of articles shows what is left open
            random = seeds.generator(self._seed, "bootstrap", "edge", regime, generation + 1)
            draws = random.dirichlet(value * articles + 0.5, size=len(draws))
        return value, draws, articles, chains


def _likelihood(
    found: Outcomes,
    cube: np.ndarray,
    weights: np.ndarray,
    regime: str,
    generation: int,
    prior: np.ndarray,
) -> np.ndarray:
    """Shares by EM with their interval, shape (3, labels)."""
    name = f"share:{found.labels[0]}"
    rows = [
        row
        for row, key in enumerate(found.keys)
        if (key[0], key[2]) == (regime, generation) and not np.isnan(found.values[name][row]).all()
    ]
    values, draws = [], []
    for row in rows:
        there = ~np.isnan(cube[0, row])
        probabilities = cube[:, row, there].T
        own = weights[:_LIKELIHOOD_RESAMPLES, there]
        values.append(saerens_shares(probabilities, prior, steps=_LIKELIHOOD_STEPS))
        kept = np.where(own.sum(axis=1, keepdims=True) > 0, own, 1.0)
        draws.append(
            saerens_shares(probabilities, prior, kept, steps=_LIKELIHOOD_STEPS, tolerance=1e-5)
        )
    ends = percentile_interval(np.mean(draws, axis=0))
    return np.stack([np.mean(values, axis=0), *ends])


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
