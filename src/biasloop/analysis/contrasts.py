"""How far each generation lies from a reference, article by article, and with what certainty.

The references: Generation 0 of the same chain, the untouched base model's articles, the real
articles; all were prompted by (or are) the same real articles. Knows tables; judges no run.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from biasloop.analysis.intervals import NORMAL_95, paired_shares
from biasloop.analysis.outcomes import HELD_OUT, TEXT, Outcomes, order_of
from biasloop.analysis.paired import holm, paired_mean
from biasloop.tables import BASE, REAL

GENERATION_0 = "generation 0"
#: What a generation is held against.
REFERENCES = (GENERATION_0, BASE, REAL)

#: ``value`` is the mean of the generation less the reference. ``holm`` corrects ``pvalue`` for
#: all tests of the run against the same reference: of the shares of all leanings, regimes and
#: generations together; of another quantity, its own regimes and generations. Of two leanings,
#: whose changes mirror each other, one counts. Sets whose leaning figures are withheld have no
#: row.
CONTRASTS = pl.Schema(
    {
        "quantity": pl.String,
        "regime": pl.String,
        "generation": pl.Int64,
        "against": pl.String,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "pvalue": pl.Float64,
        "holm": pl.Float64,
        "articles": pl.Int64,
        "chains": pl.Int64,
    }
)


def contrasts(found: Outcomes) -> pl.DataFrame:
    """Hold every generation against every reference.

    Intervals are 95 % t intervals of the mean paired difference (`paired_mean`); where a share
    leaves that without a width, it is Newcombe's for paired shares (see `at_edge`).

    Returns
    -------
    pl.DataFrame
        `CONTRASTS`, sorted.
    """
    rows: list[tuple[object, ...]] = []
    for quantity in found.values:
        for regime in found.regimes():
            for generation in found.generations(regime):
                for against in REFERENCES:
                    if against == GENERATION_0 and generation == 0:
                        continue
                    row = _contrast(found, quantity, regime, generation, against)
                    if row:
                        rows.append((quantity, regime, generation, against, *row))
    frame = pl.DataFrame(
        [(*row[:8], None, *row[8:]) for row in rows], schema=CONTRASTS, orient="row"
    )
    return order_of(_corrected(frame, found))


def differences(
    found: Outcomes, quantity: str, regime: str, generation: int, against: str
) -> np.ndarray:
    """Subtract the reference from each chain, shape (chains, articles); NaN where either lacks."""
    after, before = pair(found, quantity, regime, generation, against)
    return after - before


def at_edge(after: np.ndarray, before: np.ndarray, error: float) -> bool:
    """Say whether t has no interval of a change of shares that can be believed.

    Parameters
    ----------
    after, before
        0, 1 or NaN, shape (chains, articles).
    error
        The standard error of their mean difference.

    Returns
    -------
    bool
        True where that is 0 or, of one chain, a share on either side is 0 or 1.
    """
    later, earlier = _complete(after, before)
    whole = any(values.mean() in (0.0, 1.0) for values in (later, earlier))
    return error == 0 or (len(later) == 1 and whole)


def newcombe(
    after: np.ndarray, before: np.ndarray, quantile: float = NORMAL_95
) -> tuple[float, float]:
    """Give Newcombe's interval of a change of shares; of several chains the mean of theirs.

    Chains that change alike share their articles, so several say no more than one.
    """
    later, earlier = _complete(after, before)
    ends = [paired_shares(*rows, quantile)[1:] for rows in zip(earlier, later, strict=True)]
    low, high = np.mean(ends, axis=0)
    return float(low), float(high)


def _complete(after: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the articles that every chain has on both sides."""
    there = ~np.isnan(after - before).any(axis=0)
    return after[:, there], before[:, there]


def pair(
    found: Outcomes, quantity: str, regime: str, generation: int, against: str
) -> tuple[np.ndarray, np.ndarray]:
    """Give a generation and its reference, chain by chain, each of shape (chains, articles)."""
    later, earlier = [], []
    for seed in found.seeds(regime):
        after = found.row(quantity, (regime, seed, generation))
        key = (regime, seed, 0) if against == GENERATION_0 else (against, 0, -1)
        before = found.row(quantity, key)
        if not np.isnan(after - before).all():
            later.append(after)
            earlier.append(before)
    width = found.values[quantity].shape[1]
    if not later:
        return np.empty((0, width)), np.empty((0, width))
    return np.stack(later), np.stack(earlier)


def _contrast(
    found: Outcomes, quantity: str, regime: str, generation: int, against: str
) -> tuple[object, ...] | None:
    after, before = pair(found, quantity, regime, generation, against)
    inference = paired_mean(after - before)
    if inference is None:
        return None
    low, high = inference.interval()
    if quantity.startswith("share:"):
        if at_edge(after, before, inference.error):
            low, high = newcombe(after, before)
        low, high = max(low, -1.0), min(high, 1.0)
    return (
        inference.value,
        low,
        high,
        inference.pvalue,
        inference.articles,
        inference.chains,
    )


def _corrected(frame: pl.DataFrame, found: Outcomes) -> pl.DataFrame:
    """Fill in ``holm``, family by family."""
    result = np.full(frame.height, np.nan)
    quantities = frame["quantity"].to_numpy()
    against = frame["against"].to_numpy()
    pvalues = frame["pvalue"].to_numpy()
    counted = found.independent()
    families = [counted, *([name] for name in (*TEXT, HELD_OUT))]
    for reference in REFERENCES:
        for family in families:
            members = np.isin(quantities, family) & (against == reference)
            result[members] = holm(pvalues[members])
    for quantity in found.values:  # of two labels, the one that mirrors the counted one
        if quantity.startswith("share:") and quantity not in counted:
            result = _mirrored(frame, quantity, counted[0], result)
    return frame.with_columns(pl.Series("holm", result, dtype=pl.Float64).fill_nan(None))


def _mirrored(frame: pl.DataFrame, quantity: str, source: str, values: np.ndarray) -> np.ndarray:
    keys = frame.select("regime", "generation", "against").rows()
    names = frame["quantity"].to_list()
    known = {key: values[i] for i, key in enumerate(keys) if names[i] == source}
    return np.array(
        [
            known.get(key, np.nan) if name == quantity else value
            for key, name, value in zip(keys, names, values, strict=True)
        ]
    )
