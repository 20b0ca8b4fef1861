"""The condition beside the outcome, as tables: one per chain, and their agreement.

Knows `analysis.projected_updates` only.
"""

from __future__ import annotations

import polars as pl

from biasloop.analysis import sign_agreement
from biasloop.report import words
from biasloop.report.tables import Cell, Part, Table

_UNITS = {
    "gradient": "log-odds",
    "contrast": "1 = as far as the two fine-tunings lie apart",
}


def update_tables(table: pl.DataFrame, leaning: str) -> tuple[Table, ...]:
    """Lay out each chain's updates against the change of leaning that followed.

    The last table counts over all chains how often the signs agreed.

    Parameters
    ----------
    table
        `analysis.projected_update.PROJECTED_UPDATES`.
    leaning
        The leaning that is followed.
    """
    tables = []
    several = table["seed"].n_unique() > 1
    for (regime, seed), rows in table.group_by("regime", "seed", maintain_order=True):
        title = f"Update on the bias direction, “{words.name(leaning)}”: {words.name(str(regime))}"
        columns = (
            f"projection of the update ({_UNITS[rows['direction'][0]]})",
            "change that followed (mean log-odds)",
            "same sign",
        )
        body = tuple(
            (
                f"Generation {row['generation']}",
                (
                    _cell(row["projection"], row["projection_low"], row["projection_high"]),
                    _cell(row["change"], row["change_low"], row["change_high"]),
                    Cell({True: "yes", False: "no", None: "–"}[row["agree"]]),
                ),
            )
            for row in rows.sort("generation").iter_rows(named=True)
        )
        tables.append(Table(f"{title}, seed {seed}" if several else title, (Part(columns, body),)))
    return (*tables, *([_agreement(table, leaning)] if tables else []))


def _agreement(table: pl.DataFrame, leaning: str) -> Table:
    found = sign_agreement(table)
    shown = "not shown" if found.pvalue is None or found.pvalue >= 0.05 else "shown"
    # Five seeds are `analysis.projected_update.FEWEST_SEEDS`.
    pvalue = "fewer than five seeds" if found.pvalue is None else f"p {found.pvalue:.2g}"
    columns = (
        "same sign",
        "seeds where more than half had it",
        "that it foretells the sign (sign test over seeds)",
    )
    cells = (
        Cell(f"{found.agreed} of {found.compared}"),
        Cell(f"{found.towards} of {found.towards + found.against}"),
        Cell(shown, pvalue),
    )
    title = f"Update on the bias direction, “{words.name(leaning)}”: does it foretell the change?"
    return Table(title, (Part(columns, (("Generation 1 on", cells),)),))


def _cell(value: float | None, low: float | None, high: float | None) -> Cell:
    if value is None:
        return Cell("–")
    inside = "" if low is None or high is None else words.between(low, high, 2, sign=True)
    return Cell(words.signed(value, 2), inside)
