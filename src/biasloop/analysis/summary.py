"""Every figure of every generation, with its 95 % interval. Knows tables; draws nothing.

Quantities
----------
``share:LABEL``
    Share of the set's articles whose likeliest leaning is LABEL (argmax, as in Wang et al. 2024;
    of equal probabilities the label that comes first).
``probability:LABEL``
    Mean probability of LABEL.
``change:LABEL``
    ``share:LABEL`` less that of Generation 0 of the same chain.
``distance:tv``, ``distance:js``
    Total variation and Jensen-Shannon distance between the set's shares and those of the real
    articles, both as the instrument reads them. A distance is never negative, so its interval does
    not reach 0 even where there is no difference.
``quality_change``, ``distinct_2_change``, ``self_bleu_change``
    The metric's mean less that of Generation 0 of the same chain.
``holdout_perplexity_change``
    The same of the mean logarithm: the logarithm of the ratio of geometric means.
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

from collections.abc import Sequence

import numpy as np
import polars as pl

from biasloop.analysis.bootstrap import percentile_interval
from biasloop.analysis.estimates import Estimate, estimates
from biasloop.analysis.pooling import joined_interval
from biasloop.analysis.tables import SetKey, Tables, set_keys, tables_of
from biasloop.loop.results import Results
from biasloop.tables import CHAIN

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

#: What a quantity can be, by the start of its name: an interval of several chains ends there.
_BOUNDS = {
    "share:": (0.0, 1.0),
    "probability:": (0.0, 1.0),
    "distance:": (0.0, 1.0),
    "change:": (-1.0, 1.0),
}


def summarise(source: Results | Tables, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """Estimate every quantity of every set, and pooled over seeds.

    Intervals are 95 % percentile bootstrap intervals over articles, with the same resamples for
    every set (see `bootstrap`); rows pooled over several seeds are widened by how far those differ
    (see `pooling`). A share of exactly 0 or 1 has its score interval, and a change from or to one
    Newcombe's (see `intervals`), since resamples of it have no width.

    Parameters
    ----------
    source
        A run, or its tables.
    resamples
        Resamples per interval.
    seed
        Of the resamples: the same seed gives the same intervals.

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
    keys = set_keys(tables)
    rows: list[tuple[object, ...]] = []
    for estimate in estimates(tables, keys, resamples, seed):
        rows += _rows(estimate, keys)
    rows += _set_rows(tables)
    return pl.DataFrame(rows, schema=SUMMARY, orient="row").sort(
        "regime", "quantity", "generation", "seed", nulls_last=False
    )


def _rows(estimate: Estimate, keys: Sequence[SetKey]) -> list[tuple[object, ...]]:
    low, high = percentile_interval(estimate.draws)
    edges = np.full((2, len(keys)), np.nan) if estimate.edges is None else estimate.edges
    at_edge = ~np.isnan(edges[0])
    low, high = np.where(at_edge, edges, (low, high))
    low[estimate.n < 2] = np.nan
    high[estimate.n < 2] = np.nan
    rows = []
    pools: dict[tuple[str, int], list[int]] = {}
    for row, (regime, seed, generation) in enumerate(keys):
        if estimate.n[row] == 0:
            continue
        pools.setdefault((regime, generation), []).append(row)
        figures = (estimate.value[row], low[row], high[row])
        held, reason = bool(estimate.withheld[row]), estimate.reasons[row]
        rows.append(
            _row(
                regime,
                seed,
                generation,
                estimate.quantity,
                figures,
                estimate.n[row],
                1,
                held,
                reason,
            )
        )
    for (regime, generation), members in pools.items():
        figures = (estimate.value[members[0]], low[members[0]], high[members[0]])
        if len(members) > 1:
            if at_edge[members].all():
                ends = (low[members].mean(), high[members].mean())
            else:
                over_articles = estimate.draws[:, members].mean(axis=1, keepdims=True)
                ends = tuple(end[0] for end in percentile_interval(over_articles))
            articles = int(estimate.n[members].min())
            figures = _pooled(estimate.quantity, estimate.value[members], ends, articles)
        held = bool(estimate.withheld[members].any())
        rows.append(
            _row(
                regime,
                None,
                generation,
                estimate.quantity,
                figures,
                estimate.n[members].sum(),
                len(members),
                held,
                _pooled_reason(estimate, keys, members),
            )
        )
    return rows


def _pooled(
    quantity: str,
    values: np.ndarray,
    over_articles: tuple[float, float],
    articles: int | None,
) -> tuple[float, float, float]:
    """Mean over chains with its interval, kept within what the quantity can be."""
    low, high = joined_interval(values, *over_articles, articles)
    for start, bounds in _BOUNDS.items():
        if quantity.startswith(start):
            low, high = (float(np.clip(end, *bounds)) for end in (low, high))
    return float(values.mean()), low, high


def _pooled_reason(estimate: Estimate, keys: Sequence[SetKey], members: Sequence[int]) -> str:
    held = [row for row in members if estimate.withheld[row]]
    if len(members) == 1 or not held:
        return estimate.reasons[held[0]] if held else ""
    example = f"seed {keys[held[0]][1]}: {estimate.reasons[held[0]]}"
    return f"in {len(held)} of {len(members)} chains, as in {example}"


def _row(
    regime: str,
    seed: int | None,
    generation: int,
    quantity: str,
    figures: tuple[float | None, float | None, float | None],
    n: int | None,
    chains: int,
    withheld: bool,
    reason: str,
) -> tuple[object, ...]:
    shown = (None, None, None) if withheld else tuple(_number(figure) for figure in figures)
    count = None if n is None else int(n)
    return (regime, seed, generation, quantity, *shown, count, chains, withheld, reason)


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
        rows.append(_row(regime, seed, generation, metric, figures, None, 1, False, ""))
    for (regime, generation, metric), members in pools.items():
        figures = members[0]
        if len(members) > 1:
            values = np.array([member[0] for member in members])
            ends = [(low, high) for _, low, high in members if low is not None and high is not None]
            figures = (float(values.mean()), None, None)
            if len(ends) == len(members):
                low, high = (float(end) for end in np.mean(ends, axis=0))
                figures = _pooled(metric, values, (low, high), None)
        rows.append(_row(regime, None, generation, metric, figures, None, len(members), False, ""))
    return rows
