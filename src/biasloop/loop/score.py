"""Score any articles with a run's instruments, or with ones fitted for a config. Trains nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from biasloop.config import Config
from biasloop.errors import InputError
from biasloop.loop.plan import Plan, make_plan
from biasloop.loop.run import read_config, read_contents
from biasloop.loop.store import Store
from biasloop.loop.work import fit_context
from biasloop.metrics import Metric, metric_kind
from biasloop.tables import ARTICLES

Tables = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


def score_articles(
    articles: pl.DataFrame,
    metrics: tuple[str, ...],
    folder: Path | None,
    config: Config | None,
    cache: Path,
) -> Tables:
    """Score ``articles`` (`tables.ARTICLES`) for each of ``metrics``.

    Raises
    ------
    InputError
        If neither or both of ``folder`` and ``config`` are given, a metric is unknown, or the
        run does not have an instrument.
    """
    if (folder is None) == (config is None):
        raise InputError(
            "score needs instruments: give either a run that has them (--run RUN) or a config to "
            "fit them for (--config CONFIG)"
        )
    for metric in metrics:
        metric_kind(metric)
    chosen = config or read_config(folder or Path())
    chosen = chosen.model_copy(
        update={"metrics": chosen.metrics.model_copy(update={"names": metrics})}
    )
    plan = make_plan(chosen, read_contents(folder) if folder else None)
    if folder is not None:
        store = Store(folder, cache)
        return scored_by(_loaded(chosen, store, plan), articles)
    with tempfile.TemporaryDirectory(prefix="biasloop-score-") as temporary:
        store = Store(Path(temporary), cache)
        wanted = [plan.corpus, *plan.instruments.values()]
        if "perplexity" in metrics:
            wanted.insert(1, plan.base)
        for stage in wanted:
            if not store.has(stage):
                inputs = {name: store.path(source) for name, source in stage.inputs.items()}
                with store.writing(stage) as out:
                    stage.work(out, inputs, lambda tokens: None)
                    store.record(stage, out, 0.0)
        return scored_by(_loaded(chosen, store, plan), articles)


def instruments_of(folder: Path, metrics: Sequence[str], cache: Path) -> list[Metric]:
    """Load a run's instruments, to score many sets of articles with.

    Raises
    ------
    InputError
        If the folder is not a run, or does not have one of them.
    """
    config = read_config(folder)
    config = config.model_copy(
        update={"metrics": config.metrics.model_copy(update={"names": tuple(metrics)})}
    )
    return _loaded(config, Store(folder, cache), make_plan(config, read_contents(folder)))


def scored_by(instruments: Sequence[Metric], articles: pl.DataFrame) -> Tables:
    """Score ``articles`` (`tables.ARTICLES`) with every instrument."""
    parts = [instrument.score(articles) for instrument in instruments]
    return (
        pl.concat([part.scores for part in parts]),
        pl.concat([part.leaning_scores for part in parts]),
        pl.concat([part.set_scores for part in parts]),
    )


def _loaded(config: Config, store: Store, plan: Plan) -> list[Metric]:
    inputs = {"corpus": store.path(plan.corpus), "base": store.path(plan.base)}
    none = pl.DataFrame(schema=ARTICLES)
    loaded = []
    for metric, stage in plan.instruments.items():
        if not store.has(stage):
            raise InputError(f"{store.root}: has no instrument for '{metric}': run it first")
        context = fit_context(config, inputs, none)
        loaded.append(metric_kind(metric).load(context, store.path(stage) / "instrument"))
    return loaded
