"""`biasloop push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def push(
    run: Annotated[str, typer.Argument(metavar="RUN", help="a run folder or its URL")],
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
    regime: Annotated[
        str | None, typer.Option(help="of the model [default: the config's first]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="of the model [default: the config's first]")
    ] = None,
    generation: Annotated[int | None, typer.Option(help="of the model [default: the last]")] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="train a model whose weights were deleted again")
    ] = False,
) -> None:
    """Prepare a model or the scores for the Hugging Face hub, with a card; upload it if asked."""
    from biasloop import api
    from biasloop.cli.progress import listener
    from biasloop.loop import silent

    opened = api.load_run(run)
    options = (what, out, upload, public, license, regime, seed, generation, recompute)
    if recompute:
        with listener(False) as listen:
            found = api.push(opened, *options, listen)
    else:
        found = api.push(opened, *options, silent)
    print(f"{what}: {found.folder.resolve()}")
    if found.url:
        print(f"uploaded: {found.url}")
    else:
        print("nothing was uploaded: --upload OWNER/NAME does it")
