"""Each stage's speed on this machine, beside a plain baseline.

Run: python benchmarks/speed.py [--help].
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from biasloop.device import cores
from biasloop.errors import BiasloopError, InputError, nearest
from biasloop.files import write_json
from stage_speed import BENCHMARKS, BenchSettings, Figure
from stage_speed.machine import describe, use_threads


def speed(
    stage: Annotated[
        list[str] | None, typer.Option("--stage", help="only this one; may be given again")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="demo, gpt2-size (both with random weights), a folder, an asset or a hub id; may "
            "be given again [default: gpt2-size, demo]",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="less exactly, in a minute")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="that torch uses [default: one per core]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of made-up weights and texts")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures here")] = None,
) -> None:
    """Measure each stage's speed on this machine, beside a plain baseline and the machine's limit.

    See docs/speed.md for what is measured.
    """
    for name in stage or ():
        if name not in BENCHMARKS:
            raise InputError(f"--stage: '{name}': {nearest(name, BENCHMARKS)}")
    if json_file is not None and not json_file.parent.is_dir():
        raise InputError(f"--json: {json_file.parent}: no such folder")
    used = threads or cores()
    use_threads(used)
    console = Console()
    machine = describe(used)
    console.print(machine.sentence, highlight=False)
    found: dict[str, list[Figure]] = {}
    for name in model or ("gpt2-size", "demo"):
        settings = BenchSettings(name, quick, used, seed)
        found[name] = []
        for key, measure in BENCHMARKS.items():
            if stage and key not in stage:
                continue
            figures = measure(settings)
            found[name] += figures
            if figures:
                console.print(_table(name, figures))
            for figure in figures:
                if figure.note:
                    console.print(f"{figure.what}: {figure.note}", highlight=False, markup=False)
    if json_file is not None:
        write_json(
            json_file,
            {
                "machine": machine.as_dict(),
                "quick": quick,
                "seed": seed,
                "figures": [
                    {"model": name, **figure.as_dict()}
                    for name, figures in found.items()
                    for figure in figures
                ],
            },
        )
        console.print(f"written: {json_file}", highlight=False, soft_wrap=True)


def _table(model: str, figures: list[Figure]) -> Table:
    table = Table(title=f"model: {escape(model)}", title_justify="left", box=None)
    for heading in ("stage", "what", "speed", "baseline", "ratio", "wanted", "of peak", "at peak"):
        numeric = heading not in {"stage", "what", "baseline"}
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for figure in figures:
        wanted, share, most = figure.wanted, figure.peak_share, figure.ratio_at_peak
        table.add_row(
            figure.stage,
            escape(figure.what),
            f"{_three_digits(figure.speed)} {escape(figure.unit)}",
            escape(figure.baseline_name),
            f"{figure.ratio:.1f}x",
            "" if wanted is None else f"{wanted:g}x",
            "" if share is None else f"{100 * share:.0f} %",
            "" if most is None else f"{most:.1f}x",
        )
    return table


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    try:
        typer.run(speed)
    except BiasloopError as error:
        sys.exit(f"speed: {error}")
