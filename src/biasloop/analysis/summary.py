"""Every figure of every generation, with its 95 % interval. Knows tables; draws nothing.

Quantities
----------
``share:LABEL``
    Share of the set's readable articles whose likeliest leaning is LABEL (argmax, as in Wang et al.
    2024; of equal probabilities the label that comes first).
``probability:LABEL``
    Mean probability of LABEL.
``change:LABEL``, ``quality_change``, ``distinct_2_change``, ``self_bleu_change``
    ``share:LABEL``, or the metric's mean, less that of Generation 0 of the same chain:
    `contrasts.change`, the estimator that verdicts and tests use.
``holdout_perplexity_change``
    The same of the mean logarithm: the logarithm of the ratio of geometric means.
``distance:tv``
    Total variation between the set's shares and those of the real articles, both as the
    instrument reads them, less what chance makes of it; its interval contains 0 where no
    difference is shown (`distance`).
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

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from biasloop import quantities
from biasloop.analysis.bootstrap import percentile_interval
from biasloop.analysis.contrasts import change, estimate_of
from biasloop.analysis.estimates import Estimate, estimates
from biasloop.analysis.outcomes import Outcomes, outcomes
from biasloop.analysis.pooling import joined_interval
from biasloop.analysis.tables import SetKey, Tables, tables_of
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


def summarise(
    source: Results | Tables,
    resamples: int = 2000,
    seed: int = 0,
    found: Outcomes | None = None,
) -> pl.DataFrame:
    """Estimate every quantity of every set, and pooled over seeds.

    Intervals of levels are 95 % percentile bootstrap intervals over sources of articles, with the
    same resamples for every set (see `bootstrap`), widened for few sources and, pooled over several
    seeds, by how far those differ (see `pooling`). A share of exactly 0 or 1 has its score
    interval, since resamples of it have no width. Changes have t intervals (`contrasts.change`).

    Parameters
    ----------
    source
        A run, or its tables.
    resamples
        Resamples per interval.
    seed
        Of the resamples: the same seed gives the same intervals.
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
    rows: list[tuple[object, ...]] = []
    for estimate in estimates(tables, found, resamples, seed):
        rows += _rows(estimate, found)
    rows += _change_rows(found)
    rows += _set_rows(tables)
    return pl.DataFrame(rows, schema=SUMMARY, orient="row").sort(
        "regime", "quantity", "generation", "seed", nulls_last=False
    )


def _rows(estimate: Estimate, found: Outcomes) -> list[tuple[object, ...]]:
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
    for row, (regime, seed, generation) in enumerate(keys):
        if estimate.n[row] == 0 and keys[row] not in withheld:
            continue
        pools.setdefault((regime, generation), []).append(row)
        figures = _interval(estimate, [row], low[row], high[row], bool(at_edge[row]))
        why = withheld.get(keys[row], "")
        rows.append(
            _row(regime, seed, generation, estimate.quantity, figures, estimate.n[row], 1, why)
        )
    for (regime, generation), members in pools.items():
        edge = bool(at_edge[members].all())
        ends = low[members].mean(), high[members].mean()
        if not edge:
            over_articles = estimate.draws[:, members].mean(axis=1, keepdims=True)
            ends = tuple(float(end[0]) for end in percentile_interval(over_articles))
        figures = _interval(estimate, members, *ends, edge)
        why = _pooled_reason(withheld, keys, members)
        n, chains = estimate.n[members].sum(), len(members)
        rows.append(_row(regime, None, generation, estimate.quantity, figures, n, chains, why))
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
    return float(values.mean()), *_bounded(estimate.quantity, low, high)


def _bounded(quantity: str, low: float, high: float) -> tuple[float, float]:
    least, most = quantities.quantity(quantity).bounds
    if least is not None or most is not None:
        low, high = (float(np.clip(end, least, most)) for end in (low, high))
    return low, high


def _pooled_reason(
    withheld: Mapping[SetKey, str], keys: Sequence[SetKey], members: Sequence[int]
) -> str:
    held = [keys[row] for row in members if keys[row] in withheld]
    if len(members) == 1 or not held:
        return withheld[held[0]] if held else ""
    example = f"seed {held[0][1]}: {withheld[held[0]]}"
    return f"in {len(held)} of {len(members)} chains, as in {example}"


def _change_rows(found: Outcomes) -> list[tuple[object, ...]]:
    """Rows of changes since Generation 0, of each chain and pooled."""
    rows = []
    for quantity in found.values:
        scored = found.scored(quantity)
        there = {key for row, key in enumerate(found.keys) if scored[row].any()}
        for regime in found.regimes():
            for generation in found.generations(regime):
                if generation == 0:
                    continue
                seeds = [
                    s
                    for s in found.seeds(regime)
                    if {(regime, s, 0), (regime, s, generation)} <= there
                ]
                for seed in seeds:
                    rows.append(_change_row(found, quantity, regime, generation, seed, [seed]))
                if seeds:
                    rows.append(_change_row(found, quantity, regime, generation, None, seeds))
    return rows


def _change_row(
    found: Outcomes,
    quantity: str,
    regime: str,
    generation: int,
    seed: int | None,
    chains: Sequence[int],
) -> tuple[object, ...]:
    name = f"{quantity.removeprefix('log_')}_change"
    why = ""
    if quantity.startswith("share:"):
        name = f"change:{quantity.removeprefix('share:')}"
        held = [
            f"Generation {g}: {found.withheld[regime, s, g]}"
            for s in chains
            for g in (0, generation)
            if (regime, s, g) in found.withheld
        ]
        why = held[0] if held else ""
    figures, n = (None, None, None), 0
    moved = None if why else change(found, quantity, regime, generation, chains=chains)
    if moved:
        figures, n = estimate_of(moved, quantity)[:3], moved.articles * len(chains)
    return _row(regime, seed, generation, name, figures, n, len(chains), why)


def _row(
    regime: str,
    seed: int | None,
    generation: int,
    quantity: str,
    figures: tuple[float | None, float | None, float | None],
    n: int | None,
    chains: int,
    withheld: str,
) -> tuple[object, ...]:
    """Make a row; ``withheld`` says why its figures are not shown, empty where they are."""
    shown = (None, None, None) if withheld else tuple(_number(figure) for figure in figures)
    count = None if n is None else int(n)
    key = (regime, seed, generation, quantity)
    return (*key, *shown, count, chains, bool(withheld), withheld)


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _set_rows(tables: Tables) -> list[tuple[object, ...]]:
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
        rows.append(_row(regime, seed, generation, metric, figures, None, 1, ""))
    for (regime, generation, metric), members in pools.items():
        figures = members[0]
        if len(members) > 1:
            values = np.array([member[0] for member in members])
            ends = [(low, high) for _, low, high in members if low is not None and high is not None]
            figures = (float(values.mean()), None, None)
            if len(ends) == len(members):
                low, high = (float(end) for end in np.mean(ends, axis=0))
                figures = (figures[0], *joined_interval(values, low, high))
        rows.append(_row(regime, None, generation, metric, figures, None, len(members), ""))
    return rows
