"""Every generation's shares beside the same corrected for the classifier's errors.

Knows tables and an instrument's confusion counts; the corrections are in `adjustment`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from biasloop import seeds
from biasloop.analysis.bootstrap import (
    article_weights,
    percentile_interval,
)
from biasloop.analysis.corrections import Corrected, Corrections, corrections
from biasloop.analysis.intervals import wilson
from biasloop.analysis.outcomes import Outcomes
from biasloop.analysis.pooling import joined_interval
from biasloop.analysis.tables import (
    Tables,
    article_grid,
    leaning_probabilities,
    source_codes,
)
from biasloop.metrics.adjustment import (
    drawn_error_rates,
    error_rates,
    nearest_distribution,
    saerens_shares,
)
from biasloop.metrics.evaluation import TELLS_APART, tells_apart
from biasloop.tables import BASE, REAL

#: Pooled over seeds. ``read`` is the share as read; ``adjusted`` corrects it by the errors on
#: held-out articles, as damaged as each article where that was measured, and its interval holds
#: theirs and the articles' uncertainty; both are of the articles that can be read. ``unread`` is
#: the share that cannot, and ``least`` and ``most`` bound the share over all articles, whatever the
#: unread ones lean to, with the interval's uncertainty. ``change`` is the change of the corrected
#: share since Generation 0 (null for Generation 0, real and base), of the chains that have both;
#: ``likelihood`` is the share by Saerens et al.'s EM, without the errors' uncertainty. All
#: intervals are widened by how far chains differ (`pooling`). Shares are 0 to 1.
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
    design_effects
        Of each true label, how many times larger its rates' variance is than that of independent
        articles; None takes 1.
    """

    counts: np.ndarray
    part: str
    problem: str = ""
    design_effects: Sequence[float] | None = None

    def drawn_rates(self, draws: int, random: np.random.Generator) -> np.ndarray:
        """Draw the error rates that the counts leave possible: see `drawn_error_rates`."""
        return drawn_error_rates(self.counts, draws, random, self.design_effects)


def instrument_confusion(
    cards: Sequence[Mapping[str, Any]], labels: Sequence[str]
) -> Confusion | None:
    """Take the leaning instrument's confusion counts from its card.

    Those with whole sources held out are taken where there are any, since what a model writes is
    of no source that the classifier knows, unless the card says otherwise (`metrics.Card.errors`).

    Returns
    -------
    Confusion or None
        None where there is no card with counts.
    """
    for card in cards:
        if card["metric"] != "leaning":
            continue
        parts = ("articles",) if card.get("errors") == "articles" else ("sources", "articles")
        for part in parts:
            held_out = (card.get("held_out") or {}).get(part)
            if not held_out or not held_out.get("confusion"):
                continue
            named = [str(label) for label in held_out.get("labels", card.get("labels", labels))]
            if sorted(named) != sorted(labels):
                continue
            place = [named.index(label) for label in labels]
            counts = np.asarray(held_out["confusion"], dtype=float)[np.ix_(place, place)]
            effects = held_out.get("design_effects")
            effects = [float(effects[i]) for i in place] if effects else None
            problem = _problem(counts, labels, effects)
            if not problem and card.get("damage") and not card["damage"]["levels"][0]["readable"]:
                problem = "the classifier tells the leanings of undamaged articles apart too little"
            return Confusion(counts, part, problem, effects)
    return None


def _problem(
    counts: np.ndarray, labels: Sequence[str], design_effects: Sequence[float] | None
) -> str:
    empty = [label for label, row in zip(labels, counts, strict=True) if row.sum() == 0]
    if empty:
        return f"the classifier was not validated on '{empty[0]}'"
    drawn = drawn_error_rates(counts, 2000, seeds.generator(0, "confusion"), design_effects)
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
        Of the bootstrap over articles and confusion counts together.
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
    grid = article_grid(tables, found.keys)
    cube = np.where(
        np.isnan(found.read[found.labels[0]]), np.nan, leaning_probabilities(tables, grid)
    )
    codes = source_codes(tables, grid.article_ids)
    weights = article_weights(codes, resamples, seeds.generator(seed, "bootstrap", "articles"))
    pooled = _Pooled(found, names, weights, readings_of(tables, found, confusion, resamples, seed))
    prior = np.full(len(names), 1 / len(names))
    rows: list[tuple[object, ...]] = []
    order = [(REAL, -1), (BASE, -1)]
    order += [(regime, g) for regime in found.regimes() for g in found.generations(regime)]
    for regime, generation in order:
        read = pooled.of(regime, generation, found.seeds(regime))
        if read is None:
            continue
        as_read = _with_interval(read.chains, read.draws, read.sources)
        corrected = _with_interval(
            read.corrected,
            nearest_distribution(read.corrected_draws),
            read.sources,
            nearest_distribution(read.corrected.mean(axis=0)),
        )
        change = np.full((3, len(names)), np.nan)
        if generation > 0:
            change = _corrected_change(pooled, regime, generation, change)
        likely = np.full((3, len(names)), np.nan)
        if likelihood:
            likely = _likelihood(found, cube, weights, regime, generation, prior)
        parts = (
            *np.clip(as_read, 0, 1),
            *np.clip(corrected, 0, 1),
            *_over_all(read),
            *np.clip(change, -1, 1),
            *np.clip(likely, 0, 1),
        )
        for index, label in enumerate(tables.labels):
            figures = [_number(part[index]) for part in parts]
            rows.append((regime, generation, label, *figures, read.articles, len(read.chains)))
    return pl.DataFrame(rows, schema=ADJUSTED, orient="row")


