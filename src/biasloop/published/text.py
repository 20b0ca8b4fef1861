"""What a reproduction shows, in lines for a terminal. Knows words, computes nothing."""

from __future__ import annotations

import polars as pl

from biasloop.published import paper
from biasloop.published.recomputed import digits
from biasloop.published.reproduction import Reproduction
from biasloop.report import formatting as fmt
from biasloop.report.verdicts import bias_sentence, collapse_sentence, tests_sentence
from biasloop.tables import BASE

_HEAD = ("", "reference", "source", "recomputed", "difference", "what the statistics add")
#: How a source is told in a table.
_FROM = {"printed": "printed", "release": "from the release", None: "–"}


def shown_rows(reproduction: Reproduction) -> pl.DataFrame:
    """Choose the rows to print.

    They are those with a reference; of the others, the followed leaning's share at every
    generation, quality and perplexity at the first and last, and all neurons.
    """
    table = reproduction.recomputed
    lowest = pl.col("generation").min().over("quantity", "regime")
    highest = pl.col("generation").max().over("quantity", "regime")
    ends = (pl.col("generation") == lowest) | (pl.col("generation") == highest)
    chosen = (
        pl.col("reference").is_not_null()
        | (pl.col("quantity") == f"share:{reproduction.leaning}")
        | pl.col("quantity").str.starts_with("neurons")
        | (pl.col("quantity").is_in(["quality", "perplexity"]) & ends)
    )
    return table.filter(chosen)


def cells(reproduction: Reproduction) -> list[tuple[str, ...]]:
    """Write the shown rows, a cell for each of the head's columns."""
    return [
        (
            _what(row["quantity"], row["regime"], row["generation"]),
            fmt.number(row["reference"], digits(row["quantity"])),
            _FROM[row["source"]],
            fmt.number(row["recomputed"], max(digits(row["quantity"]), _more(row))),
            "–" if row["difference"] is None else fmt.signed(row["difference"], _more(row)),
            row["adds"],
        )
        for row in shown_rows(reproduction).iter_rows(named=True)
    ]


def _more(row: dict[str, object]) -> int:
    """One decimal more than was published, to show what the difference is."""
    decimals = digits(str(row["quantity"]))
    return decimals + 1 if decimals else 0


def _what(quantity: str, regime: str, generation: int) -> str:
    name, _, label = quantity.partition(":")
    if name.startswith("neurons"):
        return f"{name} with p < 0.05 for {fmt.name(label)}"
    if name == "classifier":
        return f"{name}, {label}"
    what = f"share “{fmt.name(label)}”, %" if name == "share" else name
    where = "base model" if regime == BASE else f"{fmt.name(regime)} {generation}"
    return f"{what}: {where}"


def heading(reproduction: Reproduction) -> list[str]:
    """Say how far printed figures are met, and apart from it how far those from the release are."""
    table = reproduction.recomputed.filter(pl.col("reference").is_not_null())
    if not table.height:
        return ["No reference figure is of these regimes and labels: nothing to compare with."]
    result = []
    printed = table.filter(source="printed")
    met = printed.drop_nulls("recomputed")
    if met.height:
        result.append(
            f"Agreement: {fmt.counted(met.height, 'figure')} that the paper or its README prints "
            f"({printed.height - met.height} more cannot be had from these files); {_worst(met)}."
        )
    again = table.filter(source="release")
    if again.height:
        result.append(
            f"Recomputation: {fmt.counted(again.height, 'figure')} that were computed from the "
            f"same released files; {_worst(again)}. That checks this program, not the paper."
        )
    return result


def _worst(rows: pl.DataFrame) -> str:
    """Say how large the differences are, by the unit of the figures."""
    share = pl.col("quantity").str.starts_with("share:")
    count = pl.col("quantity").str.starts_with("neurons:")
    parts = []
    for kind, what, decimals in (
        (share, " points of a share", 3),
        (count, " neurons", 0),
        (~share & ~count, " of quality or perplexity", 4),
    ):
        part = rows.filter(kind)
        if part.height:
            worst = part.select(pl.col("difference").abs().max()).item()
            parts.append(f"{fmt.number(worst, decimals)}{what}")
    return f"largest difference {', '.join(parts)}"


