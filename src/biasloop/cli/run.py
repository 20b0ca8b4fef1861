"""`biasloop run`, `report`, `compare`, `verify` and `clean`: runs and their folders."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import biasloop as bl
from biasloop.cli.answer import answer_of, print_table, show
from biasloop.cli.progress import listener
from biasloop.errors import InputError, StoreError

if TYPE_CHECKING:
    from biasloop.config import Config


RunPlace = Annotated[str, typer.Argument(metavar="RUN", help="a run folder or its URL")]
RunBegun = Annotated[
    str, typer.Argument(metavar="RUN", help="a run folder or its URL, finished or not")
]
ConfigFile = Annotated[str, typer.Argument(help="a YAML file, or the name of an example: demo")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="change one setting: loop.generations=3"),
]
Reuse = Annotated[
    list[str] | None,
    typer.Option(metavar="RUN", help="take what is finished in another run; repeatable"),
]
Executor = Annotated[Literal["local", "ray"], typer.Option(help="as of biasloop run")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what it would cost, and run nothing")]
AsEvents = Annotated[bool, typer.Option("--json", help="one JSON object per event")]


def run(
    config: ConfigFile,
    overrides: Overrides = None,
    out: Annotated[
        str | None,
        typer.Option(help="the run folder, or a URL: s3://BUCKET/RUN [default: runs/NAME]"),
    ] = None,
    executor: Annotated[
        Literal["local", "ray"],
        typer.Option(help="ray: stages side by side on a cluster; see docs/scaling.md"),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="of the Ray cluster [default: RAY_ADDRESS, else this machine]"),
    ] = None,
    reuse: Reuse = None,
    dry_run: DryRun = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate/--no-calibrate",
            help="with --dry-run: measure this machine for half a minute, for the hours",
        ),
    ] = True,
    as_json: AsEvents = False,
) -> None:
    """Run an experiment, or go on with it where it stopped, and write its report."""
    if dry_run:
        from biasloop.config import load_config

        show_cost(load_config(config, overrides or ()), calibrate, as_json)
        return
    with listener(as_json) as listen:
        finished = bl.run(config, out, overrides or (), listen, executor, address, reuse or ())
    path = finished.current_report()
    answer = answer_of(path) if path else None
    if path is None or answer is None:
        path = finished.report()
        answer = answer_of(path) or {}
    if as_json:
        event = {"event": "report", "path": str(path.resolve()), "answer": answer}
        print(json.dumps(event, ensure_ascii=False))
    else:
        show(answer, path)


def show_cost(checked: Config, measure: bool, as_json: bool) -> None:
    """Say what a run would cost; with ``measure`` in hours on this machine, too."""
    from biasloop.loop import estimate, gather, measure_throughput

    material = gather(checked)
    cost = estimate(checked, material)
    speeds = measure_throughput(checked, material) if measure else None
    hours = speeds.hours(cost) if speeds else None
    if as_json:
        measured = {"speeds": asdict(speeds) if speeds else None, "hours": hours}
        print(json.dumps({**asdict(cost), "operations": cost.operations, **measured}))
        return
    print(f"{checked.name}: {cost.articles:,} real articles, {cost.parameters:,} parameters")
    kinds = ", ".join(f"{count} {kind}" for kind, count in cost.stages.items())
    print(f"stages: {sum(cost.stages.values())} ({kinds})")
    own = ", ".join(f"{count} {regime}" for regime, count in cost.regimes.items())
    print(f"models to fine-tune: {sum(cost.regimes.values())} ({own}; shared ones once)")
    print(
        f"one set of articles: {cost.real_tokens:,} tokens if real, "
        f"{cost.synthetic_tokens:,} if synthetic"
    )
    total = sum(cost.train_tokens.values())
    parts = ", ".join(f"{what} {count:,}" for what, count in cost.train_tokens.items())
    print(f"tokens to train, epochs included: {total:,} ({parts})")
    print(f"tokens to generate: {cost.generate_tokens:,}, of {cost.prompt_tokens:,} of prompts")
    print(f"tokens to read, for perplexity and neurons: {cost.read_tokens:,}")
    work = ", ".join(f"{what} {count:.2g}" for what, count in cost.operations.items())
    print(f"floating-point operations: {sum(cost.operations.values()):.3g} ({work})")
    ends = f"{cost.disk_bytes / 1e9:,.2f} GB at the end, {cost.peak_bytes / 1e9:,.2f} GB at most"
    print(f"disk: {ends}")
    if speeds and hours is not None:
        print(
            f"about {_duration(hours)} on this machine: {speeds.train:,.0f} tokens/s in training, "
            f"{speeds.generate:,.0f} in generation, {speeds.read:,.0f} in reading (measured for "
            f"{speeds.seconds:.0f} s; scoring by the classifiers comes on top)"
        )


def _duration(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.0f} minutes" if hours > 1 / 30 else "a minute or two"
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"


def report(run: RunBegun) -> None:
    """Write a run's report again, from what the run has so far."""
    path = bl.load_run(run).report()
    show(answer_of(path) or {}, path)


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="run folders, or their URLs")],
    out: Annotated[
        Path | None, typer.Option(help="write one page with the table and a figure here")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Put several runs, of other models or decodings, into one table and figure."""
    from biasloop.files import write_text
    from biasloop.report.compare import comparison_page
    from biasloop.report.summary_json import strict

    opened = {}
    for place in runs:
        run = bl.load_run(place)
        name = place.rstrip("/").rpartition("/")[2] or run.folder.name
        if name in opened:
            name = place
        if name in opened:
            raise InputError(f"{place}: is given twice")
        opened[name] = run
    found = bl.compare(opened)
    if out is not None:
        if out.exists() and not out.is_file():
            raise InputError(f"--out {out}: is no file")
        write_text(out, comparison_page(found, list(opened)))
    rows = [[asdict(entry) for entry in row] for row in found.rows]
    if as_json:
        told = {"differences": found.differences, "note": found.note}
        content = {"runs": list(opened), "columns": found.columns, "rows": rows, **told}
        typer.echo(json.dumps(strict(content)))
        return
    print_table(found.columns, rows)
    for key, values in found.differences.items():
        typer.echo(f"{key}: {' | '.join(values)}")
    if found.note:
        typer.echo(found.note)
    if out is not None:
        typer.echo(f"page: {out.resolve()}")


def verify(
    run: RunBegun,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="remove what is damaged; 'biasloop run' then makes it again"),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Hold every file of a run against the SHA-256 that was recorded when it was written."""
    found = bl.verify(run, repair)
    if as_json:
        print(json.dumps(asdict(found), default=str))
    else:
        print(
            f"{run}: {found.stages} finished stages, {found.files} files, "
            f"{found.bytes / 1e6:,.1f} MB; {found.missing} stages not computed yet"
        )
        for damage in found.damages:
            print(damage)
        if found.sound:
            print("every file is as it was written")
    if found.repaired:
        if not as_json:
            print("what was damaged is removed: the run's own command makes it again")
    elif not found.sound:
        raise StoreError(
            f"{run}: {len(found.damages)} files are damaged; --repair removes their stages, and "
            "the run's own command makes them again"
        )


def clean(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be deleted, and delete nothing")
    ] = False,
) -> None:
    """Delete what the run's config no longer needs, such as the stages of a removed regime."""
    found = bl.clean(run, dry_run)
    size = sum(bytes for _, bytes in found)
    for name, _ in found:
        print(name)
    would = "would be deleted" if dry_run else "deleted"
    print(f"{run}: {len(found)} stages, {size / 1e6:,.1f} MB {would}")
