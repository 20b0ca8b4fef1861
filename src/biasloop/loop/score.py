"""Score any articles with a run's instruments, or with ones fitted for a config. Trains nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from biasloop.config import Config
from biasloop.errors import InputError
from biasloop.loop.plan import make_plan
from biasloop.loop.run import read_config, read_contents
from biasloop.loop.stage import Stage
from biasloop.loop.store import Store
from biasloop.loop.work import fit_context
from biasloop.metrics import metric_kind
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
        return _scored(
            articles,
            metrics,
            chosen,
            Store(folder, cache),
            plan.corpus,
            plan.base,
            plan.instruments,
        )
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
        return _scored(articles, metrics, chosen, store, plan.corpus, plan.base, plan.instruments)


def _scored(
    articles: pl.DataFrame,
    metrics: tuple[str, ...],
    config: Config,
    store: Store,
    corpus: Stage,
    base: Stage,
    instruments: Mapping[str, Stage],
) -> Tables:
    inputs = {"corpus": store.path(corpus), "base": store.path(base)}
    none = pl.DataFrame(schema=ARTICLES)
    parts = []
    for metric in metrics:
        stage = instruments[metric]
        if not store.has(stage):
            raise InputError(f"{store.root}: has no instrument for '{metric}': run it first")
        loaded = metric_kind(metric).load(
            fit_context(config, inputs, none), store.path(stage) / "instrument"
        )
        parts.append(loaded.score(articles))
    return (
        pl.concat([part.scores for part in parts]),
        pl.concat([part.leaning_scores for part in parts]),
        pl.concat([part.set_scores for part in parts]),
    )
