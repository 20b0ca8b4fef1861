"""Score any articles with a run's instruments, or with ones fitted for a config. Trains nothing."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from biasloop.config import Config
from biasloop.corpus import PARTED_ARTICLES
from biasloop.errors import InputError
from biasloop.loop.article_stages import read_labels
from biasloop.loop.execute import perform
from biasloop.loop.plan import Plan, make_plan
from biasloop.loop.run import read_config, read_contents
from biasloop.loop.store import Store
from biasloop.metrics import Metric, metric_kind
from biasloop.tables import ARTICLES, conform, read_table

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
    if folder is not None:
        plan = make_plan(chosen, read_contents(folder))
        return scored_by(_loaded(Store(folder, cache), plan), articles)
    with fitted(chosen, cache) as (store, plan):
        return scored_by(_loaded(store, plan), articles)


@contextmanager
def fitted(config: Config, cache: Path) -> Generator[tuple[Store, Plan]]:
    """Fit a config's instruments in a temporary folder; yield the store that has them."""
    plan = make_plan(config)
    with tempfile.TemporaryDirectory(prefix="biasloop-score-") as temporary:
        store = Store(Path(temporary), cache)
        wanted = [plan.corpus, *plan.instruments.values()]
        if "perplexity" in config.metrics.names:
            wanted.insert(1, plan.base)
        for stage in wanted:
            if not store.has(stage):
                perform(stage, store, lambda tokens: None)
        yield store, plan


@dataclass(frozen=True)
class Judged:
    """Articles beside the real ones that the instruments have not seen, scored alike.

    Attributes
    ----------
    labels
        The label set.
    real, given
        `tables.ARTICLES`: the real articles, and those to be judged.
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


def judge_articles(config: Config, articles: pl.DataFrame, cache: Path) -> Judged:
    """Fit a config's instruments on one part of its corpus; score ``articles`` and another part.

    Raises
    ------
    InputError
        If the corpus or an instrument cannot be had.
    """
    with fitted(config, cache) as (store, plan):
        instruments = _loaded(store, plan)
        parts = read_table(store.path(plan.corpus) / "articles.parquet", PARTED_ARTICLES)
        real = conform(parts.filter(part="real"), ARTICLES)
        cards = [
            json.loads((store.path(stage) / "instrument" / "card.json").read_text("utf-8"))
            for stage in plan.instruments.values()
            if (store.path(stage) / "instrument" / "card.json").is_file()
        ]
        return Judged(
            read_labels(store.path(plan.corpus)),
            real,
            articles,
            tuple(parts["body"]),
            tuple(parts.filter(part="instrument")["body"]),
            scored_by(instruments, real),
            scored_by(instruments, articles),
            tuple(cards),
        )


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
    return _loaded(Store(folder, cache), make_plan(config, read_contents(folder)))


def scored_by(instruments: Sequence[Metric], articles: pl.DataFrame) -> Tables:
    """Score ``articles`` (`tables.ARTICLES`) with every instrument."""
    parts = [instrument.score(articles) for instrument in instruments]
    return (
        pl.concat([part.scores for part in parts]),
        pl.concat([part.leaning_scores for part in parts]),
        pl.concat([part.set_scores for part in parts]),
    )


def _loaded(store: Store, plan: Plan) -> list[Metric]:
    paths = {"corpus": store.checked(plan.corpus), "base": store.path(plan.base)}
    loaded = []
    for metric, stage in plan.instruments.items():
        if not store.has(stage):
            raise InputError(f"{store.root}: has no instrument for '{metric}': run it first")
        loaded.append(stage.load(paths, store.checked(stage)))
    return loaded
