"""Every figure of the released files beside its reference, and what the statistics add to it.

Knows figures, their intervals and tests; makes none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from biasloop.analysis import Evidence
from biasloop.published import paper
from biasloop.published.experiment import Experiment
from biasloop.published.neuron_tables import NeuronFindings
from biasloop.report import formatting as fmt
from biasloop.tables import BASE

#: Shares and their changes are in % and points. ``reference``, its ``source`` (a key of
#: `paper.SOURCES`) and ``difference`` (recomputed less reference) are null where there is none;
#: ``recomputed`` is null where something is printed that the files cannot give. ``low`` and
#: ``high`` end the 95 % interval of ``recomputed``; ``change`` is since Generation 0, paired by
#: article, with its interval, and ``holm`` its p-value after Holm's correction. ``adds`` says the
#: same in words.
RECOMPUTED = pl.Schema(
    {
        "quantity": pl.String,
        "regime": pl.String,
        "generation": pl.Int64,
        "reference": pl.Float64,
        "source": pl.String,
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
_DIGITS = {"share": 1, "quality": 3, "perplexity": 2, "classifier": 4}
#: The quantity that the paper's counts of neurons are of.
_WEIGHT = "weight_mean"


def recomputed(
    experiment: Experiment, summary: pl.DataFrame, evidence: Evidence, neurons: NeuronFindings
) -> pl.DataFrame:
    """Lay out every share, quality, perplexity and count of neurons that there is.

    Parameters
    ----------
    experiment
        The results; their labels say whether the references are of them.
    summary, evidence, neurons
        What was made of them.

    Returns
    -------
    pl.DataFrame
        `RECOMPUTED`: by quantity, then regime, then generation; the base model first.
    """
    references = {
        (figure.quantity, figure.regime, figure.generation): figure
        for figure in paper.REFERENCES
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
                rows.append(_row(figures[key], changes.get(key), references.get(key)))
    for (quantity, metric), count in neurons.counts.items():
        told = (
            f"{fmt.number(count.by_chance, 0)} expected by chance alone; "
            f"{count.benjamini_hochberg:,} after Benjamini-Hochberg, {count.bonferroni:,} after "
            f"Bonferroni, of {count.tests:,}"
        )
        rows.append(_count(quantity, metric, count.raw, told, references))
    for (quantity, first, second), met in neurons.overlaps.items():
        told = (
            f"{fmt.number(met.expected, 1)} expected if independent; hypergeometric "
            f"{fmt.pvalue(met.more)} of at least so many"
        )
        rows.append(_count(quantity, f"{first} and {second}", met.both, told, references))
    if any(row["reference"] is not None for row in rows):
        met = {(row["quantity"], row["regime"], row["generation"]) for row in rows}
        printed = [key for key, figure in references.items() if figure.source == "printed"]
        rows += [_not_there(references[key]) for key in printed if key not in met]
    return pl.DataFrame(rows, schema=RECOMPUTED, orient="row")


def _row(
    figure: dict[str, Any], change: dict[str, Any] | None, reference: paper.Reference | None
) -> dict[str, Any]:
    scale = 100.0 if figure["quantity"].startswith("share:") else 1.0

    def scaled(row: dict[str, Any] | None, name: str) -> float | None:
        return None if row is None or row[name] is None else scale * row[name]

    value = scaled(figure, "value")
    row: dict[str, Any] = {
        "quantity": figure["quantity"],
        "regime": figure["regime"],
        "generation": figure["generation"],
        **_held_against(reference, value),
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
        parts.append(fmt.between(row["low"], row["high"], decimals))
    if row["change"] is not None:
        inside = fmt.between(row["change_low"], row["change_high"], decimals, sign=True)
        told = f"{fmt.signed(row['change'], decimals)} since Generation 0 ({inside})"
        parts.append(f"{told}, {fmt.pvalue(row['holm'])} after Holm")
    return "; ".join(parts)


def _held_against(reference: paper.Reference | None, value: float | None) -> dict[str, Any]:
    known = None if reference is None else reference.value
    return {
        "reference": known,
        "source": None if reference is None else reference.source,
        "recomputed": value,
        "difference": None if known is None or value is None else value - known,
    }


def _count(
    quantity: str,
    metric: str,
    found: int,
    told: str,
    references: Mapping[tuple[str, str, int], paper.Reference],
) -> dict[str, Any]:
    shown = f"neurons:{metric}"
    reference = references.get((shown, "", -1)) if quantity == _WEIGHT else None
    row: dict[str, Any] = dict.fromkeys(RECOMPUTED)
    return row | {
        "quantity": shown if quantity == _WEIGHT else f"neurons, {quantity}:{metric}",
        "regime": "",
        "generation": -1,
        **_held_against(reference, float(found)),
        "adds": told,
    }


def _not_there(reference: paper.Reference) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(RECOMPUTED)
    return row | {
        "quantity": reference.quantity,
        "regime": reference.regime,
        "generation": reference.generation,
        **_held_against(reference, None),
        "adds": "the files here do not give it",
    }
