"""The report's section on neurons: what `biasloop neurons` and `ablate` left in the run folder."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from biasloop.loop.results import Results
from biasloop.neurons import (
    ASSOCIATIONS_FILE,
    LEVEL,
    Ablation,
    AssociationFindings,
    ablation_png,
    correlations_png,
    counts_png,
    method,
    read_ablation,
    read_findings,
)
from biasloop.report import formatting as fmt
from biasloop.report.cells import Cell, Table, figure_cell, one_table, table_lines
from biasloop.tables import CHAIN

_EDITS = {"restore": "set back to Generation 0's weights", "mean": "held at their mean activation"}
#: How many neurons of each metric the report names.
_SHOWN = 5


@dataclass(frozen=True)
class Neurons:
    """What the section shows: paragraphs, tables, and pictures as data URIs with a description."""

    texts: tuple[str, ...]
    notices: tuple[str, ...]
    tables: tuple[Table, ...]
    pictures: tuple[tuple[str, str], ...]
    machine: dict[str, Any]


def neurons_of(results: Results) -> Neurons | None:
    """Read and lay out what was found of a run's neurons; None where nothing was looked for.

    Raises
    ------
    StoreError
        If a file of it is damaged.
    """
    folder = Path(results.folder) / "neurons"
    found, ablation = read_findings(folder), read_ablation(folder)
    sections: list[Section] = []
    pictures: list[tuple[str, str]] = []
    if found:
        sections.append(associations_section(found, results))
        shown = found.associations
        pictures += [
            (data_uri(counts_png(shown)), "Share of each layer's neurons that go with each metric"),
            (data_uri(correlations_png(shown)), "Spread of correlations by layer"),
        ]
    if ablation:
        sections.append(ablation_section(ablation))
        pictures.append((data_uri(ablation_png(ablation)), "Effect of editing neurons"))
    if not sections:
        return None
    parts = (tuple(chain.from_iterable(part)) for part in zip(*sections, strict=True))
    machine = {
        "associations": found and associations_json(found),
        "ablation": ablation and ablation.as_dict(),
    }
    return Neurons(*parts, tuple(pictures), machine)


#: Paragraphs, notices and tables.
Section = tuple[list[str], list[str], list[Table]]


def section_lines(section: Section) -> list[str]:
    """Write a section for a terminal."""
    texts, notices, tables = section
    return [*texts, *chain.from_iterable(map(table_lines, tables)), *notices]


def associations_json(found: AssociationFindings) -> dict[str, Any]:
    """Give what was counted, for programs."""
    meet = found.overlap()
    return {
        "method": found.method,
        "versions": found.versions,
        "left_out": found.left_out,
        "let_in": found.let_in,
        "counts": {name: asdict(count) for name, count in found.counts().items()},
        "overlap": asdict(meet) if meet else None,
    }


def associations_section(found: AssociationFindings, results: Results | None = None) -> Section:
    """Lay out associations; of the run ``results`` it is said where it has grown since."""
    site, quantity = found.associations.select("site", "quantity").row(0)
    texts = [
        f"{quantity} at {site} over {fmt.counted(found.versions, 'model version')}, method "
        f"“{found.method}” ({method(found.method).says}). An association over generations is not "
        "a cause."
    ]
    meet = found.overlap()
    if meet:
        first, second = (fmt.name(name) for name in found.metrics[:2])
        texts.append(
            f"Neurons with p < {LEVEL:g} for both {first} and {second}: {meet.both:,}, where "
            f"{fmt.number(meet.expected, 1)} are expected of independent sets (hypergeometric: "
            f"at least so many {fmt.pvalue(meet.more)}, at most {fmt.pvalue(meet.fewer)}; "
            "neighbours are not independent, so this is too sure)."
        )
    notices = [
        f"{fmt.name(name)}: {count} of {found.versions} versions are left out, because their "
        "leaning figures are withheld."
        for name, count in found.left_out.items()
        if count
    ]
    notices += [
        f"{fmt.name(name)}: {count} of {found.versions} versions count although their leaning "
        "figures are withheld: what goes with them may go with collapse, read as a leaning."
        for name, count in found.let_in.items()
        if count
    ]
    notices += [
        f"{fmt.name(name)}: {count} model versions are few. More unrelated neurons have small "
        "p-values than the column “by chance alone” says."
        for name, count in found.few().items()
    ]
    now = found.versions
    if results:
        now = results.neurons.filter(pl.col("generation") >= 0).select(list(CHAIN)).n_unique()
    if now != found.versions:
        notices.append(
            f"These associations are of {fmt.counted(found.versions, 'model version')}, the run "
            f"has {now} now: run “biasloop neurons” again."
        )
    return texts, notices, [_counts_table(found), _strongest_table(found)]


def _counts_table(found: AssociationFindings) -> Table:
    columns = (
        "tested",
        f"p < {LEVEL:g}",
        "by chance alone",
        "after Benjamini-Hochberg",
        "after Bonferroni",
    )
    rows = []
    for name, count in found.counts().items():
        numbers = (count.tests, count.raw, None, count.benjamini_hochberg, count.bonferroni)
        cells = tuple(
            Cell(fmt.number(count.by_chance, 0) if value is None else f"{value:,}")
            for value in numbers
        )
        rows.append((fmt.name(name), cells))
    return one_table("Neurons that go with each metric", columns, rows)


def _strongest_table(found: AssociationFindings) -> Table:
    columns = ("Pearson", "slope", "standard error", "p-value", "q-value")
    rows = []
    for metric in found.metrics:
        tested = found.associations.filter(
            pl.col("metric") == metric, pl.col("pvalue").is_not_nan()
        )
        for row in tested.sort("pvalue", "layer", "neuron").head(_SHOWN).iter_rows(named=True):
            cells = (
                Cell(fmt.signed(row["pearson"], 2)),
                *(Cell(_three(row[name])) for name in ("coef", "stderr", "pvalue", "qvalue")),
            )
            place = f"layer {row['layer']}, neuron {row['neuron']}"
            rows.append((f"{fmt.name(metric)}: {place}", cells))
    title = f"The {_SHOWN} neurons that go most clearly with each metric; all are in "
    return one_table(f"{title}{ASSOCIATIONS_FILE}", columns, rows)


def _three(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def ablation_section(ablation: Ablation) -> Section:
    """Lay out a causal check."""
    layers = sorted({layer for layer, _ in ablation.neurons})
    text = (
        f"Causal check on {fmt.name(ablation.regime)}, seed {ablation.seed}, Generation "
        f"{ablation.generation}: the {ablation.top} neurons of {ablation.site} that go most "
        f"clearly with {fmt.name(ablation.metric)} (layers {fmt.generations(layers)}), "
        f"{_EDITS[ablation.intervention]}, against as many random neurons of the same layers. "
        "p is the share of all sets whose effect is as far from the mean as theirs."
    )
    held, sets = ablation.withheld
    notice = f"Leaning figures of {held} of {sets} edited sets are withheld."
    return [text], [notice] * bool(held), [_ablation_table(ablation)]


def _ablation_table(ablation: Ablation) -> Table:
    columns = (
        "drift since Generation 0",
        "effect",
        "of random neurons",
        "beyond random neurons",
        "permutation p",
        "random sets",
    )
    rows = []
    for row in ablation.effects.iter_rows(named=True):
        share = row["outcome"].startswith("share:")
        scale, digits = (100, 1) if share else (1, 3)
        name = f"share of “{fmt.name(row['outcome'][6:])}”, points" if share else row["outcome"]
        cells = (
            *(
                figure_cell(row, outcome, scale, digits)
                for outcome in ("drift", "effect", "random", "specific")
            ),
            Cell(fmt.pvalue(row["pvalue"]).removeprefix("p ")),
            Cell(str(row["draws"])),
        )
        rows.append((name, cells))
    return one_table("What editing them did", columns, rows)


def data_uri(png: bytes) -> str:
    """Write a picture into the page itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
