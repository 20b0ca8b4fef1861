"""The neurons of a run: which go with bias, whether they cause it, a model without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from biasloop.api.runs import Run, as_config, run_plan
from biasloop.assets import cache_folder
from biasloop.config import Config, with_edits
from biasloop.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from biasloop.loop import Listener, Results
    from biasloop.neurons import Ablation, AssociationFindings
    from biasloop.report.intervention import InterventionShown


def _followed(results: Results) -> str:
    from biasloop.analysis import followed_leaning

    return f"leaning:{followed_leaning(results.config, results.labels)}"


def find_neurons(
    runs: Run | Sequence[Run],
    metrics: Sequence[str] = (),
    quantity: str = "weight",
    site: str = "mlp_out",
    method: str = "differences",
    include_withheld: bool = False,
    out: str | Path | None = None,
) -> AssociationFindings:
    """Say which neurons go with bias, which with quality, and how far the two sets meet.

    Parameters
    ----------
    runs
        One run, or several of one base model.
    metrics
        One or two, such as ``leaning:left``; none takes the followed leaning and quality.
    quantity, site, method, include_withheld
        See `neurons.find`.
    out
        A folder for tables and figures; None writes nothing.
    """
    from biasloop.neurons import find, write_findings

    results = [run.results for run in ([runs] if isinstance(runs, Run) else runs)]
    names = list(metrics) or [_followed(results[0]), "quality"]
    found = find(results, names, quantity, site, method, include_withheld)
    if out is not None:
        write_findings(Path(out), found)
    return found


def _associations(run: Run, source: str | Path | None) -> pl.DataFrame:
    from biasloop.neurons import ASSOCIATIONS_FILE, read_associations

    return read_associations(
        Path(source) if source is not None else run.folder / "neurons" / ASSOCIATIONS_FILE
    )


def ablate(
    run: Run,
    source: str | Path | None = None,
    metric: str | None = None,
    top: int = 20,
    intervention: str = "restore",
    leaning: str | None = None,
    regime: str | None = None,
    seed: int | None = None,
    generation: int | None = None,
    draws: int = 20,
    articles: int | None = None,
    recompute: bool = False,
    out: str | Path | None = None,
    listen: Listener | None = None,
    on_set: Callable[[int, int], None] | None = None,
) -> Ablation:
    """Edit the neurons that go with bias, write and score again, and say whether they cause it.

    Parameters
    ----------
    run
        The run.
    source
        A table of associations; None takes what `find_neurons` wrote into the run's ``neurons``.
    metric, leaning
        Whose neurons, and the bias that is measured; None takes the followed leaning.
    regime, seed, generation
        The model; None takes the config's first, and the last generation.
    top, intervention, draws, articles, recompute, listen, on_set
        See `neurons.ablate`.
    out
        A folder for the results; None writes nothing.

    Raises
    ------
    InputError
        If the run has no such model or neurons.
    """
    from biasloop.loop import silent
    from biasloop.neurons import ablate as check
    from biasloop.neurons import place_of, write_ablation

    results = run.results
    name = metric or _followed(results)
    if leaning is None:
        leaning = (name if name.startswith("leaning:") else _followed(results))[8:]
    elif leaning not in results.labels:
        raise InputError(f"--leaning {leaning}: the run has {', '.join(results.labels)}")
    found = check(
        results,
        _associations(run, source),
        name,
        leaning,
        cache_folder(),
        place_of(results, regime, seed, generation),
        top=top,
        intervention=intervention,
        draws=draws,
        articles=articles,
        recompute=recompute,
        listen=listen or silent,
        on_set=on_set,
    )
    if out is not None:
        write_ablation(Path(out), found)
    return found


def intervene(
    config: Config | Mapping[str, Any] | str | Path,
    associations: str | Path,
    generation: int = 1,
    only: bool = False,
    draws: int = 5,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    listen: Listener | None = None,
    executor: Literal["local", "ray"] = "local",
    reuse: Sequence[str | Path] = (),
    **settings: Any,  # noqa: ANN401 - `config.with_edits` checks them
) -> tuple[Run, InterventionShown]:
    """Edit associated neurons in the loop, and random ones, and say whether growth after it stops.

    Parameters
    ----------
    config, out, overrides, listen, executor, reuse
        As in `run`; by default the folder is ``runs/NAME-intervention``.
    associations
        The table that `find_neurons` wrote, found in chains of other seeds.
    generation, only, draws, **settings
        As in `config.with_edits`.

    Raises
    ------
    InputError
        If the neurons were found in models that the edit would be judged by, or see `run`.
    """
    from biasloop.loop import make_plan
    from biasloop.neurons import refuse_own_models

    file = str(associations)
    chosen = with_edits(as_config(config, overrides), file, generation, only, draws, **settings)
    plan = make_plan(chosen)
    made = {stage.key: stage.name for stage in plan.finetuned.values()}
    refuse_own_models(Path(file), made)
    finished = run_plan(plan, out, listen, executor, reuse=reuse)
    return finished, finished.intervention()


def export_model(
    run: Run,
    out: str | Path,
    source: str | Path | None = None,
    metric: str | None = None,
    top: int = 20,
    intervention: str = "restore",
    regime: str | None = None,
    seed: int | None = None,
    generation: int | None = None,
    recompute: bool = False,
    listen: Listener | None = None,
) -> Path:
    """Write a model of a run, its bias neurons edited, in transformers format; return the folder.

    Parameters
    ----------
    run, source, metric, intervention, regime, seed, generation, recompute, listen
        As in `ablate`.
    out
        A new folder.
    top
        How many neurons to edit; 0 writes the model as it is.

    Raises
    ------
    InputError
        If the folder is there, or the run has no such model or neurons.
    """
    from biasloop.files import new_folder, write_json
    from biasloop.loop import silent
    from biasloop.neurons import export as write_model
    from biasloop.neurons import place_of

    if Path(out).exists():
        raise InputError(f"{out}: is there already; give a new folder")
    results = run.results
    name = metric or (_followed(results) if top else "")
    place = place_of(results, regime, seed, generation)
    with new_folder(Path(out)) as folder:
        units = write_model(
            results,
            folder,
            cache_folder(),
            place,
            _associations(run, source) if top else None,
            name,
            top,
            intervention,
            recompute,
            listen or silent,
        )
        write_json(
            folder / "biasloop-edit.json",
            {
                "run": results.config.name,
                "config_sha256": results.provenance.get("config_sha256"),
                "regime": place[0],
                "seed": place[1],
                "generation": place[2],
                "metric": name,
                "intervention": intervention if units else None,
                "neurons": [[layer, int(unit)] for layer, own in units.items() for unit in own],
            },
        )
    return Path(out)
