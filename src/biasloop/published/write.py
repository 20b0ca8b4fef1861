"""What a reproduction shows: lines for a terminal, a page, figures and tables in a folder.

Computes nothing. The figures are the paper's, with intervals.
"""

from __future__ import annotations

import base64
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import polars as pl

from biasloop.errors import InputError
from biasloop.files import write_bytes, write_json, write_text
from biasloop.neurons import correlations_png, counts_png
from biasloop.published import paper
from biasloop.published.reproduction import Reproduction, digits, series
from biasloop.quantities import quantity
from biasloop.report import formatting as fmt
from biasloop.report.cells import Table, regime_tables, table_lines
from biasloop.report.charts import (
    Chart,
    Drawing,
    Look,
    look,
    path_chart,
    quantity_chart,
    share_chart,
)
from biasloop.report.drawing import png
from biasloop.report.statistics import comparison_table, tables_of_tests, verdict_tables
from biasloop.report.summary_json import strict, verdict_json
from biasloop.tables import BASE, write_table
from biasloop.untrusted import templates

_HEAD = ("", "reference", "source", "recomputed", "difference", "what the statistics add")
#: How a source is told in a table.
_FROM = {"printed": "printed", "release": "from the release", None: "–"}


def cells(reproduction: Reproduction) -> list[tuple[str, ...]]:
    """Write the rows to show, a cell for each of the head's columns.

    They are those with a reference; of the others, the followed leaning's share at every
    generation, quality and perplexity at the first and last, and all neurons.
    """
    at = pl.col("generation")
    ends = (at == at.min().over("quantity", "regime")) | (at == at.max().over("quantity", "regime"))
    shown = reproduction.recomputed.filter(
        pl.col("reference").is_not_null()
        | (pl.col("quantity") == f"share:{reproduction.leaning}")
        | pl.col("quantity").str.starts_with("neurons")
        | (pl.col("quantity").is_in(["quality", "perplexity"]) & ends)
    )
    return [_shown(row) for row in shown.iter_rows(named=True)]


def _shown(row: dict[str, Any]) -> tuple[str, ...]:
    decimals, difference = digits(row["quantity"]), row["difference"]
    # One more than was published, to show what the difference is.
    more = decimals + 1 if decimals else 0
    return (
        _what(row["quantity"], row["regime"], row["generation"]),
        fmt.number(row["reference"], decimals),
        _FROM[row["source"]],
        fmt.number(row["recomputed"], more),
        "–" if difference is None else fmt.signed(difference, more),
        row["adds"],
    )


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
    printed, again = table.filter(source="printed"), table.filter(source="release")
    met = printed.drop_nulls("recomputed")
    agreement = (
        f"Agreement: {fmt.counted(met.height, 'figure')} that the paper or its README prints "
        f"({printed.height - met.height} more cannot be had from these files); {_worst(met)}."
    )
    recomputation = (
        f"Recomputation: {fmt.counted(again.height, 'figure')} that were computed from the "
        f"same released files; {_worst(again)}. That checks this program, not the paper."
    )
    return [agreement] * bool(met.height) + [recomputation] * bool(again.height)


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
    for table, _, amplified, collapsed in _verdicts(reproduction):
        title, *rows = table_lines(table)
        answers = f"amplification: {amplified}; " * bool(amplified) + f"collapse: {collapsed}"
        result += ["", title, f"  {answers}", *rows]
    compared = comparison_table(reproduction.evidence.comparisons, experiment.regimes)
    result += ["", *table_lines(compared)] if compared.parts[0].rows else []
    told = limits(reproduction)
    result += ["", "Before you believe these figures:"] if told else []
    result += [f"  {line}" for line in told]
    return result


def _verdicts(reproduction: Reproduction) -> list[tuple[Table, str, str, str]]:
    colours = {regime: look.colour for regime, look in looks(reproduction).items()}
    return verdict_tables(reproduction.verdicts, reproduction.evidence, colours)


# Figures ----------------------------------------------------------------------------------------


def looks(reproduction: Reproduction) -> dict[str, Look]:
    """Give every regime its look, in order."""
    return {regime: look(i) for i, regime in enumerate(reproduction.experiment.regimes)}


def _charts(reproduction: Reproduction) -> list[Chart | Drawing | None]:
    """Draw the followed leaning's share first; None for a figure that has nothing to show."""
    summary, regimes = reproduction.summary, looks(reproduction)
    followed, labels = reproduction.leaning, reproduction.experiment.tables.labels
    caption = (
        "Share of each generation's articles whose likeliest leaning this is; bands are "
        f"{fmt.INTERVAL}s over articles."
    )
    stems = {label: f"leaning_share_{place}" for place, label in enumerate(labels, start=1)}
    if followed:
        stems = {followed: "leaning_share"} | {k: v for k, v in stems.items() if k != followed}
    told = {
        "quality": "a fall is collapse.",
        "perplexity": " It falls while quality falls, so it cannot show collapse by itself.",
    }
    return [
        *(share_chart(summary, name, regimes, stem, caption) for name, stem in stems.items()),
        *(quantity_chart(summary, quantity(name), regimes, more) for name, more in told.items()),
        path_chart(summary, followed, regimes) if followed else None,
    ]


