"""`biasloop config`."""

from __future__ import annotations

from typing import Annotated

import typer

from biasloop.errors import InputError


def config(
    schema: Annotated[bool, typer.Option("--schema", help="print the JSON schema")] = False,
    example: Annotated[
        str | None, typer.Option("--example", metavar="NAME", help="print an example: demo")
    ] = None,
) -> None:
    """Print the schema of a config, or an example to start from."""
    import json

    from biasloop.api import config_schema
    from biasloop.config import example_names, example_text

    if schema == (example is not None):
        raise InputError(
            "give one of --schema and --example NAME; examples: " + ", ".join(example_names())
        )
    print(json.dumps(config_schema(), indent=2) if schema else example_text(example or ""), end="")
    if schema:
        print()
