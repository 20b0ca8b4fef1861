"""`biasloop run` and `biasloop report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from biasloop.cli.answer import answer_of, show
from biasloop.cli.progress import listener

if TYPE_CHECKING:
    from biasloop.config import Config


ConfigFile = Annotated[str, typer.Argument(help="a YAML file, or the name of an example: demo")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="change one setting: loop.generations=3"),
]
Reuse = Annotated[
    list[str] | None,
    typer.Option(metavar="RUN", help="take what is finished in another run; repeatable"),
]
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
    from biasloop import api

    if dry_run:
        from biasloop.config import load_config

        show_cost(load_config(config, overrides or ()), calibrate, as_json)
        return
    with listener(as_json) as listen:
        finished = api.run(config, out, overrides or (), listen, executor, address, reuse or ())
    path = finished.current_report()
    answer = answer_of(path) if path else None
    if path is None or answer is None:
        path = finished.report()
        answer = answer_of(path) or {}
    if as_json:
        import json

        event = {"event": "report", "path": str(path.resolve()), "answer": answer}
        print(json.dumps(event, ensure_ascii=False))
    else:
        show(answer, path)


def show_cost(checked: Config, measure: bool, as_json: bool) -> None:
    """Say what a run would cost; with ``measure`` in hours on this machine, too."""
    import json
    from dataclasses import asdict

    from biasloop.loop import estimate, gather, measure_throughput

    material = gather(checked)
    cost = estimate(checked, material)
    speeds = measure_throughput(checked, material) if measure else None
    hours = speeds.hours(cost) if speeds else None
    if as_json:
        print(
            json.dumps(
                {
                    **asdict(cost),
                    "operations": cost.operations,
                    "speeds": asdict(speeds) if speeds else None,
                    "hours": hours,
                }
            )
        )
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


def report(
    folder: Annotated[
        str, typer.Argument(metavar="RUN", help="a run folder or its URL, finished or not")
    ],
) -> None:
    """Write a run's report again, from what the run has so far."""
    from biasloop import api

    path = api.load_run(folder).report()
    show(answer_of(path) or {}, path)
