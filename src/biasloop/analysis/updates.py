"""The condition for amplification, held against what then happened. Reads a run's tables.

Each model's parameter update was projected on the bias direction when it was made
(`stages.update`); here it stands beside the change of the mean leaning log-odds that followed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from biasloop.analysis.tables import tables_of
from biasloop.analysis.validity import validity
from biasloop.loop.results import Results
from biasloop.stages import log_odds
from biasloop.tables import BASE, CHAIN

#: One row per model: its update's projection with its interval, and the ``change`` of the mean
#: log-odds of the articles (same prompts) from the generation before, or the base model, with its
#: 95 % interval; null where either set's leaning is withheld. ``agree`` says whether the two have
#: the same sign; null where one is null or zero.
FORETOLD = pl.Schema(
    {
        **CHAIN,
        "direction": pl.String,
        "projection": pl.Float64,
        "projection_low": pl.Float64,
        "projection_high": pl.Float64,
        "change": pl.Float64,
        "change_low": pl.Float64,
        "change_high": pl.Float64,
        "agree": pl.Boolean,
    }
)


#: Fewer seeds than this cannot show at 5 % that signs agree, even if they do in all of them.
FEWEST_SEEDS = 5


class Agreement(NamedTuple):
    """How often projection and change had the same sign.

    Attributes
    ----------
    agreed, compared
        Of the generations after Generation 0, over all chains.
    towards, against
        Seeds in which more, or fewer, than half of them agreed.
    pvalue
        One-sided sign test over seeds; None for fewer than `FEWEST_SEEDS`.
    """

    agreed: int
    compared: int
    towards: int
    against: int
    pvalue: float | None


def sign_agreement(table: pl.DataFrame) -> Agreement:
    """Test whether projections foretell the sign of the change better than a coin.

    The generations of a chain follow one another, and the chains of a seed share their Generation
    0, so the units are the seeds: of each it counts whether more than half of its comparisons
    agreed, and an exact sign test is made of that (ties are left out). Generation 0 takes no part:
    all seeds make it of the same real articles, from the same model.

    Parameters
    ----------
    table
        `FORETOLD`.
    """
    from scipy import stats

    told = table.filter((pl.col("generation") > 0) & pl.col("agree").is_not_null())
    seeds = told.group_by("seed").agg(pl.col("agree").mean())["agree"]
    towards, against = int((seeds > 0.5).sum()), int((seeds < 0.5).sum())
    enough = towards + against >= FEWEST_SEEDS
    pvalue = (
        stats.binomtest(towards, towards + against, alternative="greater").pvalue
        if enough
        else None
    )
    return Agreement(
        int(told["agree"].sum()),
        told.height,
        towards,
        against,
        None if pvalue is None else float(pvalue),
    )


def foretold(results: Results, leaning: str) -> pl.DataFrame:
    """Put each update's projection beside the change that followed it.

    Parameters
    ----------
    results
        A run, with ``updates``.
    leaning
        The leaning that is followed.

    Returns
    -------
    polars.DataFrame
        `FORETOLD`, in the order of the run's updates.
    """
    held = {
        (regime, seed, generation): withheld
        for regime, seed, generation, withheld in validity(tables_of(results))
        .select(*CHAIN, "withheld")
        .iter_rows()
    }
    odds = {
        (str(regime), int(seed), int(generation)): rows.select("article_id", "odds")
        for (regime, seed, generation), rows in results.leaning_scores.filter(
            pl.col("leaning") == leaning
        )
        .with_columns(
            pl.col("probability")
            .map_batches(
                lambda column: pl.Series(log_odds(column.to_numpy())), return_dtype=pl.Float64
            )
            .alias("odds")
        )
        .group_by(*CHAIN)
    }
    rows = []
    for update in results.updates.filter(pl.col("leaning") == leaning).iter_rows(named=True):
        key = (update["regime"], update["seed"], update["generation"])
        before = (key[0], key[1], key[2] - 1) if key[2] else (BASE, 0, -1)
        change = (None, None, None)
        if key in odds and before in odds and not held.get(key) and not held.get(before):
            change = _paired(odds[before], odds[key])
        projection = update["projection"]
        agree = projection * change[0] > 0 if projection and change[0] else None
        rows.append(
            (*key, update["direction"], projection, update["low"], update["high"], *change, agree)
        )
    return pl.DataFrame(rows, schema=FORETOLD, orient="row")


def _paired(before: pl.DataFrame, after: pl.DataFrame) -> tuple[float, float | None, float | None]:
    """Mean difference over the articles that both have, with its t interval."""
    from scipy import stats

    both = before.join(after, on="article_id", suffix="_after")
    moved = (both["odds_after"] - both["odds"]).to_numpy()
    mean = float(moved.mean())
    if len(moved) < 2:
        return mean, None, None
    half = float(stats.t.ppf(0.975, len(moved) - 1) * moved.std(ddof=1) / np.sqrt(len(moved)))
    return mean, mean - half, mean + half
