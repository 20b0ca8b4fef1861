"""The work of each kind of stage: read the inputs' folders, compute, write the output folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from biasloop.config import Config, GenerationConfig, NeuronsConfig, TrainingConfig
from biasloop.corpus import PARTED_ARTICLES, load_corpus, repeated_texts, split_parts
from biasloop.device import choose_for_training
from biasloop.errors import InputError
from biasloop.files import write_json
from biasloop.loop.readings import with_readings
from biasloop.loop.stage import Progress
from biasloop.metrics import FitContext, metric_kind, perplexities
from biasloop.metrics.base import SCORED, SCORED_LEANINGS, SCORED_SETS
from biasloop.models import LoadedModel, load_model, save_model
from biasloop.regimes import Regime
from biasloop.seeds import generator
from biasloop.stages import (
    articles_of,
    check_prompts,
    continue_with_vllm,
    finetune,
    finetune_together,
    generate_blocks,
    openings_of,
    pretrain,
    processes_for,
    project_on_contrast,
    project_on_gradient,
)
from biasloop.tables import ARTICLES, BLOCKS, EVENTS, conform, read_table, write_table

Inputs = Mapping[str, Path]

#: What the input names of a set's shards begin with; a number follows.
SHARD = "shard-"

_SCORE_TABLES = {"scores": SCORED, "leaning_scores": SCORED_LEANINGS, "set_scores": SCORED_SETS}


@dataclass(frozen=True)
class Shard:
    """One of ``count`` contiguous parts of a table, as even as can be; the first are longer.

    A table is cut at multiples of ``unit`` rows only.
    """

    number: int
    count: int

    def of(self, table: pl.DataFrame, unit: int = 1) -> pl.DataFrame:
        """Cut the shard out of a table."""
        size, longer = divmod(-(-table.height // unit), self.count)
        start = self.number * size + min(self.number, longer)
        end = start + size + (self.number < longer)
        return table[start * unit : end * unit]


WHOLE = Shard(0, 1)

#: Articles that are written, or scored, together at most. The last bits of a number depend on what
#: else is in its batch: units are the same ones however many shards there are.
UNIT = 64


def _units(table: pl.DataFrame, unit: int) -> list[pl.DataFrame]:
    """Cut a table into units; an empty one is one unit."""
    return [table[at : at + unit] for at in range(0, max(1, table.height), unit)]


def read_part(corpus: Path, part: str) -> pl.DataFrame:
    """Read one part of the corpus stage's output as `tables.ARTICLES`."""
    table = read_table(corpus / "articles.parquet", PARTED_ARTICLES)
    return conform(table.filter(pl.col("part") == part), ARTICLES)


def read_labels(corpus: Path) -> tuple[str, ...]:
    """Read the label set from the corpus stage's output."""
    return tuple(json.loads((corpus / "corpus.json").read_text(encoding="utf-8"))["labels"])


def write_corpus(config: Config, out: Path) -> None:
    """Read, check and part the corpus."""
    corpus = load_corpus(config.corpus, config.seed)
    parts = split_parts(corpus, config.corpus, config.seed)
    write_table(out / "articles.parquet", parts)
    write_table(out / "bad_rows.parquet", corpus.bad_rows)
    if config.corpus.columns.event is not None:
        events = pl.DataFrame([*corpus.events.items()], EVENTS, orient="row")
        write_table(out / "events.parquet", events)
    counts = parts.group_by("part", "label").len().sort("part", "label")
    by_part: dict[str, dict[str, int]] = {}
    for part, label, count in counts.iter_rows():
        by_part.setdefault(part, {})[label] = count
    write_json(
        out / "corpus.json",
        {
            "name": corpus.name,
            "citation": corpus.citation,
            "licence": corpus.licence,
            "labels": list(corpus.labels),
            "parts": by_part,
            "repeated_texts": repeated_texts(parts),
        },
    )


#: Beside the base model: the tokens that end a text, and what of the model's own decoding settings
#: is not applied.
DECODING = "decoding.json"


def write_base(
    config: Config, inputs: Inputs, out: Path, progress: Progress, scratch: Path
) -> None:
    """Bring the base model into the store: pre-trained here, or loaded from where it is."""
    if config.base.model == "scratch":
        articles = read_part(inputs["corpus"], "pretraining")
        loaded, log = pretrain(
            articles,
            config.base.scratch,
            config.seed,
            progress,
            checkpoints=scratch,
            checkpoint_minutes=config.training.checkpoint_minutes,
        )
        write_json(out / "training.json", {"losses": log.losses, "tokens": log.tokens})
    else:
        loaded = load_model(config.base.model, config.base.revision, "float32")
    ends = loaded.tokenizer.convert_ids_to_tokens(list(loaded.ends))
    found: dict[str, Any] = {"ends": ends, "not_applied": dict(loaded.not_applied)}
    if loaded.adapter:
        found["adapter"] = {"type": loaded.adapter.kind, "base": loaded.adapter.base}
    write_json(out / DECODING, found)
    save_model(loaded, out / "model")


