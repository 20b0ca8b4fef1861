"""The published figures beside the recomputed ones, and what the statistics add to each.

Knows figures, their intervals and tests; makes none of them.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from biasloop.analysis import Evidence
from biasloop.published import paper
from biasloop.published.experiment import Experiment
from biasloop.published.neuron_tables import NeuronFindings
from biasloop.report import words
from biasloop.report.evidence import pvalue
from biasloop.tables import BASE

#: Shares and their changes are in % and points. ``published`` and ``difference`` (recomputed less
#: published) are null where the paper has no such figure. ``low`` and ``high`` end the 95 %
#: interval of ``recomputed``; ``change`` is since Generation 0, paired by article, with its
#: interval, and ``holm`` its p-value after Holm's correction. ``adds`` says the same in words.
AGREEMENT = pl.Schema(
    {
        "quantity": pl.String,
        "regime": pl.String,
        "generation": pl.Int64,
        "published": pl.Float64,
        "recomputed": pl.Float64,
        "difference": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "change": pl.Float64,
        "change_low": pl.Float64,
        "change_high": pl.Float64,
        "holm": pl.Float64,
        "adds": pl.String,
    }
)

_TEXT = ("quality", "perplexity")
#: Decimals of a quantity; of others 2.
_DIGITS = {"share": 1, "quality": 3, "perplexity": 2}
#: The quantity that the paper's counts of neurons are of.
_WEIGHT = "weight_mean"


def agreement(
    experiment: Experiment, summary: pl.DataFrame, evidence: Evidence, neurons: NeuronFindings
) -> pl.DataFrame:
    """Lay out every share, quality, perplexity and count of neurons that there is.

    Parameters
    ----------
    experiment
        The results; their labels say whether the paper's figures are to be met.
    summary, evidence, neurons
        What was made of them.

    Returns
    -------
    pl.DataFrame
        `AGREEMENT`: by quantity, then regime, then generation; the base model first.
    """
    published = {
        (figure.quantity, figure.regime, figure.generation): figure.value
        for figure in paper.PUBLISHED
        if experiment.is_papers
    }
    figures = {
        (row["quantity"], row["regime"], row["generation"]): row
        for row in summary.filter(pl.col("seed").is_null()).iter_rows(named=True)
    }
    changes = {
        (row["quantity"], row["regime"], row["generation"]): row
        for row in evidence.contrasts.filter(pl.col("against") == "generation 0").iter_rows(
            named=True
        )
    }
    rows = []
    for quantity in (*(f"share:{label}" for label in experiment.tables.labels), *_TEXT):
        for regime in (BASE, *experiment.regimes):
            for key in sorted(key for key in figures if key[:2] == (quantity, regime)):
                rows.append(_row(figures[key], changes.get(key), published.get(key)))
    for (quantity, metric), count in neurons.counts.items():
        told = (
            f"{words.number(count.by_chance, 0)} expected by chance alone; "
            f"{count.benjamini_hochberg:,} after Benjamini-Hochberg, {count.bonferroni:,} after "
            f"Bonferroni, of {count.tests:,}"
        )
        rows.append(_count(quantity, metric, count.raw, told, published))
    for (quantity, first, second), met in neurons.overlaps.items():
        told = (
            f"{words.number(met.expected, 1)} expected if independent; hypergeometric "
            f"{pvalue(met.more)} of at least so many"
        )
        rows.append(_count(quantity, f"{first} and {second}", met.both, told, published))
    return pl.DataFrame(rows, schema=AGREEMENT, orient="row")


def _row(
    figure: dict[str, Any], change: dict[str, Any] | None, published: float | None
) -> dict[str, Any]:
    scale = 100.0 if figure["quantity"].startswith("share:") else 1.0

    def scaled(row: dict[str, Any] | None, name: str) -> float | None:
        return None if row is None or row[name] is None else scale * row[name]

    value = scaled(figure, "value")
    row: dict[str, Any] = {
        "quantity": figure["quantity"],
        "regime": figure["regime"],
        "generation": figure["generation"],
        "published": published,
        "recomputed": value,
        "difference": None if published is None or value is None else value - published,
        "low": scaled(figure, "low"),
        "high": scaled(figure, "high"),
        "change": scaled(change, "value"),
        "change_low": scaled(change, "low"),
        "change_high": scaled(change, "high"),
        "holm": change["holm"] if change else None,
    }
    return {**row, "adds": _adds(row)}


def digits(quantity: str) -> int:
    """Say how many decimals a quantity's figures are written with."""
    return _DIGITS.get(quantity.partition(":")[0], 0)


def _adds(row: dict[str, Any]) -> str:
    decimals = digits(row["quantity"])
    parts = []
    if row["low"] is not None:
        parts.append(words.between(row["low"], row["high"], decimals))
    if row["change"] is not None:
        inside = words.between(row["change_low"], row["change_high"], decimals, sign=True)
        told = f"{words.signed(row['change'], decimals)} since Generation 0 ({inside})"
        parts.append(f"{told}, {pvalue(row['holm'])} after Holm")
    return "; ".join(parts)


def _count(
    quantity: str,
    metric: str,
    found: int,
    told: str,
    published: dict[tuple[str, str, int], float],
) -> dict[str, Any]:
    shown = f"neurons:{metric}"
    value = published.get((shown, "", -1)) if quantity == _WEIGHT else None
    row: dict[str, Any] = dict.fromkeys(AGREEMENT)
    return row | {
        "quantity": shown if quantity == _WEIGHT else f"neurons, {quantity}:{metric}",
        "regime": "",
        "generation": -1,
        "published": value,
        "recomputed": float(found),
        "difference": None if value is None else found - value,
        "adds": told,
    }
