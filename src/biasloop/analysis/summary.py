"""Every figure of every generation, with its 95 % interval.

Quantities
----------
``share:LABEL``
    Share of the set's readable articles whose likeliest leaning is LABEL (argmax, as in Wang et al.
    2024; of equal probabilities the label that comes first).
``probability:LABEL``
    Mean probability of LABEL.
``change:LABEL``, ``quality_change``, ``distinct_2_change``, ``self_bleu_change``
    ``share:LABEL``, or the metric's mean, less that of Generation 0 of the same chain:
    `changes.change`, the estimator that verdicts and tests use.
``holdout_perplexity_change``
    The same of the mean logarithm: the logarithm of the ratio of geometric means.
``distance:tv``
    Total variation between the set's shares and those of the real articles, both as the
    instrument reads them, less what chance makes of it; its interval contains 0 where no
    difference is shown (`inference.debiased_distance`).
``perplexity``, ``holdout_perplexity``
    Mean over articles, as the paper has it; with ``:geometric`` the geometric mean, which a few
    odd articles do not rule.
any other metric of ``scores``
    Its mean over articles.
any metric of ``set_scores``
    The set's own figure and interval.

A row pooled over seeds (``seed`` null) is the mean over chains of the chains' own figures, so two
chains that drift apart do not cancel in a distance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from biasloop import quantities, seeds
from biasloop.analysis.bootstrap import (
    article_weights,
    joined_interval,
    percentile_interval,
    weighted_means,
    wilson,
)
from biasloop.analysis.changes import change, estimate_of
from biasloop.analysis.grids import (
    SetKey,
    Tables,
    grids,
    leaning_probabilities,
    metric_values,
    source_codes,
    tables_of,
    unit_of,
)
from biasloop.analysis.inference import debiased_distance, edge_variance, source_jackknife
from biasloop.analysis.outcomes import Outcomes, outcomes
from biasloop.loop.results import Results
from biasloop.tables import CHAIN, REAL

#: ``seed`` is null for the row pooled over seeds. ``value``, ``low`` and ``high`` are null where
#: ``withheld``; the interval is also null where one article cannot give it. ``n`` counts the
#: articles behind the figure, over all its chains (null for set-level figures), ``chains`` the
#: chains.
SUMMARY = pl.Schema(
    {
        **CHAIN,
        "quantity": pl.String,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
        "chains": pl.Int64,
        "withheld": pl.Boolean,
        "reason": pl.String,
    }
)

_Row = tuple[object, ...]


def summarise(
    source: Results | Tables,
    resamples: int = 2000,
    seed: int = 0,
    found: Outcomes | None = None,
) -> pl.DataFrame:
    """Estimate every quantity of every set, and pooled over seeds.

    Intervals of levels are 95 % percentile bootstrap intervals over sources of articles, with the
    same resamples for every set (see `bootstrap`), widened for few sources and, pooled over several
    seeds, by how far those differ (`joined_interval`). A share of exactly 0 or 1 has its score
    interval, since resamples of it have no width. Changes have t intervals (`changes.change`).

    Parameters
    ----------
    source
        A run, or its tables.
    resamples, seed
        Resamples per interval, and their seed: the same seed gives the same intervals.
    found
        The outcomes of the source, where they are at hand.

    Returns
    -------
    pl.DataFrame
        `SUMMARY`, sorted by regime, quantity, generation and seed.

    Raises
    ------
    InputError
        If the tables contradict themselves: an article twice in a set, a leaning that is not in
        the label set.
    """
    tables = tables_of(source) if isinstance(source, Results) else source
    found = found or outcomes(tables)
    rows: list[_Row] = []
    for estimate in _estimates(tables, found, resamples, seed):
        rows += _level_rows(estimate, found)
    rows += _change_rows(found)
    rows += _set_rows(tables)
    return pl.DataFrame(rows, schema=SUMMARY, orient="row").sort(
        "regime", "quantity", "generation", "seed", nulls_last=False
    )


def _row(
    key: tuple[str, int | None, int],
    quantity: str,
    figures: Sequence[float | None],
    n: int | None,
    chains: int,
    withheld: str = "",
) -> _Row:
    """Make a row; ``withheld`` says why its figures are not shown, empty where they are."""
    shown = (None, None, None) if withheld else tuple(_number(figure) for figure in figures)
    return (*key, quantity, *shown, n, chains, bool(withheld), withheld)


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


# Levels -------------------------------------------------------------------------------------------


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
    n, sources
        How many articles it rests on, and of how many sources they are, shape (sets,).
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


def _estimates(tables: Tables, found: Outcomes, resamples: int, seed: int) -> Iterator[Estimate]:
    keys = found.keys
    by_unit = grids(tables, keys)
    sources = {unit: source_codes(tables, grid.article_ids) for unit, grid in by_unit.items()}
    drawn = {
        unit: article_weights(of, resamples, seeds.generator(seed, "bootstrap", unit))
        for unit, of in sources.items()
    }
    own, codes, weights = by_unit["articles"], sources["articles"], drawn["articles"]
    if tables.leaning_scores.height:
        probabilities = leaning_probabilities(tables, own)
        for index, label in enumerate(found.labels):
            hit = found.read[label]
            share = _mean(f"share:{label}", hit, codes, weights)
            yield replace(share, edges=_share_edges(share), of_leaning=True)
            readable = np.where(np.isnan(hit), np.nan, probabilities[index])
            mean = _mean(f"probability:{label}", readable, codes, weights)
            yield replace(mean, of_leaning=True)
        yield from distance_estimate(found)
    for metric in tables.scores["metric"].unique().sort().to_list():
        unit = unit_of(metric)
        values = metric_values(tables, by_unit[unit], metric)
        mean = _mean(metric, values, sources[unit], drawn[unit])
        record = quantities.quantity(metric)
        yield replace(mean, edges=_share_edges(mean)) if record.binary else mean
        if record.geometric:
            with np.errstate(divide="ignore"):
                logs = _mean(f"{metric}:geometric", np.log(values), sources[unit], drawn[unit])
            yield replace(logs, value=np.exp(logs.value), draws=np.exp(logs.draws))


def _mean(quantity: str, values: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> Estimate:
    present = ~np.isnan(values)
    n = present.sum(axis=1)
    sums = np.nansum(values, axis=1)
    value = np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0)
    sources = np.array([len(np.unique(codes[row])) for row in present])
    return Estimate(quantity, value, weighted_means(values, weights), n, sources)


def _share_edges(share: Estimate) -> np.ndarray:
    """Score intervals of the shares that are 0 or 1, by the number of sources."""
    edges = np.full((2, len(share.value)), np.nan)
    for row in np.flatnonzero(((share.value == 0) | (share.value == 1)) & (share.n > 0)):
        n = max(int(share.sources[row]), 1)
        edges[:, row] = wilson(int(share.value[row]) * n, n)
    return edges


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
    labels = len(found.labels)
    for row in np.flatnonzero(n):
        pair = np.concatenate([hits[:, row], hits[:, real[0]]])
        taken = source_jackknife(pair[None], codes)
        if taken is None:
            n[row] = 0
            continue
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


def _level_rows(estimate: Estimate, found: Outcomes) -> list[_Row]:
    """Rows of one quantity, of each chain and pooled."""
    keys = found.keys
    low, high = percentile_interval(estimate.draws)
    edges = np.full((2, len(keys)), np.nan) if estimate.edges is None else estimate.edges
    at_edge = ~np.isnan(edges[0])
    low, high = np.where(at_edge, edges, (low, high))
    withheld = found.withheld if estimate.of_leaning else {}
    if estimate.quantity.startswith("distance:") and (REAL, 0, -1) in withheld:
        why = "the real articles' own figures are withheld"
        withheld = {key: withheld.get(key, why) for key in keys}
    rows = []
    pools: dict[tuple[str, int], list[int]] = {}
    for row, key in enumerate(keys):
        if estimate.n[row] == 0 and key not in withheld:
            continue
        pools.setdefault((key[0], key[2]), []).append(row)
        figures = _interval(estimate, [row], low[row], high[row], bool(at_edge[row]))
        n = int(estimate.n[row])
        rows.append(_row(key, estimate.quantity, figures, n, 1, withheld.get(key, "")))
    for (regime, generation), members in pools.items():
        edge = bool(at_edge[members].all())
        ends = low[members].mean(), high[members].mean()
        if not edge:
            over_articles = estimate.draws[:, members].mean(axis=1, keepdims=True)
            ends = tuple(float(end[0]) for end in percentile_interval(over_articles))
        figures = _interval(estimate, members, *ends, edge)
        why = _pooled_reason(withheld, [keys[row] for row in members])
        key, n = (regime, None, generation), int(estimate.n[members].sum())
        rows.append(_row(key, estimate.quantity, figures, n, len(members), why))
    return rows


def _interval(
    estimate: Estimate, members: Sequence[int], low: float, high: float, edge: bool
) -> tuple[float, float, float]:
    """Mean over chains with its interval, kept within what the quantity can be.

    An interval that is not of resamples is left as it is of one chain.
    """
    values = estimate.value[members]
    if not (edge and len(members) == 1):
        sources = None if edge else int(estimate.sources[members].min())
        low, high = joined_interval(values, low, high, sources)
    least, most = quantities.quantity(estimate.quantity).bounds
    if least is not None or most is not None:
        low, high = (float(np.clip(end, least, most)) for end in (low, high))
    return float(values.mean()), low, high


def _pooled_reason(withheld: Mapping[SetKey, str], members: Sequence[SetKey]) -> str:
    held = [key for key in members if key in withheld]
    if len(members) == 1 or not held:
        return withheld[held[0]] if held else ""
    example = f"seed {held[0][1]}: {withheld[held[0]]}"
    return f"in {len(held)} of {len(members)} chains, as in {example}"


# Changes and figures of whole sets ----------------------------------------------------------------


def _change_rows(found: Outcomes) -> list[_Row]:
    """Rows of changes since Generation 0, of each chain and pooled."""
    rows = []
    for quantity in found.values:
        scored = found.scored(quantity)
        there = {key for row, key in enumerate(found.keys) if scored[row].any()}
        name = f"{quantity.removeprefix('log_')}_change"
        of_share = quantity.startswith("share:")
        if of_share:
            name = f"change:{quantity.removeprefix('share:')}"
        for regime in found.regimes():
            for generation in found.generations(regime):
                ends = (0, generation)
                both = [
                    s for s in found.seeds(regime) if all((regime, s, g) in there for g in ends)
                ]
                if generation == 0 or not both:
                    continue
                for seed, chains in (*((seed, [seed]) for seed in both), (None, both)):
                    held = [
                        f"Generation {g}: {found.withheld[regime, s, g]}"
                        for s in chains
                        for g in ends
                        if of_share and (regime, s, g) in found.withheld
                    ]
                    figures, n = (None, None, None), 0
                    moved = None
                    if not held:
                        moved = change(found, quantity, regime, generation, chains=chains)
                    if moved:
                        figures = estimate_of(moved, quantity)[:3]
                        n = moved.articles * len(chains)
                    key = (regime, seed, generation)
                    rows.append(_row(key, name, figures, n, len(chains), (held or [""])[0]))
    return rows


def _set_rows(tables: Tables) -> list[_Row]:
    """Rows of figures that only a whole set has.

    Pooled over several chains: their mean; the chains share their prompts, so their errors may be
    one, and the mean of their intervals is taken for that over articles.
    """
    rows = []
    pools: dict[tuple[str, int, str], list[tuple[float, float | None, float | None]]] = {}
    order = tables.set_scores.sort(list(CHAIN))
    for regime, seed, generation, metric, value, low, high in order.iter_rows():
        if _number(value) is None:
            continue
        figures = (value, low, high)
        pools.setdefault((regime, generation, metric), []).append(figures)
        rows.append(_row((regime, seed, generation), metric, figures, None, 1))
    for (regime, generation, metric), members in pools.items():
        figures = members[0]
        if len(members) > 1:
            values = np.array([member[0] for member in members])
            ends = [(low, high) for _, low, high in members if low is not None and high is not None]
            figures = (float(values.mean()), None, None)
            if len(ends) == len(members):
                low, high = (float(end) for end in np.mean(ends, axis=0))
                figures = (figures[0], *joined_interval(values, low, high))
        rows.append(_row((regime, None, generation), metric, figures, None, len(members)))
    return rows
