"""A run's model or scores as a repository of the Hugging Face hub."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from biasloop.api.runs import Run
from biasloop.assets import cache_folder
from biasloop.errors import InputError
from biasloop.files import new_folder, write_json, write_text

if TYPE_CHECKING:
    from biasloop.loop import Listener


@dataclass(frozen=True)
class Pushed:
    """What was prepared, and where it was uploaded to.

    Attributes
    ----------
    folder
        The repository's files, with the card as ``README.md``.
    url
        Of its page; None where nothing was uploaded.
    """

    folder: Path
    url: str | None = None


def push(
    run: Run,
    what: Literal["model", "scores"] = "model",
    out: str | Path | None = None,
    upload: str | None = None,
    public: bool = False,
    license: str = "unknown",
    regime: str | None = None,
    seed: int | None = None,
    generation: int | None = None,
    recompute: bool = False,
    listen: Listener | None = None,
) -> Pushed:
    """Prepare a generation's model, or the tables of scores, for the hub; upload it if asked.

    Its card says what the run found.

    Parameters
    ----------
    run
        The run.
    what
        ``model`` or ``scores``.
    out
        A new folder; None takes ``push/WHAT`` in the run's, made anew.
    upload
        OWNER/NAME on the hub; None uploads nothing. The token is that of ``hf auth login``, or in
        HF_TOKEN.
    public
        Whether anybody may read a new repository.
    license
        The identifier of the hub for it.
    regime, seed, generation
        The model; None takes the config's first, and the last generation.
    recompute, listen
        See `neurons.export`.

    Raises
    ------
    InputError
        If the folder is there, the run has no such model or scores, or the upload is refused; what
        was prepared is then kept.
    """
    from biasloop.hub import RECORD
    from biasloop.hub import upload as send
    from biasloop.report.hub_card import Subject, card
    from biasloop.tables import write_table

    results = run.results
    tables = {name: f"{name}.parquet" for name in ("scores", "leaning_scores", "set_scores")}
    place = None
    if what == "model":
        from biasloop.neurons import place_of

        place = place_of(results, regime, seed, generation, least=0)
    elif what != "scores":
        raise InputError(f"push: '{what}': there are model and scores")
    elif {regime, seed, generation} != {None}:
        raise InputError("push: --regime, --seed and --generation are of a model, not of scores")
    folder = Path(out) if out is not None else run.folder / "push" / what
    if out is not None and folder.exists():
        raise InputError(f"{out}: is there already; give a new folder")
    path = run.current_report() or run.report()
    summary = json.loads(path.with_name("summary.json").read_text(encoding="utf-8"))
    about = Subject(place, _base_on_hub(run), license, {} if place else tables)
    if out is None and folder.exists():
        shutil.rmtree(folder)
    with new_folder(folder) as files:
        if place:
            from biasloop.loop import silent
            from biasloop.neurons import export as write_model

            write_model(
                results, files, cache_folder(), place, recompute=recompute, listen=listen or silent
            )
        else:
            for name, file in tables.items():
                write_table(files / file, getattr(results, name))
        write_text(files / "README.md", card(results, summary, run.verdicts(), about))
        record = {"run": results.config.name, "what": what, "place": place}
        hashed = {"config_sha256": results.provenance.get("config_sha256")}
        write_json(files / RECORD, record | hashed)
    if upload is None:
        return Pushed(folder)
    message = f"{what} of the biasloop run {results.config.name}"
    kind = "model" if place else "dataset"
    return Pushed(folder, send(folder, upload, kind, public, message))


def _base_on_hub(run: Run) -> str | None:
    """Return the id of the base model, or of the one under its adapter, where it is on the hub."""
    from biasloop.loop import read_contents

    content = read_contents(run.folder).get("base")
    content = content.get("base", content) if isinstance(content, dict) else content
    return content.get("hub") if isinstance(content, dict) else None
