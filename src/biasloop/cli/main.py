"""The `biasloop` command: its subcommands, and how errors become one message and an exit code."""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from biasloop import __version__
from biasloop.cli.dose import dose
from biasloop.cli.models import ablate, export, neurons, push
from biasloop.cli.plans import power, reproduce, simulate
from biasloop.cli.run import clean, compare, report, run, verify
from biasloop.cli.start import config, doctor, download
from biasloop.cli.text import audit, label, score
from biasloop.cli.validate import validate
from biasloop.errors import BiasloopError, StoreError

#: Set by ``--traceback``.
_TRACEBACK = "BIASLOOP_TRACEBACK"

app = typer.Typer(
    name="biasloop",
    help="Does bias grow when a language model is trained on its own output? Start with "
    "`biasloop download conventions`, then `biasloop run demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"biasloop {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    with_traceback: Annotated[
        bool, typer.Option("--traceback", help="with an error, show where in the code it arose")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="print it and end"),
    ] = False,
) -> None:
    if with_traceback:
        os.environ[_TRACEBACK] = "1"


for _command in (
    *(run, report, dose, compare, verify, clean, validate, score, neurons, ablate, export, push),
    *(audit, power, simulate, download, config, doctor),
):
    app.command(_command.__name__)(_command)
app.add_typer(label, name="label")
app.add_typer(reproduce, name="reproduce")

_INTERRUPTED = 128 + signal.SIGINT
_STOPPED = "biasloop: stopped; the same command goes on from here"


#: An interrupt that comes while a C extension is imported, or in a callback, may be swallowed or
#: turned into another error: it is raised again after so many seconds, until the command has ended.
_AGAIN = 10.0
_asked_to_stop = False


def _interrupt(*_: object) -> None:
    global _asked_to_stop
    _asked_to_stop = True
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
    raise KeyboardInterrupt


def _end_stopped() -> NoReturn:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    print(_STOPPED, file=sys.stderr)
    sys.exit(_INTERRUPTED)


#: What a terminal obeys: a message may show a key or label from a file that someone else wrote.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def _printable(text: str) -> str:
    """Spell out control characters and marks that reorder text; line ends and tabs stay."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _show_traceback() -> None:
    if os.environ.get(_TRACEBACK):
        traceback.print_exc()


def main() -> None:
    """Run the command line; an error that a user can act on is one message and no traceback."""
    # What a cluster's scheduler sends before it kills ends as cleanly as Ctrl-C.
    for name in ("SIGINT", "SIGTERM", "SIGALRM"):
        if number := getattr(signal, name, None):
            signal.signal(number, _interrupt)
    try:
        app()
    except KeyboardInterrupt:
        _end_stopped()
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:  # typer turns Ctrl-C into this
            _end_stopped()
        raise
    except Exception as error:
        if _asked_to_stop and getattr(error, "exit_code", None) != _INTERRUPTED:
            _end_stopped()  # what the interrupt was turned into on its way
        _end(error)


def _end(error: Exception) -> NoReturn:
    """End with one message and an exit code, or raise what is a fault of our own."""
    if isinstance(error, BiasloopError):
        _show_traceback()
        print(f"biasloop: {_printable(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    if isinstance(error, BrokenPipeError):  # whoever read our output has gone
        sys.stderr.close()
        sys.exit(1)
    if isinstance(error, OSError) and error.filename is not None:
        _show_traceback()
        print(f"biasloop: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(StoreError.exit_code)
    raise error
