"""What a finished (or part-finished) run holds, as tables in memory. Computes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from biasloop.config import Config
from biasloop.errors import InputError
from biasloop.loop.generation_stages import DECODING, read_part
from biasloop.loop.plan import Plan, SetKey
from biasloop.loop.run import read_plan, read_record
from biasloop.loop.score_stages import DETECTOR
from biasloop.loop.stage import Stage
from biasloop.loop.store import Store, is_finished, recorded_text
from biasloop.tables import (
    ARTICLES,
    CHAIN,
    CHOSEN,
    DETECTORS,
    EDITS,
    EVENTS,
    LEANING_SCORES,
    NEURONS,
    SCORES,
    SET_SCORES,
    TRAINED,
    UPDATES,
    conform,
    read_table,
)

_STAGES = {
    "kind": pl.String,
    "name": pl.String,
    "key": pl.String,
    "seconds": pl.Float64,
    "finished": pl.String,
}


@dataclass(frozen=True)
class Results:
    """Everything that an analysis or a report reads.

    Attributes
    ----------
    folder
        The run folder.
    config
        The config of the run.
    labels
        The label set of the bias axis, in order.
    corpus
        ``name``, ``citation``, ``licence`` and ``parts``: ``{part: {label: articles}}``.
    real
        The real articles that every generation is prompted with (`tables.ARTICLES`).
    articles
        Every generated article: ``regime, seed, generation`` and `tables.ARTICLES`. An article
        has the ``article_id``, ``title``, ``label`` and ``source`` of the real one that prompted
        it (further samples from one opening have ids ``ID#2``, ``ID#3``, ...); its ``body`` is
        untrusted model output. The base model's are regime ``base``,
        generation -1.
    scores
        `tables.SCORES`. The real articles' own scores are regime ``real``, generation -1.
        ``holdout_perplexity`` rows are each model's perplexity on held-out real articles.
    leaning_scores
        `tables.LEANING_SCORES`, likewise.
    set_scores
        `tables.SET_SCORES`, likewise.
    cards
        One instrument card per metric that has an instrument; see `metrics.base.Card`.
    stages
        ``kind, name, key, seconds, finished`` of every stage: wall time in seconds, ISO time.
    bad_rows
        ``location, reason`` of every corpus row that was skipped.
    provenance
        Versions, platform, config hash: a flat mapping of text.
    updates
        `tables.UPDATES`: each model's update, projected on the bias direction.
    neurons
        `tables.NEURONS`: the base model's are regime ``base``, generation -1.
    trained
        `tables.TRAINED`: the tokens that each model was fine-tuned on.
    chosen
        `tables.CHOSEN`: what regimes chose among their own articles.
    edits
        `tables.EDITS`: the neurons that regimes edited.
    detectors
        `tables.DETECTORS`: the errors of the detectors that they chose by.
    holdout
        The real articles that nothing trains on (`tables.ARTICLES`).
    events
        Real article id -> the event that it is about, where ``corpus.columns.event`` says it.
    decoding
        ``ends``: the tokens that end a text; ``not_applied``: what else the base model's own
        decoding settings ask for; ``adapter``: the one merged into it, if any. Empty where no
        generation was written yet.
    axes
        By name of a further axis, the same run with that axis in the main one's place: its
        ``labels``, ``scores``, ``leaning_scores`` and ``cards``, and a ``config`` of `Config.axes`.
    """

    folder: Path
    config: Config
    labels: tuple[str, ...]
    corpus: dict[str, Any]
    real: pl.DataFrame
    articles: pl.DataFrame
    scores: pl.DataFrame
    leaning_scores: pl.DataFrame
    set_scores: pl.DataFrame
    cards: tuple[dict[str, Any], ...]
    stages: pl.DataFrame
    bad_rows: pl.DataFrame
    provenance: dict[str, str]
    updates: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=UPDATES))
    neurons: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=NEURONS))
    trained: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TRAINED))
    chosen: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=CHOSEN))
    edits: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=EDITS))
    detectors: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=DETECTORS))
    holdout: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ARTICLES))
    events: Mapping[str, str] = field(default_factory=dict)
    decoding: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, Results] = field(default_factory=dict)


def read_results(root: Path, cache: Path) -> Results:
    """Read what a run has so far, finished or not.

    Raises
    ------
    InputError
        If the folder is not a run, or nothing has been scored in it yet.
    """
    plan, store = read_plan(root), Store(root, cache)
    if not store.has(plan.corpus):
        raise InputError(f"{root}: nothing has been computed in it yet; run it first")
    folder, config = store.checked(plan.corpus), plan.config
    corpus = _json(folder / "corpus.json")
    logs = _logs(store, plan)
    has_events = config.corpus.columns.event is not None
    found = Results(
        folder=root,
        config=config,
        labels=tuple(corpus["labels"]),
        corpus=corpus,
        real=read_part(folder, "real"),
        holdout=read_part(folder, "holdout"),
        articles=_gather(store, plan.generated, "articles", pl.Schema({**CHAIN, **ARTICLES})),
        scores=_gather(store, plan.scored, "scores", SCORES),
        leaning_scores=_gather(store, plan.scored, "leaning_scores", LEANING_SCORES),
        set_scores=_gather(store, plan.scored, "set_scores", SET_SCORES),
        updates=_gather(store, plan.updated, "updates", UPDATES),
        neurons=_gather(store, plan.neurons, "neurons", NEURONS),
        trained=_of_logs(logs, TRAINED, lambda log: [(int(log["tokens"]),)]),
        chosen=_of_logs(
            logs, CHOSEN, lambda log: [(n, float(t)) for n, t in log.get("chosen", {}).items()]
        ),
        edits=_of_logs(logs, EDITS, lambda log: log.get("edited", ())),
        detectors=_detectors(store, plan),
        cards=read_cards(store, plan),
        stages=_stages(store, plan),
        bad_rows=read_table(folder / "bad_rows.parquet"),
        events=dict(read_table(folder / "events.parquet", EVENTS).iter_rows())
        if has_events
        else {},
        provenance=read_record(root)["provenance"],
        decoding=_json(store.checked(plan.base) / DECODING) if store.has(plan.base) else {},
    )
    axes = {
        axis.name: replace(
            found,
            config=config.axes[axis.name],
            labels=axis.labels,
            scores=_gather(store, own.scored, "scores", SCORES),
            leaning_scores=_gather(store, own.scored, "leaning_scores", LEANING_SCORES),
            set_scores=pl.DataFrame(schema=SET_SCORES),
            cards=_cards(store, [own.instrument]),
        )
        for axis in config.metrics.axes
        for own in [plan.axes[axis.name]]
    }
    return replace(found, axes=axes)


def _json(path: Path) -> Any:  # noqa: ANN401 - JSON
    return json.loads(path.read_text(encoding="utf-8"))


def read_cards(store: Store, plan: Plan) -> tuple[dict[str, Any], ...]:
    """Read the card of every instrument that is there and has one."""
    return _cards(store, plan.instruments.values())


def _cards(store: Store, instruments: Iterable[Stage]) -> tuple[dict[str, Any], ...]:
    there = [stage for stage in instruments if store.has(stage)]
    cards = [store.checked(stage) / "instrument" / "card.json" for stage in there]
    return tuple(_json(card) for card in cards if card.is_file())


def _gather(
    store: Store, stages: Mapping[SetKey, Stage], table: str, schema: pl.Schema
) -> pl.DataFrame:
    frames = [pl.DataFrame(schema=schema)]
    for (regime, seed, generation), stage in stages.items():
        if store.has(stage):
            frame = read_table(store.checked(stage) / f"{table}.parquet").with_columns(
                pl.lit(regime).alias("regime"),
                pl.lit(seed, pl.Int64).alias("seed"),
                pl.lit(generation, pl.Int64).alias("generation"),
            )
            frames.append(conform(frame, schema))
    return pl.concat(frames)


def _logs(store: Store, plan: Plan) -> dict[SetKey, dict[str, Any]]:
    """Read what each finished training recorded, the model's weights deleted or not."""
    return {
        key: json.loads(recorded_text(folder, "training.json"))
        for key, stage in plan.finetuned.items()
        if is_finished(folder := store.path(stage), weights=False)
    }


def _of_logs(
    logs: Mapping[SetKey, dict[str, Any]],
    schema: pl.Schema,
    rows: Callable[[dict[str, Any]], Iterable[Sequence[Any]]],
) -> pl.DataFrame:
    found = [(*key, *row) for key, log in logs.items() for row in rows(log)]
    return pl.DataFrame(found, schema, orient="row")


def _detectors(store: Store, plan: Plan) -> pl.DataFrame:
    rows = [
        (*key, *(errors[name] for name in DETECTORS if name not in CHAIN))
        for key, stage in plan.detected.items()
        if store.has(stage)
        for errors in [_json(store.checked(stage) / DETECTOR)]
    ]
    return pl.DataFrame(rows, schema=DETECTORS, orient="row")


def _stages(store: Store, plan: Plan) -> pl.DataFrame:
    rows = []
    for stage in plan.stages.values():
        if is_finished(store.path(stage), weights=False):
            record = store.manifest(stage)
            rows.append((stage.kind, stage.name, stage.key, record["seconds"], record["finished"]))
    return pl.DataFrame(rows, schema=_STAGES, orient="row")
