"""``biasloop reproduce``: parse, call `biasloop.published`, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

reproduce = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Analyse released results anew."
)


@reproduce.callback()
def _group() -> None:
    """Analyse released results anew."""


@reproduce.command("published")
def published(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="a folder with the released CSV files")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="a folder for page, figures and tables (left out: reproduced; with --json none)"
        ),
    ] = None,
    leaning: Annotated[
        str | None, typer.Option(help="the label to follow (left out: the last of the files)")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="print shares, quality and perplexity as JSON")
    ] = False,
) -> None:
    """Analyse the authors' released files anew, with intervals and tests, beside what is printed.

    Results of any other experiment in the same formats work, too: regimes are taken from the file
    names, labels from the columns.
    """
    import json

    from biasloop.errors import InputError
    from biasloop.published import lines, read_published, series, write_reproduction
    from biasloop.published import reproduce as analyse
    from biasloop.report.summary_json import strict

    target = out if out is not None or as_json else Path("reproduced")
    if target is not None and target.exists() and not target.is_dir():
        raise InputError(f"{target}: is a file; --out takes a folder")
    found = analyse(read_published(folder), leaning)
    written = write_reproduction(found, target) if target is not None else None
    if as_json:
        typer.echo(json.dumps(strict(series(found)), allow_nan=False))
        return
    for line in lines(found):
        typer.echo(line)
    if written is not None:
        typer.echo(f"\nreport: {written.resolve()}")
