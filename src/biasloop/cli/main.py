"""The `biasloop` command: its subcommands, and how errors become one message and an exit code."""

from __future__ import annotations

import signal
import sys

import typer

from biasloop.cli.assets import doctor, download
from biasloop.cli.audit import audit
from biasloop.cli.config import config
from biasloop.cli.neurons import ablate, export, neurons
from biasloop.cli.power import power
from biasloop.cli.reproduce import reproduce
from biasloop.cli.run import report, run
from biasloop.cli.score import score
from biasloop.cli.simulate import simulate
from biasloop.errors import BiasloopError

app = typer.Typer(
    name="biasloop",
    help="Does bias grow when a language model is trained on its own output? Start with "
    "`biasloop download conventions`, then `biasloop run demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("run")(run)
app.command("report")(report)
app.command("score")(score)
app.command("neurons")(neurons)
app.command("ablate")(ablate)
app.command("export")(export)
app.command("audit")(audit)
app.command("power")(power)
app.add_typer(reproduce, name="reproduce")
app.command("simulate")(simulate)
app.command("download")(download)
app.command("config")(config)
app.command("doctor")(doctor)

_INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Run the command line; an error that a user can act on is one message and no traceback."""
    try:
        app()
    except BiasloopError as error:
        print(f"biasloop: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:  # typer turns Ctrl-C into this
            print("biasloop: stopped; the same command goes on from here", file=sys.stderr)
        raise