def overall_corrections(
    confusion: Confusion, draws: int, random: np.random.Generator
) -> Corrections:
    """Invert the confusion counts' error rates, one level for all articles."""
    rates = confusion.drawn_rates(draws, random)
    point = np.linalg.inv(error_rates(confusion.counts))
    return Corrections(point[None], np.linalg.inv(rates)[:, None], None)


def readings_of(
    tables: Tables, found: Outcomes, confusion: Confusion, resamples: int, seed: int
) -> Corrected:
    """Say what readings count for: by level of damage, or else all by the confusion counts."""
    random = seeds.generator(seed, "confusion")
    if found.corrected is not None and tables.curve is not None:
        drawn = corrections(tables.curve, tables.labels, resamples, random)
        return replace(found.corrected, corrections=drawn)
    hits = np.stack([found.read[label] for label in found.labels])
    reading = np.where(np.isnan(hits[0]), -1, np.argmax(np.nan_to_num(hits), axis=0))
    overall = overall_corrections(confusion, resamples, random)
    return Corrected(np.where(reading < 0, -1, 0), reading, overall)


def _over_all(read: _Read) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share that cannot be read, and bounds over all articles, each of shape (labels,)."""
    unread, drawn = read.unread[:, None], read.unread_draws[:, None]
    least = (1 - unread) * read.corrected
    least_draws = (1 - drawn) * nearest_distribution(read.corrected_draws)
    low = _with_interval(least, least_draws, read.sources)[1]
    high = _with_interval(least + unread, least_draws + drawn, read.sources)[2]
    share = np.full(low.shape, unread.mean())
    return share, np.clip(low, 0, 1), np.clip(high, 0, 1)


def _corrected_change(
    pooled: _Pooled, regime: str, generation: int, absent: np.ndarray
) -> np.ndarray:
    """Change since Generation 0 of the chains that have both, shape (3, labels)."""
    seeds_there = pooled.seeds(regime, 0) & pooled.seeds(regime, generation)
    before, after = (pooled.of(regime, g, sorted(seeds_there)) for g in (0, generation))
    if before is None or after is None:
        return absent
    chains = after.corrected - before.corrected
    draws = after.corrected_draws - before.corrected_draws
    return _with_interval(chains, draws, min(before.sources, after.sources))


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
class _Read:
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


class _Pooled:
    """Shares of a generation's chains, and of their mean under every resample."""

    def __init__(
        self, found: Outcomes, names: Sequence[str], weights: np.ndarray, readings: Corrected
    ) -> None:
        self._found, self._names, self._weights = found, names, weights
        self._readings = readings
        self._rows = {key: row for row, key in enumerate(found.keys)}

    def seeds(self, regime: str, generation: int) -> set[int]:
        """Find the chains whose generation can be read."""
        found = self._found
        return {
            s
            for s in found.seeds(regime)
            if not np.isnan(found.row(self._names[0], (regime, s, generation))).all()
        }

    def of(self, regime: str, generation: int, chains: Sequence[int]) -> _Read | None:
        """Pool some chains; None where none of them can be read."""
        there = self.seeds(regime, generation)
        rows = [self._rows[regime, s, generation] for s in chains if s in there]
        if not rows:
            return None
        found = self._found
        can = ~np.isnan(found.values[self._names[0]][rows])
        sources = len(np.unique(found.sources[self._names[0]][can.any(axis=0)]))
        composition = np.stack([_shares(self._readings.composition(row)) for row in rows])
        drawn = np.stack(
            [self._drawn(row, sources, f"{regime} {generation}") for row in rows]
        ).mean(axis=0)
        rates = self._readings.corrections
        point = np.nan_to_num(rates.point)
        cannot = found.unread[rows] if found.unread is not None else np.zeros_like(can)
        unread = np.stack([cannot.sum(axis=1), (can | cannot).sum(axis=1)])
        any_of = np.flatnonzero((can | cannot).any(axis=0))
        weights = self._weights[:, any_of]
        over = [weights @ part[:, any_of].T.astype(float) for part in (cannot, can | cannot)]
        return _Read(
            composition.sum(axis=1),
            drawn.sum(axis=1),
            np.einsum("ckr,krj->cj", composition, point),
            np.einsum("dkr,dkrj->dj", drawn, np.nan_to_num(rates.drawn)),
            unread[0] / unread[1],
            (over[0] / np.maximum(over[1], 1)).mean(axis=1),
            int(can.any(axis=0).sum()),
            sources if rates.sources is None else min(sources, rates.sources),
        )

    def _drawn(self, row: int, sources: int, generation: str) -> np.ndarray:
        """Share of readable articles on each level and read so, (resamples, levels, labels)."""
        counts = self._readings.composition(row)
        one_way = (counts > 0).sum(axis=1) == 1
        drawn = self._readings.composition(row, self._weights)
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
    read = (~np.isnan(cube[0, rows])).any(axis=0)
    sources = len(np.unique(found.sources[name][read]))
    result = _with_interval(np.stack(values), np.mean(draws, axis=0), sources)
    whole = np.round(result[0], 6)
    edge = (whole == 0) | (whole == 1)  # no resample of articles shows what is left open
    result[1:, edge] = wilson(whole[edge] * sources, sources)
    return result


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
