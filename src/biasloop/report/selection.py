"""What regimes chose among their own articles, as tables. Knows `analysis.selections` only."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from biasloop.report import words
from biasloop.report.tables import Cell, Part, Table


def selection_tables(
    found: pl.DataFrame, detectors: pl.DataFrame, leaning: str, labels: Sequence[str]
) -> tuple[Table, ...]:
    """Lay out, per regime and generation, the leanings of what was taken against all.

    Parameters
    ----------
    found
        `analysis.SELECTIONS`.
    detectors
        `tables.DETECTORS`.
    leaning, labels
        The followed leaning, the only one of two that is shown; the label set.
    """
    shown = [label for label in labels if label == leaning or len(labels) > 2]
    tables = []
    for (regime,), rows in found.group_by("regime", maintain_order=True):
        columns = ["articles taken"]
        for label in shown:
            name = f"“{words.name(label, 24)}”"
            columns += [f"{name} of all", f"{name} of those taken", "difference, points"]
        own = detectors.filter(regime=regime)
        if own.height:
            columns += [
                "detector: real and generated told apart (AUC)",
                "generated taken for human",
                "real taken for generated",
            ]
        body = []
        for (generation,), part in rows.group_by("generation", maintain_order=True):
            cells = [Cell(words.percent(part["taken"][0]))]
            for label in shown:
                (row,) = part.filter(leaning=label).to_dicts()
                ends = words.between(100 * row["low"], 100 * row["high"], 1, sign=True)
                cells += [Cell(words.percent(row[name])) for name in ("of_all", "of_taken")]
                cells.append(Cell(words.signed(100 * row["value"]), ends))
            if own.height:
                errors = own.filter(generation=generation)
                cells.append(Cell(words.number(_mean(errors, "auc"))))
                kinds = ("taken_for_human", "taken_for_generated")
                cells += [Cell(words.percent(_mean(errors, kind))) for kind in kinds]
            body.append((f"written by Generation {generation}", tuple(cells)))
        title = f"{words.name(str(regime))}: what it takes of its own articles"
        tables.append(Table(title, (Part(tuple(columns), tuple(body)),)))
    return tuple(tables)


def _mean(errors: pl.DataFrame, name: str) -> float | None:
    return None if errors[name].is_empty() else float(errors[name].to_numpy().mean())
