"""The report's tables: cells with their intervals, and every regime's figures by generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from biasloop import quantities
from biasloop.report import formatting as fmt


@dataclass(frozen=True)
class Cell:
    """One figure: what is shown, the interval below it, and why it is withheld if it is."""

    value: str
    interval: str = ""
    withheld: str = ""

    def __str__(self) -> str:
        return f"{self.value} ({self.interval})" if self.interval else self.value


@dataclass(frozen=True)
class Part:
    """Columns that stand together; ``rows`` are a generation's name and its cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Table:
    """One regime's figures: its leaning, then its text."""

    title: str
    parts: tuple[Part, ...]


def one_table(
    title: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Cell]]]
) -> Table:
    """Make a table of one part."""
    return Table(title, (Part(tuple(columns), tuple((name, tuple(own)) for name, own in rows)),))


ABSENT = Cell("–")


def table_lines(table: Table) -> list[str]:
    """Write a table for a terminal, its title first; figures that are not there are left out."""
    found = [table.title]
    for part in table.parts:
        for name, cells in part.rows:
            shown = zip(part.columns, cells, strict=True)
            told = [f"{column}: {cell}" for column, cell in shown if cell.value not in ("", "–")]
            found.append(f"  {name}: {'; '.join(told)}")
    return found


_CHANGE = "change:"


def figure_cell(
    row: Mapping[str, Any] | None,
    name: str,
    scale: float = 1.0,
    digits: int = 2,
    signed: bool = True,
) -> Cell:
    """Write a figure of a row, times ``scale``, with its interval.

    The interval's ends are the row's ``NAME_low`` and ``NAME_high``, or its ``low`` and ``high``.
    """
    if row is None or row[name] is None:
        return ABSENT
    low, high = (row.get(f"{name}_{end}", row.get(end)) for end in ("low", "high"))
    text = (fmt.signed if signed else fmt.number)(scale * row[name], digits)
    if low is None or high is None:
        return Cell(text)
    return Cell(text, fmt.between(scale * low, scale * high, digits, sign=signed))


def first_row(frame: pl.DataFrame, **where: object) -> dict[str, Any] | None:
    """Give the first row that has these values; None where there is none."""
    found = frame.filter(**where)
    return found.row(0, named=True) if found.height else None


def regime_tables(
    summary: pl.DataFrame, regimes: Sequence[str], labels: Sequence[str]
) -> tuple[Table, ...]:
    """Lay out every regime's pooled figures.

    Parameters
    ----------
    summary
        What `analysis.summarise` returned.
    regimes, labels
        In the order to show.

    Returns
    -------
    tuple
        One table for the real articles and the base model, then one per regime that has figures.
        A quantity that nothing has is no column.
    """
    pooled = summary.filter(pl.col("seed").is_null())
    records = quantities.shown(summary["quantity"].unique())
    named = [(one.section, (one.name, one.label)) for one in records if one.label]
    leaning = [
        *((f"share:{label}", f"“{fmt.name(label)}”") for label in labels),
        *((f"{_CHANGE}{label}", f"change of “{fmt.name(label)}”, points") for label in labels),
        *(column for section, column in named if section == "leaning"),
    ]
    text = [column for part in quantities.SECTIONS for section, column in named if section == part]
    found = []
    for title, rows in _rows(pooled, regimes):
        drawn = [_part(pooled, columns, rows) for columns in (leaning, text)]
        parts = tuple(part for part in drawn if part)
        if parts:
            found.append(Table(title, parts))
    return tuple(found)


def _rows(
    pooled: pl.DataFrame, regimes: Sequence[str]
) -> list[tuple[str, list[tuple[str, str, int]]]]:
    """Name every table and its rows: what a row is called, its regime and generation."""
    there = set(pooled["regime"])
    levels = [(name, regime, -1) for regime, name in fmt.SETS.items() if regime in there]
    tables = [("Real articles and base model", levels)]
    for regime in regimes:
        own = pooled.filter((pl.col("regime") == regime) & (pl.col("generation") >= 0))
        generations = own["generation"].unique().sort().to_list()
        tables.append((fmt.name(regime), [(f"Generation {g}", regime, g) for g in generations]))
    return tables


def _part(
    pooled: pl.DataFrame,
    columns: Sequence[tuple[str, str]],
    rows: Sequence[tuple[str, str, int]],
) -> Part | None:
    """Leave out the columns in which no row has anything; None where that leaves none."""
    cells = [_cells(pooled, regime, generation, columns) for _, regime, generation in rows]
    kept = [i for i in range(len(columns)) if any(row[i] != ABSENT for row in cells)]
    if not kept:
        return None
    return Part(
        tuple(columns[i][1] for i in kept),
        tuple(
            (name, tuple(own[i] for i in kept))
            for (name, _, _), own in zip(rows, cells, strict=True)
        ),
    )


def _cells(
    pooled: pl.DataFrame, regime: str, generation: int, columns: Sequence[tuple[str, str]]
) -> tuple[Cell, ...]:
    own = pooled.filter((pl.col("regime") == regime) & (pl.col("generation") == generation))
    rows = {row["quantity"]: row for row in own.iter_rows(named=True)}
    return tuple(_cell(quantity, rows.get(quantity)) for quantity, _ in columns)


def _cell(quantity: str, row: dict[str, Any] | None) -> Cell:
    if row is None:
        return ABSENT
    if row["withheld"]:
        return Cell("withheld", "", fmt.visible(str(row["reason"])))
    value, low, high = row["value"], row["low"], row["high"]
    if value is None or quantity.startswith(_CHANGE):
        return figure_cell(row, "value", 100, 1)
    if quantities.quantity(quantity).percent:
        return Cell(fmt.percent(value), figure_cell(row, "value", 100, 1, signed=False).interval)
    known = low is not None and high is not None
    ends = f"{fmt.scaled(low)} to {fmt.scaled(high)}" if known else ""
    return Cell(fmt.scaled(value), ends)


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
            name = f"“{fmt.name(label, 24)}”"
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
            cells = [Cell(fmt.percent(part["taken"][0]))]
            for label in shown:
                (row,) = part.filter(leaning=label).to_dicts()
                cells += [Cell(fmt.percent(row[name])) for name in ("of_all", "of_taken")]
                cells.append(figure_cell(row, "value", 100, 1))
            if own.height:
                errors = own.filter(generation=generation)
                cells.append(Cell(fmt.number(_mean(errors, "auc"))))
                kinds = ("taken_for_human", "taken_for_generated")
                cells += [Cell(fmt.percent(_mean(errors, kind))) for kind in kinds]
            body.append((f"written by Generation {generation}", cells))
        title = f"{fmt.name(str(regime))}: what it takes of its own articles"
        tables.append(one_table(title, columns, body))
    return tuple(tables)


def _mean(errors: pl.DataFrame, name: str) -> float | None:
    return None if errors[name].is_empty() else float(errors[name].to_numpy().mean())