def fit_context(config: Config, inputs: Inputs, articles: pl.DataFrame) -> FitContext:
    """Say what a metric's instrument is made from."""
    base = inputs.get("base")
    return FitContext(
        config=config.metrics,
        labels=read_labels(inputs["corpus"]),
        articles=articles,
        base_model=str(base / "model") if base else None,
        seed=config.seed,
    )


def write_instrument(config: Config, metric: str, inputs: Inputs, out: Path) -> None:
    """Fit a metric's instrument on the part of the corpus kept for it."""
    articles = read_part(inputs["corpus"], "instrument")
    context = fit_context(config, inputs, articles)
    folder = out / "instrument"
    folder.mkdir()
    metric_kind(metric).fit(context, folder)


def _load_for_training(folder: Path, training: TrainingConfig) -> LoadedModel:
    """Load float32 weights, to be trained in the precision that the config asks for."""
    loaded = load_model(str(folder), precision="float32")
    return replace(loaded, device=choose_for_training(training.precision))


def write_finetuned(
    regime: Regime,
    training: TrainingConfig,
    generation: int,
    seeds: tuple[int, int],
    run_name: str,
    inputs: Inputs,
    out: Path,
    progress: Progress,
    scratch: Path,
    sharding: str = "none",
) -> None:
    """Put the training set together and fine-tune; ``seeds`` are the set's and the training's."""
    real = read_part(inputs["corpus"], regime.part(generation) if generation else "real")
    written = {
        int(name.removeprefix("generation-")): read_table(path / "articles.parquet", ARTICLES)
        for name, path in inputs.items()
        if name.startswith("generation-")
    }
    articles = real
    if generation:
        metrics, before = regime.metrics(), generation - 1
        real = with_readings(real, metrics, inputs, "real-")
        if metrics:
            written[before] = with_readings(written[before], metrics, inputs, "scores-")
        random = generator(seeds[0], "training-set")
        articles = conform(regime.training_set(real, written, random), ARTICLES)
    start, to = inputs["start"] / "model", out / "model"
    processes = processes_for(start, sharding)
    if processes > 1:
        log = finetune_together(
            start, articles, training, seeds[1], run_name, progress, scratch, to, processes
        )
    else:
        loaded = _load_for_training(start, training)
        log = finetune(loaded, articles, training, seeds[1], run_name, progress, scratch)
        save_model(loaded, to)
    write_json(
        out / "training.json",
        {"losses": log.losses, "tokens": log.tokens, "articles": articles.height},
    )


def write_generated(
    generation: GenerationConfig,
    seed: int,
    inputs: Inputs,
    out: Path,
    progress: Progress,
    shard: Shard = WHOLE,
) -> None:
    """Let the model write its articles, or a shard of them."""
    folder = inputs["model"] / "model"
    by_vllm = generation.engine == "vllm"
    write = continue_with_vllm(folder) if by_vllm else None
    loaded = load_model(str(folder), precision=generation.precision, weights=not by_vllm)
    whole = read_part(inputs["corpus"], "real")
    if generation.prompts == "openings":
        # So that a message counts all articles that cannot be used, not those of one unit.
        check_prompts(whole, generation, loaded.room)
        openings_of(loaded.tokenizer, whole, generation.opening_tokens)
    unit = max(UNIT, generation.batch_size)
    real = shard.of(whole, unit)
    blocks = pl.concat(
        generate_blocks(loaded, part, generation, seed, progress, write)
        # vLLM loads the model anew for each call, and chooses by itself what goes together.
        for part in ([real] if by_vllm else _units(real, unit))
    )
    write_table(out / "blocks.parquet", blocks)
    write_table(out / "articles.parquet", articles_of(loaded, real, blocks, generation))


def write_contrast(
    training: TrainingConfig,
    seed: int,
    run_name: str,
    inputs: Inputs,
    out: Path,
    progress: Progress,
    scratch: Path,
) -> None:
    """Fine-tune the base model on each leaning alone: one model folder per label, by its place."""
    real = read_part(inputs["corpus"], "real")
    for place, label in enumerate(read_labels(inputs["corpus"])):
        loaded = _load_for_training(inputs["base"] / "model", training)
        articles = real.filter(pl.col("label") == label)
        own = scratch / f"model-{place}"
        finetune(loaded, articles, training, seed, f"{run_name} {label}", progress, own)
        save_model(loaded, out / f"model-{place}")