def sources(reproduction: Reproduction) -> list[str]:
    """Say where the references stand that are shown."""
    there = reproduction.recomputed["source"].drop_nulls().unique()
    return [f"{_FROM[key]}: {told}" for key, told in paper.SOURCES.items() if key in there]


def limits(reproduction: Reproduction) -> list[str]:
    """Say how rows were matched and what the released files cannot show."""
    experiment = reproduction.experiment
    found = list(experiment.notes)
    if experiment.regimes:
        found.append(
            "One chain per regime: the intervals are over articles, and say nothing of how far "
            "training again would lead elsewhere."
        )
    if experiment.tables.labels:
        found.append(
            "Neither the articles nor the classifier's confusion counts are among the files: "
            "shares are as read, not corrected for its errors, and not withheld where the text "
            "is too damaged to read."
        )
    if reproduction.neurons.counts:
        found.append(
            "The corrections take the neuron tables' p-values at their word; docs/neurons.md says "
            "how often such regressions find neurons that have nothing to do with the metric."
        )
    if experiment.ignored:
        found.append(f"Not of these formats, so not read: {', '.join(experiment.ignored)}.")
    return [fmt.visible(line) for line in found]


def lines(reproduction: Reproduction) -> list[str]:
    """Write everything for a terminal."""
    experiment = reproduction.experiment
    result = [
        f"{fmt.visible(str(experiment.folder))}: {fmt.counted(len(experiment.files), 'file')}, "
        f"regimes {', '.join(fmt.name(r) for r in experiment.regimes) or 'none'}"
    ]
    if experiment.absent:
        result.append("Absent:")
        result += [f"  {fmt.visible(name)}" for name in experiment.absent]
    result += ["", *heading(reproduction), *sources(reproduction)]
    rows = [_HEAD, *cells(reproduction)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    result.append("")
    for row in rows:
        left = row[0].ljust(widths[0])
        middle = [cell.rjust(width) for cell, width in zip(row[1:5], widths[1:], strict=True)]
        result.append("  ".join([left, *middle, row[5]]).rstrip())
    result += [""] if reproduction.verdicts else []
    for verdict in reproduction.verdicts:
        answers = [f"collapse: {verdict.collapsed}"]
        if verdict.leaning:
            answers.insert(0, f"amplification: {verdict.amplified}")
        result.append(f"{fmt.name(verdict.regime)}: {'; '.join(answers)}.")
        told = (
            bias_sentence(verdict),
            collapse_sentence(verdict),
            tests_sentence(verdict, reproduction.evidence),
        )
        result += [f"  {text}" for text in told if text]
    result += _compared(reproduction)
    told = limits(reproduction)
    result += ["", "Before you believe these figures:"] if told else []
    result += [f"  {line}" for line in told]
    return result


def _compared(reproduction: Reproduction) -> list[str]:
    """Say how each regime's change differs from that of the first."""
    rows = reproduction.evidence.comparisons
    if not rows.height:
        return []
    result = [f"Change since Generation 0, less that of {fmt.name(rows['against'][0])}:"]
    for row in rows.iter_rows(named=True):
        scale, unit = (100, " points") if row["quantity"].startswith("share:") else (1, "")
        decimals = digits(row["quantity"])
        inside = ""
        if row["low"] is not None:
            ends = scale * row["low"], scale * row["high"]
            inside = f"{fmt.between(*ends, decimals, sign=True)}; "
        name, _, label = row["quantity"].partition(":")
        what = f"share “{fmt.name(label)}”" if label else name
        result.append(
            f"  {fmt.name(row['regime'])}, Generation {row['generation']}, {what}: "
            f"{fmt.signed(scale * row['value'], decimals)}{unit} ({inside}"
            f"{fmt.pvalue(row['holm'])} after Holm)"
        )
    return result
