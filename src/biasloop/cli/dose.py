"""``biasloop dose``: parse, call, print."""

from __future__ import annotations

from typing import Annotated

import typer

from biasloop.cli.answer import print_shown
from biasloop.cli.progress import listener
from biasloop.cli.run import AsEvents, ConfigFile, DryRun, Executor, Overrides, Reuse, show_cost
from biasloop.errors import InputError


def dose(
    config: ConfigFile,
    regime: Annotated[str, typer.Option(help="whose dose: preservation (its fraction), ...")],
    values: Annotated[str, typer.Option(help="to try, such as 0,0.05,0.1,0.2,0.5; 0 is synthetic")],
    looks: Annotated[
        int,
        typer.Option(help="compute chains in so many batches; a dose that is clear gets no more"),
    ] = 1,
    overrides: Overrides = None,
    out: Annotated[
        str | None,
        typer.Option(help="the run folder, or a URL [default: runs/NAME-REGIME-dose]"),
    ] = None,
    executor: Executor = "local",
    reuse: Reuse = None,
    dry_run: DryRun = False,
    as_json: AsEvents = False,
) -> None:
    """Find the least dose of a regime that holds bias within the margin.

    One run has the regime at every value; more values in the same folder compute those only.
    """
    import json

    from biasloop import api
    from biasloop.config import load_config, with_doses

    tried, changes = _numbers(values), overrides or ()
    if dry_run:
        show_cost(with_doses(load_config(config, changes), regime, tried), True, as_json)
        return
    with listener(as_json) as listen:
        run, found = api.find_dose(
            config, regime, tried, out, changes, listen, executor, reuse or (), looks
        )
    picture = (run.folder / "dose.png").resolve()
    if as_json:
        typer.echo(json.dumps({"event": "dose", "figure": str(picture), **found.machine}))
        return
    print_shown(found.sentence, found.columns, found.rows)
    if found.theory:
        typer.echo(found.theory)
    typer.echo(f"figure: {picture}")
    typer.echo(f"report: {run.report().resolve()}")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--values: '{text}' is no list of numbers: 0,0.1,0.5") from None
