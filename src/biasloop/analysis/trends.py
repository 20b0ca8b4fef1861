"""Each regime's drift per generation, of every quantity. Knows tables; judges no run."""

from __future__ import annotations

import numpy as np
import polars as pl

from biasloop.analysis.outcomes import Outcomes, order_of
from biasloop.analysis.paired import holm
from biasloop.analysis.trend import linear_trend, mann_kendall, paired_kendall

#: ``slope`` is per generation, with its 95 % interval (null where no article has a slope of its
#: own, as of shares of 0) and p-value (`linear_trend`); ``holm``
#: corrects that for the regimes (and, of shares, the leanings). The cross-checks: ``kendall_tau``
#: and ``kendall_pvalue`` of the generations' means (`mann_kendall`), ``paired_tau`` and
#: ``paired_pvalue`` of the articles' own statistics (`paired_kendall`). ``generations`` counts
#: those that could be read.
TRENDS = pl.Schema(
    {
        "quantity": pl.String,
        "regime": pl.String,
        "slope": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "pvalue": pl.Float64,
        "holm": pl.Float64,
        "kendall_tau": pl.Float64,
        "kendall_pvalue": pl.Float64,
        "paired_tau": pl.Float64,
        "paired_pvalue": pl.Float64,
        "generations": pl.Int64,
        "articles": pl.Int64,
        "chains": pl.Int64,
    }
)


def trends(found: Outcomes) -> pl.DataFrame:
    """Test every quantity of every regime for a drift.

    Returns
    -------
    pl.DataFrame
        `TRENDS`, sorted; a quantity with fewer than three generations has no row.
    """
    counted = found.independent()
    rows: list[tuple[object, ...]] = []
    for quantity in found.values:
        for regime in found.regimes():
            generations = np.array(found.generations(regime))
            cube = found.cube(quantity, regime)
            readable = ~np.isnan(cube).all(axis=(0, 2))
            if readable.sum() < 3:
                continue
            cube, generations = cube[:, readable], generations[readable]
            sources = found.sources[quantity]
            slope = linear_trend(cube, generations, sources)
            if slope is None:
                continue
            means = _means(cube)
            kendall, paired = mann_kendall(means), paired_kendall(cube, sources)
            rows.append(
                (
                    quantity,
                    regime,
                    slope.value,
                    *(slope.interval() if slope.error > 0 else (None, None)),
                    slope.pvalue,
                    None,
                    kendall.tau if kendall else None,
                    kendall.pvalue if kendall else None,
                    paired.value if paired else None,
                    paired.pvalue if paired else None,
                    int(readable.sum()),
                    slope.articles,
                    slope.chains,
                )
            )
    frame = pl.DataFrame(rows, schema=TRENDS, orient="row")
    result = np.full(frame.height, np.nan)
    names, pvalues = frame["quantity"].to_numpy(), frame["pvalue"].to_numpy()
    families = [counted] + [[name] for name in found.values if not name.startswith("share:")]
    for family in families:
        members = np.isin(names, family)
        result[members] = holm(pvalues[members])
    mirrored = [n for n in found.values if n.startswith("share:") and n not in counted]
    for quantity in mirrored:  # of two labels; its regimes stand in the same order
        result[names == quantity] = result[names == counted[0]]
    return order_of(frame.with_columns(pl.Series("holm", result, dtype=pl.Float64).fill_nan(None)))


def _means(cube: np.ndarray) -> np.ndarray:
    """Mean of each generation over articles and chains, shape (generations,)."""
    present = ~np.isnan(cube)
    return np.where(present, cube, 0.0).sum(axis=(0, 2)) / present.sum(axis=(0, 2))
