"""A run's models and instruments, for use beyond the run; instruments fitted without a run.

Trains a language model only where deleted weights are asked for again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from biasloop.config import AxisConfig, Config, LmEvalConfig
from biasloop.corpus.split import PARTED_ARTICLES
from biasloop.errors import InputError, nearest
from biasloop.loop.execute import Listener, execute, missing_stages, perform, silent
from biasloop.loop.generation_stages import read_labels
from biasloop.loop.plan import Plan, SetKey, contents_of, make_plan
from biasloop.loop.results import read_cards
from biasloop.loop.run import read_config, read_contents, read_plan
from biasloop.loop.store import Store, locked
from biasloop.metrics import metric_kind
from biasloop.metrics.base import Metric
from biasloop.metrics.leaning import mentioning
from biasloop.tables import ARTICLES, conform, read_table

Tables = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


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
    folder, cache
        The run folder, and the cache of shared stages.
    wanted
        Regime, seed and generation of each model.
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
    plan, store = read_plan(folder), Store(folder, cache)
    loop = plan.config.loop
    for regime, seed, generation in wanted:
        if (regime, seed, generation) not in plan.finetuned:
            regimes = ", ".join(regime.label for regime in plan.config.regimes)
            raise InputError(
                f"{folder}: has no model of regime '{regime}', seed {seed}, generation "
                f"{generation}; it has the regimes {regimes}, the seeds "
                f"{', '.join(map(str, loop.seeds))} and the generations 0 to {loop.generations}"
            )
    stages = {key: plan.finetuned[key] for key in wanted}
    absent = [key for key, stage in stages.items() if not store.has(stage)]
    if absent and not recompute:
        names = ", ".join(f"{regime} seed {s} generation {g}" for regime, s, g in absent)
        count = sum(s.kind == "finetune" for s in missing_stages(plan, store, [*stages.values()]))
        raise InputError(
            f"{folder}: the weights of {names} are not there (loop.keep_models: "
            f"{loop.keep_models}); --recompute trains {count} "
            f"{'model' if count == 1 else 'models'} again"
        )
    if absent:
        with locked(folder):
            execute(plan, store, listen, [*stages.values()])
    return {key: store.checked(stage) / "model" for key, stage in stages.items()}


def instruments_of(
    folder: Path, metrics: Sequence[str], cache: Path, axis: str | None = None
) -> list[Metric]:
    """Load a run's instruments, to score many sets of articles with; ``leaning`` is of ``axis``.

    Raises
    ------
    InputError
        If the folder is not a run, or does not have one of them.
    """
    config, contents = _only(metrics, _on(axis, read_config(folder))), read_contents(folder)
    if axis:
        own = {**contents["instruments"], "leaning": contents["axes"][axis]}
        contents = {**contents, "instruments": own}
    return _loaded(Store(folder, cache), make_plan(config, contents))


def _on(axis: str | None, config: Config) -> Config:
    """Put a further axis in the main one's place."""
    if axis is None:
        return config
    if axis not in config.axes:
        raise InputError(f"there is no axis '{axis}' in metrics.axes; {nearest(axis, config.axes)}")
    return config.axes[axis]


def _only(metrics: Sequence[str], config: Config) -> Config:
    """Let a config name these metrics only, which are of text."""
    for metric in metrics:
        metric_kind(metric)
    names = {"names": tuple(metrics), "lm_eval": LmEvalConfig(), "axes": ()}
    return config.model_copy(update={"metrics": config.metrics.model_copy(update=names)})


def _loaded(store: Store, plan: Plan) -> list[Metric]:
    paths = {"corpus": store.checked(plan.corpus), "base": store.path(plan.base)}
    loaded = []
    for metric, stage in plan.instruments.items():
        if not store.has(stage):
            raise InputError(f"{store.root}: has no instrument for '{metric}': run it first")
        loaded.append(stage.load(paths, store.checked(stage)))
    return loaded


@contextmanager
def _fitted(config: Config, cache: Path) -> Generator[tuple[Store, Plan]]:
    """Fit a config's instruments, or take them from the cache; yield the store that has them."""
    config = _only(config.metrics.names, config)
    reads_base = "perplexity" in config.metrics.names
    plan = make_plan(config, contents_of(config, reads_base))
    with tempfile.TemporaryDirectory(prefix="biasloop-score-") as temporary:
        store = Store(Path(temporary), cache, share=True)
        base = [plan.base] if reads_base else []
        for stage in [plan.corpus, *base, *plan.instruments.values()]:
            if not store.has(stage):
                perform(stage, store, lambda tokens: None)
        yield store, plan


def scored_by(instruments: Sequence[Metric], articles: pl.DataFrame) -> Tables:
    """Score ``articles`` (`tables.ARTICLES`) with every instrument."""
    parts = [instrument.score(articles) for instrument in instruments]
    return (
        pl.concat([part.scores for part in parts]),
        pl.concat([part.leaning_scores for part in parts]),
        pl.concat([part.set_scores for part in parts]),
    )


def score_articles(
    articles: pl.DataFrame,
    metrics: tuple[str, ...],
    folder: Path | None,
    config: Config | None,
    cache: Path,
    axis: str | None = None,
) -> Tables:
    """Score ``articles`` (`tables.ARTICLES`) by a run's instruments, or ones fitted for a config.

    ``axis`` names a further axis, which ``leaning`` then is of.

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
    if config is None:
        return scored_by(instruments_of(folder or Path(), metrics, cache, axis), articles)
    with _fitted(_only(metrics, _on(axis, config)), cache) as (store, plan):
        return scored_by(_loaded(store, plan), articles)


@dataclass(frozen=True)
class ScoredSets:
    """Articles, and the real ones that the instruments have not seen, scored alike.

    Attributes
    ----------
    labels
        The label set.
    real, given
        `tables.ARTICLES`: the real articles, and the others.
    originals
        Every real text of the corpus, of whatever part.
    seen
        Those that the instruments were fitted on.
    real_tables, given_tables
        Their scores, leaning scores and set scores.
    cards
        The instruments' cards.
    """

    labels: tuple[str, ...]
    real: pl.DataFrame
    given: pl.DataFrame
    originals: tuple[str, ...]
    seen: tuple[str, ...]
    real_tables: Tables
    given_tables: Tables
    cards: tuple[dict[str, Any], ...]


def score_beside_real(config: Config, articles: pl.DataFrame, cache: Path) -> ScoredSets:
    """Fit a config's instruments on one part of its corpus; score ``articles`` and another part.

    Where the config is one of `Config.axes` with names, both are those that have one.

    Raises
    ------
    InputError
        If the corpus or an instrument cannot be had.
    """
    with _fitted(config, cache) as (store, plan):
        instruments = _loaded(store, plan)
        folder = store.path(plan.corpus)
        parts = read_table(folder / "articles.parquet", PARTED_ARTICLES)
        real, axis = conform(parts.filter(part="real"), ARTICLES), config.metrics.leaning
        labels = read_labels(folder)
        if isinstance(axis, AxisConfig):
            labels = axis.labels or labels
            real, articles = (
                whole.join(mentioning(whole, axis.mentions), on="article_id", how="semi")
                for whole in (real, articles)
            )
        return ScoredSets(
            labels,
            real,
            articles,
            tuple(parts["body"]),
            tuple(parts.filter(part="instrument")["body"]),
            scored_by(instruments, real),
            scored_by(instruments, articles),
            read_cards(store, plan),
        )
