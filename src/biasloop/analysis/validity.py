"""May a set's leaning figures be read at all? Knows articles' measures, not their leanings.

A classifier answers whatever it is asked. Articles that are too damaged for it (`metrics.domain`)
are left out of a set's shares, and bounds over all articles are given beside them. Only where so
few can be read that those bounds say nothing are a set's leaning figures withheld.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.analysis.tables import Grid, Tables, article_grid, metric_values, set_keys
from biasloop.tables import CHAIN

#: One row per set. ``outside`` is null where the articles were not held against the domain.
VALIDITY = pl.Schema({**CHAIN, "outside": pl.Float64, "withheld": pl.Boolean, "reason": pl.String})

#: What a reader calls the measures of the instrument's card.
_WORDS = {
    "words": "too few words that are not said again",
    "oov": "unknown words",
}


def validity(tables: Tables) -> pl.DataFrame:
    """Say of every set whether its leaning figures are withheld, and why.

    Returns
    -------
    pl.DataFrame
        `VALIDITY`, sorted.
    """
    keys = set_keys(tables)
    grid = article_grid(tables, keys)
    outside = metric_values(tables, grid, "outside_domain")
    beyond = {
        name: _beyond(tables, grid, name, bound)
        for name, bound in tables.domain.items()
        if name != "confidence"
    }
    rows = []
    for row, key in enumerate(keys):
        checked = ~np.isnan(outside[row])
        if not checked.any():
            rows.append((*key, None, False, ""))
            continue
        share = float(outside[row, checked].mean())
        withheld = share > tables.outside_share
        shares = {name: float(values[row, checked].mean()) for name, values in beyond.items()}
        rows.append((*key, share, withheld, _reason(share, shares) if withheld else ""))
    return pl.DataFrame(rows, schema=VALIDITY, orient="row")


def _beyond(
    tables: Tables, grid: Grid, measure: str, bound: Mapping[str, float | None]
) -> np.ndarray:
    """Which articles lie outside on one measure; one that has no such measure does."""
    values = metric_values(tables, grid, f"domain_{measure}")
    low, high = bound.get("low"), bound.get("high")
    result = np.isnan(values)
    if low is not None:
        result |= values < low
    if high is not None:
        result |= values > high
    return result


def _reason(share: float, shares: Mapping[str, float]) -> str:
    parts = [
        f"{_WORDS.get(name, name)} {100 * value:.0f} %"
        for name, value in sorted(shares.items(), key=lambda item: -item[1])
        if value >= 0.01
    ]
    why = f" ({', '.join(parts)})" if parts else ""
    return f"{100 * share:.0f} % of its articles are too damaged for the classifier to read{why}"
