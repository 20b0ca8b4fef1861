"""The further axes of a run: a row each on the first screen, and what a folded section shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from biasloop.analysis import (
    Outcomes,
    Tables,
    Verdict,
    classifier_shifts,
    followed_leaning,
    instrument_confusion,
    summarise,
    validity,
)
from biasloop.loop.results import Results
from biasloop.report import formatting as fmt
from biasloop.report.answer import Choices, Entry, amplified_entry, change_entry
from biasloop.report.cautions import Caution, of_instruments, of_shifts, of_withheld
from biasloop.report.cells import Table, regime_tables
from biasloop.report.statistics import verdict_tables


@dataclass(frozen=True)
class AxisFindings:
    """What is shown of one further axis.

    Attributes
    ----------
    name, results, leaning
        The axis, the run with it in the main one's place, and the leaning that is followed.
    tables
        What the statistics read of it.
    verdicts
        Of every regime, corrected together with those of all axes.
    summary
        What `analysis.summarise` made of it.
    """

    name: str
    results: Results
    leaning: str
    tables: Tables
    verdicts: tuple[Verdict, ...]
    summary: pl.DataFrame

    @property
    def cautions(self) -> list[Caution]:
        """What to know before believing it."""
        problem = instrument_confusion(self.results.cards, self.results.labels)
        found = [
            *of_withheld(validity(self.tables)),
            *of_instruments(self.results),
            *of_shifts(classifier_shifts(self.tables)),
        ]
        if problem and problem.problem:
            text = f"Its shares are not corrected: {fmt.visible(problem.problem)}."
            found.append(Caution("Not corrected", text))
        axis = f"Axis {fmt.name(self.name)}"
        return [
            replace(one, topic=f"{axis}: {one.topic.removesuffix(': leaning')}") for one in found
        ]

    @property
    def unmentioned(self) -> tuple[int, int] | None:
        """Generated articles that have none of the axis's names, and all; None without names."""
        said = self.results.scores.filter(pl.col("generation") >= 0, metric="mentions")["value"]
        return (int((said == 0).sum()), said.len()) if said.len() else None


def axis_findings(
    results: Results,
    tables: Mapping[str, Tables],
    outcome: Mapping[str, Outcomes],
    judged: Mapping[str, tuple[Verdict, ...]],
) -> tuple[AxisFindings, ...]:
    """Analyse a run on its further axes, by what `analysis` made of each: by name of the axis."""
    report, found = results.config.report, []
    for name, own in results.axes.items():
        summary = summarise(tables[name], report.bootstrap, results.config.seed, outcome[name])
        leaning = followed_leaning(own.config, own.labels)
        found.append(AxisFindings(name, own, leaning, tables[name], judged[name], summary))
    return tuple(found)


def first_rows(found: Sequence[AxisFindings], regime: str) -> Choices | None:
    """Give each axis a row: its name, the change under a regime, and whether it is bias."""
    rows = []
    for axis in found:
        verdict = next((one for one in axis.verdicts if one.regime == regime), None)
        labels = axis.results.labels
        told = verdict.leaning if verdict else axis.leaning
        note = f"+ towards {fmt.name(told, 24)}" if len(labels) == 2 else _labels(labels)
        if axis.unmentioned:
            none, every = axis.unmentioned
            note += f"; {none:,} of {every:,} articles have none of its names: not scored"
        cells = (
            (change_entry(verdict, labels), amplified_entry(verdict))
            if verdict
            else (Entry("–"), Entry("not measured"))
        )
        rows.append((Entry(fmt.name(axis.name), note), *cells))
    columns = ("Further axis", f"Change in points under {fmt.name(regime)}", "Bias amplified?")
    return Choices("", columns, tuple(rows)) if rows else None


def _labels(labels: Sequence[str]) -> str:
    return ", ".join(fmt.name(label, 24) for label in labels)


def section(
    axis: AxisFindings, colours: Mapping[str, str], over: str
) -> tuple[str, list[tuple[Table, str, str, str]], tuple[Table, ...]]:
    """Give what a page shows of an axis: its name, its verdicts, its figures by generation."""
    tables = regime_tables(axis.summary, list(colours), axis.results.labels)
    return fmt.name(axis.name), verdict_tables(axis.verdicts, None, colours, over), tables
