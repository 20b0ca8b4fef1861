"""The report's tables of figures: a row per generation, a cell with its interval per quantity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from biasloop.report import words
from biasloop.tables import BASE, REAL


@dataclass(frozen=True)
class Cell:
    """One figure: what is shown, the interval below it, and why it is withheld if it is."""

    value: str
    interval: str = ""
    withheld: str = ""


@dataclass(frozen=True)
class Table:
    """One regime's figures: ``rows`` are a generation's name and its cells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


_ABSENT = Cell("–")
_FIXED = (
    ("distance:tv", "distance (TV)"),
    ("distance:js", "distance (JS)"),
    ("outside_domain", "outside range"),
    ("quality", "quality"),
    ("perplexity", "perplexity"),
    ("perplexity:geometric", "perplexity, geometric mean"),
    ("holdout_perplexity", "held-out perplexity"),
    ("distinct_1", "distinct-1"),
    ("distinct_2", "distinct-2"),
    ("distinct_3", "distinct-3"),
    ("repetition", "repetition"),
    ("self_bleu", "self-BLEU"),
    ("vocabulary", "vocabulary"),
)
_PERCENT = ("share:", "probability:", "outside_domain")


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
    wanted = [
        *((f"share:{label}", f"“{words.name(label)}”") for label in labels),
        *((f"change:{label}", f"change of “{words.name(label)}”, points") for label in labels),
        *_FIXED,
    ]
    there = set(pooled["quantity"])
    columns = [(quantity, title) for quantity, title in wanted if quantity in there]
    levels = [
        (name, _cells(pooled, regime, -1, columns))
        for regime, name in ((REAL, "real articles"), (BASE, "base model"))
        if pooled.filter(pl.col("regime") == regime).height
    ]
    tables = [_table("Real articles and base model", columns, levels)] if levels else []
    for regime in regimes:
        own = pooled.filter((pl.col("regime") == regime) & (pl.col("generation") >= 0))
        rows = [
            (f"Generation {generation}", _cells(pooled, regime, generation, columns))
            for generation in own["generation"].unique().sort()
        ]
        if rows:
            tables.append(_table(words.name(regime), columns, rows))
    return tuple(tables)


def _table(
    title: str,
    columns: Sequence[tuple[str, str]],
    rows: Sequence[tuple[str, tuple[Cell, ...]]],
) -> Table:
    """Leave out the columns in which no row has anything."""
    kept = [i for i in range(len(columns)) if any(cells[i] != _ABSENT for _, cells in rows)]
    return Table(
        title,
        tuple(columns[i][1] for i in kept),
        tuple((name, tuple(cells[i] for i in kept)) for name, cells in rows),
    )


def _cells(
    pooled: pl.DataFrame, regime: str, generation: int, columns: Sequence[tuple[str, str]]
) -> tuple[Cell, ...]:
    own = pooled.filter((pl.col("regime") == regime) & (pl.col("generation") == generation))
    rows = {row["quantity"]: row for row in own.iter_rows(named=True)}
    return tuple(_cell(quantity, rows.get(quantity)) for quantity, _ in columns)


def _cell(quantity: str, row: dict[str, object] | None) -> Cell:
    if row is None:
        return _ABSENT
    if row["withheld"]:
        return Cell("withheld", "", words.visible(str(row["reason"])))
    value, low, high = (_float(row[end]) for end in ("value", "low", "high"))
    if value is None:
        return _ABSENT
    if quantity.startswith("change:"):
        ends = None if low is None or high is None else (100 * low, 100 * high)
        inside = words.between(*ends, 1, sign=True) if ends else ""
        return Cell(words.signed(100 * value), inside)
    if quantity.startswith(_PERCENT):
        ends = None if low is None or high is None else (100 * low, 100 * high)
        return Cell(words.percent(value), words.between(*ends) if ends else "")
    if low is None or high is None:
        return Cell(words.scaled(value))
    return Cell(words.scaled(value), f"{words.scaled(low)} to {words.scaled(high)}")


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
