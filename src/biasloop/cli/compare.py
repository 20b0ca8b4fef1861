"""``biasloop compare``: parse, call `biasloop.report.compare`, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="run folders, or their URLs")],
    out: Annotated[
        Path | None, typer.Option(help="write one page with the table and a figure here")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Put several runs, of other models or decodings, into one table and figure."""
    import json
    from dataclasses import asdict

    from biasloop import api
    from biasloop.cli.answer import print_table
    from biasloop.errors import InputError
    from biasloop.files import write_text
    from biasloop.report.compare import comparison_page
    from biasloop.report.summary_json import strict

    opened = {}
    for place in runs:
        run = api.load_run(place)
        name = place.rstrip("/").rpartition("/")[2] or run.folder.name
        if name in opened:
            name = place
        if name in opened:
            raise InputError(f"{place}: is given twice")
        opened[name] = run
    found = api.compare(opened)
    if out is not None:
        if out.exists() and not out.is_file():
            raise InputError(f"--out {out}: is no file")
        write_text(out, comparison_page(found, list(opened)))
    if as_json:
        rows = [[asdict(entry) for entry in row] for row in found.rows]
        content = {
            "runs": list(opened),
            "columns": found.columns,
            "rows": rows,
            "differences": found.differences,
            "note": found.note,
        }
        typer.echo(json.dumps(strict(content)))
        return
    print_table(
        found.columns, [[{"text": e.text, "note": e.note} for e in row] for row in found.rows]
    )
    for key, values in found.differences.items():
        typer.echo(f"{key}: {' | '.join(values)}")
    if found.note:
        typer.echo(found.note)
    if out is not None:
        typer.echo(f"page: {out.resolve()}")
