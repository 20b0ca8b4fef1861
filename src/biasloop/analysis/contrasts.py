"""How far each generation lies from a reference, article by article, and with what certainty.

The references: Generation 0 of the same chain, the untouched base model's articles, the real
articles; all were prompted by (or are) the same real articles. Knows tables; judges no run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from biasloop.analysis.corrections import with_errors
from biasloop.analysis.outcomes import Outcomes, order_of
from biasloop.analysis.paired import Figure, Inference, chain_figure, holm
from biasloop.analysis.tables import SetKey
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
    """Hold every generation against every reference; see `change`.

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
                    moved = change(found, quantity, regime, generation, against)
                    if moved:
                        key = (quantity, regime, generation, against)
                        counts = (moved.articles, moved.chains)
                        rows.append((*key, *estimate_of(moved, quantity), None, *counts))
    frame = pl.DataFrame(rows, schema=CONTRASTS, orient="row")
    return order_of(_corrected(frame, found))


def change(
    found: Outcomes,
    quantity: str,
    regime: str,
    generation: int,
    against: str = GENERATION_0,
    chains: Sequence[int] | None = None,
) -> Inference | None:
    """Estimate by how much a generation differs from a reference: the one estimator of a change.

    Every verdict, table and figure has its change and interval from here. The units are the
    articles within their source, paired; chains are added as in `chain_figure`.

    Parameters
    ----------
    found
        The outcomes.
    quantity, regime, generation
        What of which set.
    against
        One of `REFERENCES`.
    chains
        Which seeds; None takes all that have both sets.

    Returns
    -------
    Inference or None
        None where there is nothing to compare, or too few articles or sources.
    """
    if against == GENERATION_0 and generation == 0:
        return None
    keys = keys_of(found, quantity, regime, ((generation, ""), (generation, against)), chains)
    return inferred(found, quantity, keys, lambda means: means[..., 0] - means[..., 1])


def inferred(
    found: Outcomes,
    quantity: str,
    keys: Sequence[Sequence[SetKey]],
    figure: Figure,
    unread: Sequence[float] | None = None,
) -> Inference | None:
    """Estimate a figure of some sets' means, with what is open of the classifier's errors.

    Parameters
    ----------
    found
        The outcomes; where their shares are corrected, the error rates' own error is added.
    quantity
        Whose means.
    keys
        The sets of each chain.
    figure
        What is wanted of the means.
    unread
        What an article that cannot be read counts for, in each set; None leaves it out.

    Returns
    -------
    Inference or None
        None where there is no chain, or too few articles or sources.
    """
    if not keys:
        return None
    fill = [None] * len(keys[0]) if unread is None else unread
    values = np.array(
        [
            [found.row(quantity, key, value) for key, value in zip(chain, fill, strict=True)]
            for chain in keys
        ]
    )
    result = chain_figure(values, figure, found.sources[quantity], found.unit(quantity))
    if result is None or not found.corrects(quantity):
        return result
    drawn = [[found.drawn_mean(quantity, k, unread is not None) for k in chain] for chain in keys]
    return with_errors(result, figure, np.moveaxis(np.array(drawn), -1, 0), found.rate_sources)


def differences(
    found: Outcomes, quantity: str, regime: str, generation: int, against: str
) -> np.ndarray:
    """Subtract the reference from each chain, shape (chains, articles); NaN where either lacks."""
    pairs = sets_of(found, quantity, regime, ((generation, ""), (generation, against)))
    return pairs[:, 0] - pairs[:, 1]


def sets_of(
    found: Outcomes,
    quantity: str,
    regime: str,
    sets: Sequence[tuple[int, str]],
    chains: Sequence[int] | None = None,
) -> np.ndarray:
    """Lay out some sets of the chains that have them all, shape (chains, sets, articles).

    A set is a generation of the chain (with an empty reference), or a reference.
    """
    keys = keys_of(found, quantity, regime, sets, chains)
    if not keys:
        return np.empty((0, len(sets), found.values[quantity].shape[1]))
    return np.stack([[found.row(quantity, key) for key in chain] for chain in keys])


def keys_of(
    found: Outcomes,
    quantity: str,
    regime: str,
    sets: Sequence[tuple[int, str]],
    chains: Sequence[int] | None = None,
) -> list[list[SetKey]]:
    """List the sets of the chains that have them all; see `sets_of`."""
    result = []
    for seed in found.seeds(regime) if chains is None else chains:
        keys = [_key(regime, seed, generation, against) for generation, against in sets]
        if not any(np.isnan(found.row(quantity, key)).all() for key in keys):
            result.append(keys)
    return result


def _key(regime: str, seed: int, generation: int, against: str) -> tuple[str, int, int]:
    if against in (BASE, REAL):
        return (against, 0, -1)
    return (regime, seed, 0 if against == GENERATION_0 else generation)


def estimate_of(moved: Inference, quantity: str) -> tuple[float, float, float, float]:
    """Give value, interval and p-value; of shares kept within -1 and 1."""
    low, high = moved.interval()
    if quantity.startswith("share:"):
        low, high = max(low, -1.0), min(high, 1.0)
    return moved.value, low, high, moved.pvalue


def _corrected(frame: pl.DataFrame, found: Outcomes) -> pl.DataFrame:
    """Fill in ``holm``, family by family."""
    result = np.full(frame.height, np.nan)
    quantities = frame["quantity"].to_numpy()
    against = frame["against"].to_numpy()
    pvalues = frame["pvalue"].to_numpy()
    counted = found.independent()
    families = [counted, *([name] for name in found.values if not name.startswith("share:"))]
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
