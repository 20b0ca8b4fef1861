"""Where the weights of a run's models are; deleted ones are trained again only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from biasloop.errors import InputError
from biasloop.loop.events import Listener, silent
from biasloop.loop.execute import execute, missing_stages
from biasloop.loop.plan import SetKey, make_plan
from biasloop.loop.run import read_config, read_contents
from biasloop.loop.store import Store, locked


def weights_of(
    folder: Path,
    wanted: Sequence[SetKey],
    cache: Path,
    recompute: bool = False,
    listen: Listener = silent,
) -> dict[SetKey, Path]:
    """Find the weights of some of a run's models.

    Parameters
    ----------
    folder
        A run folder.
    wanted
        Regime, seed and generation of each model.
    cache
        Of shared stages.
    recompute
        Train models whose weights were deleted again: the same bytes on the same machine.
    listen
        Told of every stage that is run for it.

    Returns
    -------
    dict
        Key -> a folder in transformers format.

    Raises
    ------
    InputError
        If the run has no such model, or its weights are not there and ``recompute`` is off.
    """
    config = read_config(folder)
    plan, store = make_plan(config, read_contents(folder)), Store(folder, cache)
    for regime, seed, generation in wanted:
        if (regime, seed, generation) not in plan.finetuned:
            regimes = ", ".join(r.label for r in config.regimes)
            seeds = ", ".join(map(str, config.loop.seeds))
            raise InputError(
                f"{folder}: has no model of regime '{regime}', seed {seed}, generation "
                f"{generation}; it has the regimes {regimes}, the seeds {seeds} and the "
                f"generations 0 to {config.loop.generations}"
            )
    stages = {key: plan.finetuned[key] for key in wanted}
    absent = [key for key, stage in stages.items() if not store.has(stage)]
    if absent and not recompute:
        names = ", ".join(f"{regime} seed {s} generation {g}" for regime, s, g in absent)
        count = sum(s.kind == "finetune" for s in missing_stages(plan, store, [*stages.values()]))
        raise InputError(
            f"{folder}: the weights of {names} are not there (loop.keep_models: "
            f"{config.loop.keep_models}); --recompute trains {count} "
            f"{'model' if count == 1 else 'models'} again"
        )
    if absent:
        with locked(folder):
            execute(plan, store, listen, [*stages.values()])
    return {key: store.checked(stage) / "model" for key, stage in stages.items()}
