"""Print a report's first screen: the sentence, the table, where the report is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from biasloop.report.answer import Entry


def answer_of(report: Path) -> dict[str, Any] | None:
    """Read what the report's first screen says; None where an earlier version wrote it."""
    import json

    summary = json.loads((report.parent / "summary.json").read_text(encoding="utf-8"))
    return summary.get("answer")


def show(answer: dict[str, Any], report: Path) -> None:
    """Print it, as wide as the terminal; no text of it is read as markup."""
    from rich.text import Text

    console = console_of_width()
    console.print(Text(f"\n{answer['sentence']}\n", style="bold"))
    if answer["rows"]:
        print_table(answer["columns"], answer["rows"])
    if axes := answer.get("axes"):
        print_table(axes["columns"], axes["rows"])
    if answer["untold"]:
        console.print(Text(f"Not answered: {answer['untold']}."))
    print(f"report: {report.resolve()}")


def print_shown(sentence: str, columns: Sequence[str], rows: Sequence[Sequence[Entry]]) -> None:
    """Print an answer: its sentence, and its table."""
    console_of_width().print(f"\n{sentence}\n", style="bold", markup=False)
    print_table(columns, [[asdict(entry) for entry in row] for row in rows])


def print_table(
    columns: Sequence[str],
    rows: Iterable[Iterable[str | dict[str, str]]],
    title: str | None = None,
    width: int = 110,
    lines: bool = True,
) -> None:
    """Print a table whose cells are a text, or have a text and a note."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        box=box.HORIZONTALS,
        show_lines=lines,
    )
    for name in columns:
        table.add_column(Text(name), overflow="fold", min_width=min(len(name), 16))
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else _cell(cell) for cell in row))
    console_of_width(width).print(table)


def console_of_width(width: int = 110) -> Console:
    """Give a console as wide as the terminal, and of one width where there is none."""
    from rich.console import Console

    return Console(width=None if Console().is_terminal else width)


def _cell(entry: dict[str, str]) -> Any:  # noqa: ANN401 - rich is imported late
    from rich.text import Text

    text = Text(entry["text"])
    if entry["note"]:
        text.append(f"\n{entry['note']}", style="dim")
    return text
