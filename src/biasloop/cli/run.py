"""`biasloop run` and `biasloop report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biasloop.cli.progress import listener


def run(
    config: Annotated[str, typer.Argument(help="a YAML file, or the name of an example: demo")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="change one setting: loop.generations=3"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the run folder [default: runs/NAME]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per event")] = False,
) -> None:
    """Run an experiment, or go on with it where it stopped, and write its report."""
    from biasloop import api

    with listener(as_json) as listen:
        finished = api.run(config, out, overrides or (), listen)
    path = finished.current_report() or finished.report()
    if as_json:
        import json

        print(json.dumps({"event": "report", "path": str(path.resolve())}))
    else:
        print(f"report: {path.resolve()}")


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder, finished or not")],
) -> None:
    """Write a run's report again, from what the run has so far."""
    from biasloop import api

    print(f"report: {api.load_run(folder).report().resolve()}")