def write_update(generation: GenerationConfig, inputs: Inputs, out: Path) -> None:
    """Project the update between two models on the bias direction."""

    def model(folder: Path) -> LoadedModel:
        return load_model(str(folder), precision="float32")

    before, after = model(inputs["before"] / "model"), model(inputs["after"] / "model")
    if "contrast" in inputs:
        labels = read_labels(inputs["corpus"])
        fine_tuned = {
            label: model(inputs["contrast"] / f"model-{place}")
            for place, label in enumerate(labels)
        }
        table = project_on_contrast(before, after, model(inputs["base"] / "model"), fine_tuned)
    else:
        table = project_on_gradient(
            before,
            after,
            read_table(inputs["articles"] / "articles.parquet", ARTICLES),
            read_table(inputs["articles"] / "blocks.parquet", BLOCKS),
            read_table(inputs["scores"] / "leaning_scores.parquet"),
            generation,
        )
    write_table(out / "updates.parquet", table)


def write_neurons(neurons: NeuronsConfig, inputs: Inputs, out: Path) -> None:
    """Summarise every neuron of a model, over the real articles."""
    from biasloop.stages.neurons import summarise_neurons

    loaded = load_model(str(inputs["model"] / "model"), precision="float32")
    try:
        table = summarise_neurons(
            loaded,
            read_part(inputs["corpus"], "real"),
            sites=neurons.sites,
            max_tokens=neurons.max_tokens,
            batch_size=neurons.batch_size,
        )
    except InputError as error:
        raise InputError(f"{error}; neurons.sites: [] runs without them") from error
    write_table(out / "neurons.parquet", table)


def write_scores(
    config: Config, metric: str, inputs: Inputs, out: Path, shard: Shard = WHOLE
) -> None:
    """Score a set of articles, or a shard of it, for a metric."""
    context = fit_context(config, inputs, pl.DataFrame(schema=ARTICLES))
    instrument = metric_kind(metric).load(context, inputs["instrument"] / "instrument")
    articles = _articles(inputs)
    parts = [articles] if metric_kind(metric).whole_set else _units(shard.of(articles, UNIT), UNIT)
    scored = [instrument.score(part) for part in parts]
    _write_scores(
        out,
        _by_metric([one.scores for one in scored]),
        pl.concat(one.leaning_scores for one in scored),
        pl.concat(one.set_scores for one in scored),
    )


def write_holdout_scores(config: Config, inputs: Inputs, out: Path) -> None:
    """Score a model on held-out real text."""
    none = SCORED_LEANINGS.to_frame(), SCORED_SETS.to_frame()
    _write_scores(out, _holdout_perplexity(config, inputs), *none)


def join_generated(inputs: Inputs, out: Path) -> None:
    """Put the shards of a set of articles together, in order."""
    for table, schema in (("blocks", BLOCKS), ("articles", ARTICLES)):
        write_table(out / f"{table}.parquet", pl.concat(_shards(inputs, table, schema)))


def join_shards_of_scores(inputs: Inputs, out: Path) -> None:
    """Put the shards of one metric's scores together."""
    join_scores(_shard_names(inputs), inputs, out)


def join_scores(order: Sequence[str], inputs: Inputs, out: Path) -> None:
    """Put a set's scores together: metric by metric, and in each the articles in order."""
    whole = [
        pl.concat([read_table(inputs[name] / f"{table}.parquet", schema) for name in order])
        for table, schema in _SCORE_TABLES.items()
    ]
    _write_scores(out, _by_metric(whole[:1]), *whole[1:])


def _by_metric(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put score tables together: metric by metric, and in each the articles in order."""
    whole = pl.concat(tables)
    return pl.concat(whole.partition_by("metric", maintain_order=True) or [whole])


def _articles(inputs: Inputs) -> pl.DataFrame:
    if "articles" in inputs:
        return read_table(inputs["articles"] / "articles.parquet", ARTICLES)
    return read_part(inputs["corpus"], "real")


def _shards(inputs: Inputs, table: str, schema: pl.Schema) -> list[pl.DataFrame]:
    return [read_table(inputs[name] / f"{table}.parquet", schema) for name in _shard_names(inputs)]


def _shard_names(inputs: Inputs) -> list[str]:
    return sorted((n for n in inputs if n.startswith(SHARD)), key=lambda n: int(n[len(SHARD) :]))


def _holdout_perplexity(config: Config, inputs: Inputs) -> pl.DataFrame:
    held_out = read_part(inputs["corpus"], "holdout")
    if not held_out.height:
        return SCORED.to_frame()
    precision = config.metrics.perplexity_precision
    loaded = load_model(str(inputs["model"] / "model"), precision=precision)
    values = perplexities(
        loaded.model,
        loaded.tokenizer,
        held_out["body"].to_list(),
        config.metrics.perplexity_batch_size,
    )
    frame = pl.DataFrame(
        {"article_id": held_out["article_id"], "value": values},
        schema={"article_id": pl.String, "value": pl.Float64},
    )
    return frame.with_columns(
        pl.lit("holdout_perplexity").alias("metric"), pl.col("value").fill_nan(None)
    ).select("article_id", "metric", "value")


def _write_scores(out: Path, *tables: pl.DataFrame) -> None:
    for (name, schema), table in zip(_SCORE_TABLES.items(), tables, strict=True):
        write_table(out / f"{name}.parquet", conform(table, schema))
