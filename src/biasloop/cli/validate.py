"""`biasloop validate`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from biasloop.cli.answer import answer_of, print_table
from biasloop.cli.progress import counter
from biasloop.errors import BiasloopError

if TYPE_CHECKING:
    from biasloop.controls import Row, Validation

_WHY_APART = (
    "The forecast assumes unlimited data and a model that fits its training set exactly, and "
    "that the first word with a leaning decides: each set is finite, so shares drift by chance; "
    "fine-tuning lags behind its set, or overshoots; and some words, too, grow at the expense of "
    "others of their leaning."
)


class _StoppedError(BiasloopError):
    """Stopped by the user, with nothing to go on from."""

    exit_code = 128 + signal.SIGINT


def validate(
    out: Annotated[
        Path | None,
        typer.Option(help="keep both runs and their reports here [default: keep nothing]"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="chains of each regime, 3 or more")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Run a positive and a negative control, and say whether what is planted is found, alone.

    Ends with exit code 1 where the instrument fails.
    """
    import sys

    from biasloop.controls import validate as check

    try:
        found = check(out, seeds, count=counter("stages") if sys.stderr.isatty() else None)
    except KeyboardInterrupt:
        if out is not None:
            raise
        raise _StoppedError(
            "stopped, and nothing is kept; with --out DIR both runs stay in DIR, and the same "
            "command goes on from where it is stopped"
        ) from None
    if as_json:
        import json

        print(json.dumps(_values(found)))
    else:
        _print(found)
    if not found.passed:
        raise typer.Exit(1)


def _values(found: Validation) -> dict[str, Any]:
    return {
        "passed": found.passed,
        "checks": [vars(check) for check in found.checks],
        "rows": [
            {
                "control": row.control,
                "regime": row.regime,
                "planted": row.planted,
                "forecast": row.forecast.round(4).tolist(),
                "measured": row.measured.round(4).tolist(),
                "apart": round(row.apart, 4),
                "amplified": row.verdict.amplified,
                "change": (change := row.verdict.leaning_change)
                and {name: getattr(change, name) for name in ("value", "low", "high")},
            }
            for row in found.rows
        ],
        "folders": {name: str(folder.resolve()) for name, folder in found.folders.items()},
    }


def _print(found: Validation) -> None:
    leaning = next(row.planted for row in found.rows if row.planted)
    ends, paths = [], []
    for row in found.rows:
        planted = f"{row.planted} grows" if row.planted else "nothing"
        forecast = f"{100 * (row.forecast[-1] - row.forecast[0]):+.1f}"
        name = (row.control, row.regime)
        ends.append((*name, planted, forecast, _points(row), row.verdict.amplified))
        shares = [" ".join(f"{100 * s:.0f}" for s in path) for path in (row.forecast, row.measured)]
        paths.append((*name, *shares, f"{100 * row.apart:.0f} points"))
    print_table(
        ("control", "regime", "planted", "forecast", "found", "verdict: amplified"),
        ends,
        f"Change of the share of {leaning} since Generation 0, in points",
    )
    print_table(
        ("control", "regime", "forecast", "measured", "apart by"),
        paths,
        f"Share of {leaning} by generation, in %: forecast, measured",
    )
    print(_WHY_APART)
    for check in found.checks:
        print(f"{'passed' if check.passed else 'FAILED'}: {check.asked} ({check.found})")
    for name, folder in found.folders.items():
        answer = answer_of(folder / "report.html") or {"sentence": ""}
        print(f"{name} control: {answer['sentence']} {folder.resolve()}")
    failed = sum(not check.passed for check in found.checks)
    if failed:
        print(f"the instrument FAILED: {failed} of {len(found.checks)} checks")
    else:
        print(f"the instrument passed: {len(found.checks)} of {len(found.checks)} checks")


def _points(row: Row) -> str:
    change = row.verdict.leaning_change
    if change is None:
        return "withheld"
    ends = f"{100 * change.low:.1f} to {100 * change.high:.1f}"
    return f"{100 * change.value:+.1f} ({ends})"
