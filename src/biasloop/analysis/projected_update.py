"""Each model's update, projected on the bias direction, beside the change that followed it.

The projection, made when the model was trained (`stages.update`), is the condition for
amplification; the change is that of the mean leaning log-odds of the articles.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from biasloop.analysis.grids import tables_of, validity
from biasloop.analysis.inference import paired_mean
from biasloop.loop.results import Results
from biasloop.stages.update import log_odds
from biasloop.tables import BASE, CHAIN

#: One row per model: its update's projection with its interval, and the ``change`` of the mean
#: log-odds of the articles (same prompts) from the generation before, or the base model, with its
#: 95 % interval; null where either set's leaning is withheld. ``agree`` says whether the two have
#: the same sign; null where one is null or zero.
PROJECTED_UPDATES = pl.Schema(
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


class SignAgreement(NamedTuple):
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


def sign_agreement(table: pl.DataFrame) -> SignAgreement:
    """Test whether projections predict the sign of the change better than a coin.

    The generations of a chain follow one another, and the chains of a seed share their Generation
    0, so the units are the seeds: of each it counts whether more than half of its comparisons
    agreed, and an exact sign test is made of that (ties are left out). Generation 0 takes no part:
    all seeds make it of the same real articles, from the same model.

    Parameters
    ----------
    table
        `PROJECTED_UPDATES`.
    """
    from scipy import stats

    told = table.filter((pl.col("generation") > 0) & pl.col("agree").is_not_null())
    seeds = told.group_by("seed").agg(pl.col("agree").mean())["agree"]
    towards, against = int((seeds > 0.5).sum()), int((seeds < 0.5).sum())
    pvalue = None
    if towards + against >= FEWEST_SEEDS:
        test = stats.binomtest(towards, towards + against, alternative="greater")
        pvalue = float(test.pvalue)
    return SignAgreement(int(told["agree"].sum()), told.height, towards, against, pvalue)


def projected_updates(results: Results, leaning: str) -> pl.DataFrame:
    """Put each update's projection beside the change of a leaning that followed it.

    Returns
    -------
    polars.DataFrame
        `PROJECTED_UPDATES`, in the order of the run's updates.
    """
    own = pl.col("leaning") == leaning
    held = set(validity(tables_of(results)).filter("withheld").select(list(CHAIN)).iter_rows())
    odds = {
        key: dict(zip(rows["article_id"], log_odds(rows["probability"].to_numpy()), strict=True))
        for key, rows in results.leaning_scores.filter(own).group_by(*CHAIN)
    }
    rows = []
    for update in results.updates.filter(own).iter_rows(named=True):
        key = (update["regime"], update["seed"], update["generation"])
        before = (key[0], key[1], key[2] - 1) if key[2] else (BASE, 0, -1)
        change = (None, None, None)
        if key in odds and before in odds and not {key, before} & held:
            first, second = odds[before], odds[key]
            both = first.keys() & second.keys()
            change = _change(np.array([second[a] - first[a] for a in sorted(both)]))
        projection = update["projection"]
        agree = projection * change[0] > 0 if projection and change[0] else None
        rows.append(
            (*key, update["direction"], projection, update["low"], update["high"], *change, agree)
        )
    return pl.DataFrame(rows, schema=PROJECTED_UPDATES, orient="row")


def _change(moved: np.ndarray) -> tuple[float, float | None, float | None]:
    """Mean difference over articles, with its t interval where there are two."""
    inference = paired_mean(moved)
    return (float(moved.mean()), *(inference.interval() if inference else (None, None)))