def pictures(reproduction: Reproduction) -> dict[str, tuple[str, bytes]]:
    """Draw everything as PNG: file name -> caption and bytes."""
    charts = [chart for chart in _charts(reproduction) if chart]
    found = {
        f"{chart.stem}.png": (f"{chart.title}. {chart.caption}", png(chart)) for chart in charts
    }
    experiment = reproduction.experiment
    tested = experiment.associations.filter(pl.col("pvalue").is_not_null())
    for rows, kind, draw, caption in (
        (
            tested,
            "neurons",
            counts_png,
            "Neurons with p < 0.05 by layer: raw (light) and after Benjamini-Hochberg.",
        ),
        (
            experiment.correlations,
            "correlations",
            correlations_png,
            "Pearson correlation of each layer's neurons with the metric.",
        ),
    ):
        for (name,), own in rows.group_by("quantity", maintain_order=True):
            found[f"{kind}_{fmt.file_stem(str(name))}.png"] = (caption, draw(own))
    return found


# Files ------------------------------------------------------------------------------------------


_TESTS = ("trends", "contrasts", "comparisons", "correlations")


def write_reproduction(reproduction: Reproduction, folder: Path) -> Path:
    """Write ``reproduction.html``, ``figures/*.png``, ``table.csv``, ``summary.json`` and tables.

    ``scores.parquet``, ``leaning_scores.parquet``, ``associations.parquet`` and
    ``correlations.parquet`` are the released results as our tables. Each file appears whole or not
    at all; equal results give equal bytes.

    Returns
    -------
    Path
        ``folder/reproduction.html``: one file that opens offline, without scripts.

    Raises
    ------
    InputError
        If the folder cannot be written to.
    """
    experiment = reproduction.experiment
    drawn = pictures(reproduction)
    text = page(reproduction, drawn)
    target = folder / "reproduction.html"
    try:
        for name, (_, content) in drawn.items():
            write_bytes(folder / "figures" / name, content)
        write_table(folder / "scores.parquet", experiment.tables.scores)
        write_table(folder / "leaning_scores.parquet", experiment.tables.leaning_scores)
        write_table(folder / "associations.parquet", experiment.associations)
        write_table(folder / "correlations.parquet", experiment.correlations)
        write_text(folder / "table.csv", reproduction.recomputed.write_csv(float_precision=6))
        write_json(folder / "summary.json", machine(reproduction, sorted(drawn)))
        write_text(target, text)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written there: {error}") from error
    return target


def machine(reproduction: Reproduction, figures: list[str]) -> dict[str, Any]:
    """Collect everything for programs, as strict JSON values."""
    experiment, evidence = reproduction.experiment, reproduction.evidence
    neurons = reproduction.neurons
    return strict(
        {
            "sources": paper.SOURCES,
            "labels": experiment.tables.labels,
            "leaning": reproduction.leaning,
            "regimes": experiment.regimes,
            "files": experiment.files,
            "first": experiment.first,
            "absent": experiment.absent,
            "ignored": experiment.ignored,
            "notes": limits(reproduction),
            "series": series(reproduction),
            "recomputed": reproduction.recomputed.to_dicts(),
            "verdicts": [verdict_json(verdict) for verdict in reproduction.verdicts],
            "summary": reproduction.summary.to_dicts(),
            "tests": {name: getattr(evidence, name).to_dicts() for name in _TESTS},
            "neurons": {
                "counts": [
                    {"quantity": quantity, "metric": metric, **asdict(count)}
                    for (quantity, metric), count in neurons.counts.items()
                ],
                "overlaps": [
                    {"quantity": quantity, "metrics": metrics, **asdict(met)}
                    for (quantity, *metrics), met in neurons.overlaps.items()
                ],
            },
            "figures": figures,
        }
    )


def page(reproduction: Reproduction, drawn: dict[str, tuple[str, bytes]]) -> str:
    """Render the HTML page: no script, no request, every name escaped."""
    from markupsafe import Markup

    environment = templates("biasloop.published")
    experiment = reproduction.experiment
    regimes = list(experiment.regimes)
    labels = experiment.tables.labels
    style = resources.files("biasloop.report") / "templates" / "report.css"
    return environment.get_template("reproduction.html").render(
        style=Markup(style.read_text(encoding="utf-8").strip()),  # noqa: S704 - our own file
        sources=sources(reproduction),
        heading=heading(reproduction),
        verdicts=_verdicts(reproduction),
        limits=limits(reproduction),
        absent=[fmt.visible(name) for name in experiment.absent],
        rows=cells(reproduction),
        pictures=[
            (name, caption, base64.b64encode(content).decode("ascii"))
            for name, (caption, content) in drawn.items()
        ],
        tests=tables_of_tests(reproduction.evidence, regimes, labels, reproduction.leaning),
        tables=regime_tables(reproduction.summary, regimes, labels),
        resamples=f"{reproduction.settings.bootstrap:,}",
    )
