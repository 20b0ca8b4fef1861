"""`biasloop neurons`, `ablate`, `intervene`, `export` and `push`: a run's models."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import biasloop as bl
from biasloop.cli.answer import print_shown
from biasloop.cli.progress import counter, listener
from biasloop.cli.run import (
    AsEvents,
    ConfigFile,
    DryRun,
    Executor,
    Overrides,
    Reuse,
    RunPlace,
    show_cost,
)
from biasloop.errors import InputError

if TYPE_CHECKING:
    from biasloop.loop import Listener

_Metric = Annotated[
    str | None,
    typer.Option(help="whose neurons: leaning:LABEL, quality, ... [default: the followed leaning]"),
]
_Intervention = Annotated[
    str,
    typer.Option(help="restore: back to Generation 0's weights; mean: held at the mean activation"),
]
_Source = Annotated[
    str,
    typer.Option("--from", help="'associations' (what 'biasloop neurons RUN' wrote), or a file"),
]
_Regime = Annotated[str | None, typer.Option(help="of the model [default: the config's first]")]
_Seed = Annotated[int | None, typer.Option(help="of the model [default: the config's first]")]
_Generation = Annotated[int | None, typer.Option(help="of the model [default: the last]")]
_Recompute = Annotated[
    bool, typer.Option("--recompute", help="train models whose weights were deleted again")
]


def neurons(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="run folders or URLs, of one base model")
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="leaning:LABEL, quality, holdout_perplexity, ...; twice for an overlap "
            "[default: the followed leaning and quality]"
        ),
    ] = None,
    quantity: Annotated[
        str, typer.Option(help="weight or activation (their means), or any other recorded")
    ] = "weight",
    site: Annotated[str, typer.Option(help="mlp_out, mlp_hidden or resid_post")] = "mlp_out",
    method: Annotated[
        str,
        typer.Option(
            help="how p-values are made: differences, permutation, published (the paper's) or "
            "another of docs/neurons.md"
        ),
    ] = "differences",
    include_withheld: Annotated[
        bool,
        typer.Option(
            "--include-withheld", help="let versions in whose leaning figures are withheld"
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="a folder for the results [default: RUN/neurons]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the counts as JSON")] = False,
) -> None:
    """Say which neurons go with bias, which with quality, and how far the two sets meet."""
    from biasloop.report.neurons import associations_json, associations_section, section_lines
    from biasloop.report.summary_json import strict

    opened = [bl.load_run(run) for run in runs]
    if out is None and len(runs) > 1:
        raise InputError("several runs have no folder of their own for the results: give --out DIR")
    folder = out or opened[0].folder / "neurons"
    found = bl.find_neurons(
        opened, metric or (), quantity, site, method, include_withheld, out=folder
    )
    report = opened[0].report() if out is None else None
    if as_json:
        print(json.dumps(strict(associations_json(found))))
        return
    print("\n".join(section_lines(associations_section(found))))
    print(f"associations: {folder.resolve()}")
    if report:
        print(f"report: {report.resolve()}")


def ablate(
    run: RunPlace,
    source: _Source = "associations",
    metric: _Metric = None,
    top: Annotated[int, typer.Option(help="how many neurons")] = 20,
    intervention: _Intervention = "restore",
    leaning: Annotated[
        str | None,
        typer.Option(help="the bias that is measured [default: --metric's, or followed]"),
    ] = None,
    regime: _Regime = None,
    seed: _Seed = None,
    generation: _Generation = None,
    draws: Annotated[
        int, typer.Option(help="random sets of as many neurons of the same layers, at least 20")
    ] = 20,
    articles: Annotated[
        int | None, typer.Option(help="prompt with so many real articles [default: all]")
    ] = None,
    recompute: _Recompute = False,
    out: Annotated[
        Path | None, typer.Option(help="a folder for the results [default: RUN/neurons]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="everything as JSON")] = False,
) -> None:
    """Edit the neurons that go with bias, write and score again, and say whether they cause it."""
    from biasloop.report.neurons import ablation_section, section_lines
    from biasloop.report.summary_json import strict

    opened = bl.load_run(run)
    folder = out or opened.folder / "neurons"
    chosen = (_file(source), metric, top, intervention, leaning, regime, seed, generation)
    on_set = None if as_json else counter("sets of neurons")
    with _listening(recompute and not as_json) as listen:
        found = bl.ablate(
            opened, *chosen, draws, articles, recompute, out=folder, listen=listen, on_set=on_set
        )
    report = opened.report() if out is None else None
    if as_json:
        print(json.dumps(strict(found.as_dict())))
        return
    print("\n".join(section_lines(ablation_section(found))))
    print(f"ablation: {(folder / 'ablation.json').resolve()}")
    if report:
        print(f"report: {report.resolve()}")


def intervene(
    config: ConfigFile,
    associations: Annotated[
        str,
        typer.Option(help="RUN/neurons/associations.parquet, of chains of other seeds"),
    ],
    generation: Annotated[int, typer.Option(help="the first whose models are edited")] = 1,
    only: Annotated[bool, typer.Option("--only", help="edit that generation alone")] = False,
    draws: Annotated[int, typer.Option(help="of as many random neurons, moved as far")] = 5,
    top: Annotated[int, typer.Option(help="how many neurons")] = 20,
    metric: _Metric = None,
    intervention: _Intervention = "restore",
    overrides: Overrides = None,
    out: Annotated[
        str | None,
        typer.Option(help="the run folder, or a URL [default: runs/NAME-intervention]"),
    ] = None,
    executor: Executor = "local",
    reuse: Reuse = None,
    dry_run: DryRun = False,
    as_json: AsEvents = False,
) -> None:
    """Edit neurons in the loop, and random ones, and say whether growth stops after it."""
    from biasloop.config import load_config, with_edits

    changes = overrides or ()
    settings = {"top": top, "metric": metric, "intervention": intervention}
    if dry_run:
        chosen = load_config(config, changes)
        show_cost(
            with_edits(chosen, associations, generation, only, draws, **settings), True, as_json
        )
        return
    with listener(as_json) as listen:
        run, found = bl.intervene(
            config, associations, generation, only, draws, out, changes, listen, executor,
            reuse or (), **settings,
        )  # fmt: skip
    if as_json:
        print(json.dumps({"event": "intervention", **found.machine}))
        return
    print_shown(found.sentence, found.columns, found.rows)
    if found.match:
        print(found.match)
    print(f"report: {run.report().resolve()}")


def export(
    run: RunPlace,
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="a new folder for the model")],
    source: _Source = "associations",
    metric: _Metric = None,
    top: Annotated[int, typer.Option(help="how many neurons to edit; 0 for none")] = 20,
    intervention: _Intervention = "restore",
    regime: _Regime = None,
    seed: _Seed = None,
    generation: _Generation = None,
    recompute: _Recompute = False,
) -> None:
    """Write a model of a run with its bias neurons edited, in transformers format."""
    chosen = (_file(source), metric, top, intervention, regime, seed, generation, recompute)
    with _listening(recompute) as listen:
        bl.export_model(bl.load_run(run), out, *chosen, listen)
    print(f"model: {out.resolve()}")


def _listening(show: bool) -> AbstractContextManager[Listener]:
    """Give what shows the stages that are run again, if any are."""
    from biasloop.loop import silent

    return listener(False) if show else nullcontext(silent)


def _file(source: str) -> Path | None:
    return None if source == "associations" else Path(source)


def push(
    run: RunPlace,
    out: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="a new folder [default: RUN/push/WHAT, anew]"),
    ] = None,
    what: Annotated[
        Literal["model", "scores"], typer.Option(help="a generation's model, or the scores")
    ] = "model",
    upload: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME", help="upload it there, with the token of `hf auth login`"
        ),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public/--private", help="who may read a new repository")
    ] = False,
    license: Annotated[str, typer.Option(help="its identifier on the hub")] = "unknown",
    regime: _Regime = None,
    seed: _Seed = None,
    generation: _Generation = None,
    recompute: _Recompute = False,
) -> None:
    """Prepare a model or the scores for the Hugging Face hub, with a card; upload it if asked."""
    options = (what, out, upload, public, license, regime, seed, generation, recompute)
    with _listening(recompute) as listen:
        found = bl.push(bl.load_run(run), *options, listen)
    print(f"{what}: {found.folder.resolve()}")
    if found.url:
        print(f"uploaded: {found.url}")
    else:
        print("nothing was uploaded: --upload OWNER/NAME does it")
