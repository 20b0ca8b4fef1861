"""The stages of a generation, from the corpus to its articles, and of looks into its models."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from biasloop.config import GenerationConfig, TrainingConfig, without_folders
from biasloop.corpus.load import load_corpus
from biasloop.corpus.split import PARTED_ARTICLES, repeated_texts, split_parts
from biasloop.device import choose_for_training
from biasloop.errors import InputError
from biasloop.files import sha256_file, write_json
from biasloop.loop.stage import UNIT, Paths, Progress, ShardedStage, Stage
from biasloop.metrics.base import SCORED, SCORED_LEANINGS
from biasloop.models.load import LoadedModel, load_model, save_model
from biasloop.regimes import Regime
from biasloop.seeds import generator, integer
from biasloop.stages.finetune import finetune
from biasloop.stages.fsdp import finetune_sharded, processes_for
from biasloop.stages.generate import (
    articles_of,
    chat_for,
    check_prompts,
    generate_blocks,
    openings_of,
    writer_of,
)
from biasloop.stages.pretrain import pretrain
from biasloop.stages.update import project_on_contrast, project_on_gradient
from biasloop.tables import ARTICLES, BLOCKS, EVENTS, conform, read_table, write_table

#: Beside the base model: the tokens that end a text, and what of the model's own decoding settings
#: is not applied.
DECODING = "decoding.json"
#: Beside a fine-tuned model that adapters were merged into: the adapters, where they are kept.
ADAPTER = "adapter"


@dataclass(frozen=True, eq=False)
class Corpus(Stage):
    """Read, check and part the corpus, whose files have the hash ``content``."""

    kind = "corpus"
    content: Any

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings that came later and are not used are left out, so that older runs are known."""
        unused = {"real_labels": None, "fresh_sets": 0}
        others = {"control"} if self.config.corpus.source != "control" else set()
        own = without_folders(self.config).corpus.model_dump(mode="json", exclude=others)
        own = {name: value for name, value in own.items() if unused.get(name, ...) != value}
        return {"corpus": own, "seed": self.config.seed, "content": self.content}

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write ``articles``, ``bad_rows``, ``events`` where there are any, and what it is."""
        corpus = load_corpus(self.config.corpus, self.config.seed)
        parts = split_parts(corpus, self.config.corpus, self.config.seed)
        write_table(out / "articles.parquet", parts)
        write_table(out / "bad_rows.parquet", corpus.bad_rows)
        if self.config.corpus.columns.event is not None:
            events = pl.DataFrame([*corpus.events.items()], EVENTS, orient="row")
            write_table(out / "events.parquet", events)
        counts = parts.group_by("part", "label").len().sort("part", "label")
        by_part: dict[str, dict[str, int]] = {}
        for part, label, count in counts.iter_rows():
            by_part.setdefault(part, {})[label] = count
        found = {
            "name": corpus.name,
            "citation": corpus.citation,
            "licence": corpus.licence,
            "labels": list(corpus.labels),
            "parts": by_part,
            "repeated_texts": repeated_texts(parts),
        }
        if corpus.note:
            found["reading"] = corpus.note
        write_json(out / "corpus.json", found)


def read_part(corpus: Path, part: str) -> pl.DataFrame:
    """Read one part of the corpus stage's output as `tables.ARTICLES`."""
    table = read_table(corpus / "articles.parquet", PARTED_ARTICLES)
    return conform(table.filter(pl.col("part") == part), ARTICLES)


def read_labels(corpus: Path) -> tuple[str, ...]:
    """Read the label set from the corpus stage's output."""
    return tuple(json.loads((corpus / "corpus.json").read_text(encoding="utf-8"))["labels"])


def _training_settings(training: TrainingConfig) -> dict[str, Any]:
    """Leave out what changes no weight."""
    return training.model_dump(mode="json", exclude={"checkpoint_minutes", "report_to"})


def _finetune_settings(training: TrainingConfig, prompts: GenerationConfig) -> dict[str, Any]:
    """Of a fine-tuning: on turns of a chat, how they are cut, too."""
    found = {"training": _training_settings(training)}
    if training.text == "chat":
        found["prompts"] = {
            "prompts": prompts.prompts,
            "prompt_tokens": prompts.prompt_tokens,
            "new_tokens": prompts.new_tokens,
        }
    return found


def commit_of(content: Any) -> str | None:  # noqa: ANN401 - JSON
    """Tell which commit of the hub a content is of; see `plan.content_of`."""
    own = content.get("adapter", content) if isinstance(content, dict) else None
    return own.get("commit") if isinstance(own, dict) and "hub" in own else None


def _load(folder: Path) -> LoadedModel:
    return load_model(str(folder), precision="float32")


def _load_for_training(folder: Path, training: TrainingConfig) -> LoadedModel:
    """Load float32 weights, to be trained in the precision that the config asks for."""
    return replace(_load(folder), device=choose_for_training(training.precision))


@dataclass(frozen=True, eq=False)
class Base(Stage):
    """Bring the base model into the store: pre-trained on ``corpus``, or loaded from where it is.

    ``content`` is the hash of its files, where it is loaded.
    """

    kind = "base"
    shared = True
    content: Any

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Of pre-training, or what is loaded."""
        base = self.config.base
        if base.model == "scratch":
            return {"seed": self.config.seed, "scratch": base.scratch.model_dump(mode="json")}
        return {"seed": None, "content": self.content, "revision": base.revision}

    @property
    def cost(self) -> float:
        """Tokens of pre-training."""
        own = self.config.base.scratch.pretraining
        return float(own.steps * own.batch_size * own.tokens) if self.inputs else 1.0

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write the ``model`` folder and what to know of its decoding."""
        if self.config.base.model == "scratch":
            loaded, log = pretrain(
                read_part(paths["corpus"], "pretraining"),
                self.config.base.scratch,
                self.config.seed,
                progress,
                checkpoints=scratch,
                checkpoint_minutes=self.config.training.checkpoint_minutes,
            )
            write_json(out / "training.json", {"losses": log.losses, "tokens": log.tokens})
        else:
            base = self.config.base
            loaded = load_model(base.model, commit_of(self.content) or base.revision, "float32")
        ends = loaded.tokenizer.convert_ids_to_tokens(list(loaded.ends))
        found: dict[str, Any] = {"ends": ends, "not_applied": dict(loaded.not_applied)}
        if loaded.adapter:
            found["adapter"] = {"type": loaded.adapter.kind, "base": loaded.adapter.base}
        write_json(out / DECODING, found)
        save_model(loaded, out / "model")


def with_readings(
    articles: pl.DataFrame, metrics: Sequence[str], inputs: Mapping[str, Path], start: str
) -> pl.DataFrame:
    """Add a column per metric: ``leaning`` the likeliest one, else the metric's value.

    Parameters
    ----------
    articles
        `tables.ARTICLES`.
    metrics
        Each has the folder of its scores in ``inputs``, by ``start`` and its name.

    Returns
    -------
    polars.DataFrame
        The articles in their order; null where one has no such figure.
    """
    for metric in metrics:
        folder = inputs[f"{start}{metric}"]
        if metric == "leaning":
            table = read_table(folder / "leaning_scores.parquet", SCORED_LEANINGS)
            table = table.sort("probability", descending=True, maintain_order=True)
            found = table.group_by("article_id", maintain_order=True).agg(pl.first("leaning"))
        else:
            table = read_table(folder / "scores.parquet", SCORED).filter(metric=metric)
            found = table.select("article_id", pl.col("value").alias(metric))
        articles = articles.join(found, on="article_id", how="left", maintain_order="left")
    return articles


@dataclass(frozen=True, eq=False)
class Finetune(Stage):
    """Put a generation's training set together, and fine-tune ``start`` on it.

    The set is made of ``corpus`` and of ``generation-G``, the articles of an earlier generation G,
    as the regime says; where it chooses by metrics, also of ``real-METRIC`` and
    ``scores-METRIC``, the scores of the real articles and of the generation before. ``anchor`` is
    another model that the regime needs, as is ``unedited``; ``content`` the hash of a file that it
    reads.
    """

    kind = "finetune"
    regime: Regime[Any]
    seed: int
    generation: int
    content: str | None = None

    @cached_property
    def training(self) -> TrainingConfig:
        """The training settings, with what the regime changes of them.

        The authors' files have an empty line after each article, but for that of Generation 0.
        """
        own = self.regime.training(self.config.training)
        if not self.generation or own.empty_lines == "skip":
            return own
        return own.model_copy(update={"input": f"{own.input}\n"})

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The regime only after Generation 0, which every regime trains alike."""
        own = {"kind": self.regime.config.kind, **self.regime.settings()}
        own |= {"content": self.content} if self.content else {}
        return {
            **_finetune_settings(self.training, self.config.generation),
            "seed": [self.config.seed, self.seed, self.generation],
            **({"regime": own} if self.generation else {}),
        }

    @property
    def cost(self) -> float:
        """Sets of real articles, times epochs."""
        samples = self.config.generation.samples_per_prompt
        return self.regime.expected_size(self.generation, 1, samples) * self.training.epochs

    def _seed(self, use: str) -> int:
        return integer(self.config.seed, use, self.seed, self.generation)

    def _training_set(self, paths: Paths) -> pl.DataFrame:
        if not self.generation:
            return read_part(paths["corpus"], "real")
        file = self.regime.config.input_file
        if file and not (Path(file).is_file() and sha256_file(Path(file)) == self.content):
            raise InputError(
                f"{file}: is gone, or has changed since the run began; what is finished is kept"
            )
        real = read_part(paths["corpus"], self.regime.part(self.generation))
        written = {
            g: read_table(paths[f"generation-{g}"] / "articles.parquet", ARTICLES)
            for g in self.regime.reads(self.generation)
        }
        if self.generation == 1:
            self.regime.check(read_table(paths["corpus"] / "articles.parquet", PARTED_ARTICLES))
        if metrics := self.regime.metrics():
            before = self.generation - 1
            of_real = [metric for metric in metrics if f"real-{metric}" in paths]
            real = with_readings(real, of_real, paths, "real-")
            written[before] = with_readings(written[before], metrics, paths, "scores-")
        random = generator(self._seed("training-set"), "training-set")
        return self.regime.training_set(real, written, random)

    def _change(self, loaded: LoadedModel, paths: Paths) -> list[tuple[int, int, float]]:
        """Let the regime change the trained model."""
        names = [name for name in ("anchor", "unedited") if name in paths]
        others = {name: _load(paths[name] / "model") for name in names}
        for other in others.values():
            other.model.to(loaded.model.device)
        seed = integer(self.config.seed, "edit", self.seed)
        return self.regime.change_model(loaded, others, read_part(paths["corpus"], "real"), seed)

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write the ``model`` folder and the training's log."""
        chosen, training, seed = self._training_set(paths), self.training, self._seed("finetune")
        weighed = {"weight": pl.Float64} if "weight" in chosen.columns else {}
        articles = conform(chosen, pl.Schema({**ARTICLES, **weighed}))
        held = self.generation > 0 and self.regime.kl > 0
        place = f"{self.regime.config.label} seed {self.seed} generation {self.generation}"
        run_name = f"{self.config.name} {place}"
        start, to = paths["start"] / "model", out / "model"
        changes = self.generation > 0 and self.regime.changes_model
        kept = out / ADAPTER if training.keeps_adapters else None
        prompts = self.config.generation
        of = (articles, training, seed, run_name, progress, scratch)
        processes = processes_for(start, self.config.executor.sharding, training)
        if processes > 1 and (weighed or held):
            raise InputError(
                f"regime '{self.regime.config.label}' trains in one process, and this would be "
                f"{processes}: set executor.sharding: none, or reserve one GPU"
            )
        if processes > 1:
            log = finetune_sharded(start, *of, to, processes, kept, prompts)
            loaded = _load(to) if changes else None
        else:
            loaded = _load_for_training(start, training)
            anchor = _load(paths["anchor"] / "model") if held else None
            log = finetune(
                loaded, *of, anchor=anchor, kl=self.regime.kl, kept=kept, prompts=prompts
            )
        edited = self._change(loaded, paths) if loaded and changes else []
        if loaded:
            save_model(loaded, to)
        found: dict[str, Any] = {"losses": log.losses, "tokens": log.tokens}
        found |= {"articles": articles.height, **({"edited": edited} if edited else {})}
        if self.generation and self.regime.config.chooses:
            names = articles["article_id"]
            times = dict(zip(names, articles["weight"], strict=True)) if weighed else Counter(names)
            found["chosen"] = dict(times)
        write_json(out / "training.json", found)


def generation_settings(generation: GenerationConfig) -> dict[str, Any]:
    """Return how articles are written; what came later only where it is not what it always was.

    Settings of the protocol that is not chosen are left out by the config itself.
    """
    always = {"engine": "transformers", "prompts": "blocks", "min_p": 0.0}
    settings = generation.model_dump(mode="json")
    return {name: value for name, value in settings.items() if always.get(name, ...) != value}


@dataclass(frozen=True, eq=False)
class Generate(ShardedStage):
    """Let ``model`` write from the real articles of ``corpus``, as ``generation`` says.

    Streams of other names are independent of each other where articles are sampled; every prompt
    has random numbers of its own, in whatever shard it is.
    """

    kind = "generate"
    generation: GenerationConfig
    place: tuple[int, int]
    stream: str = "generate"

    @cached_property
    def seed(self) -> int:
        """Of the stream, which the model's seed and generation decide."""
        return integer(self.config.seed, self.stream, self.place[0], self.place[1] + 1)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The seed only where articles are sampled."""
        seed = self.seed if self.generation.decoding == "nucleus" else None
        own = {"generation": generation_settings(self.generation), "seed": seed}
        if instruction := self.config.training.asks:
            own["instruction"] = instruction
        return own | self.shard.settings

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write ``blocks`` and the ``articles`` that they make up."""
        generation, folder = self.generation, paths["model"] / "model"
        write = writer_of(generation, folder)
        loaded = load_model(str(folder), precision=generation.precision, weights=write is None)
        whole = read_part(paths["corpus"], "real")
        instruction = self.config.training.asks
        chat = chat_for(loaded, instruction)
        # So that a message counts all articles that cannot be used, not those of one unit.
        check_prompts(whole, generation, loaded, chat)
        if generation.prompts == "openings" and not (chat and chat.by_title):
            openings_of(loaded.tokenizer, whole, generation.opening_tokens)
        unit = max(UNIT, generation.batch_size)
        real = whole[self.shard.rows(whole.height, unit)]
        blocks = pl.concat(
            generate_blocks(loaded, part, generation, self.seed, progress, write, instruction)
            # An engine loads the model anew for each call, and chooses itself what goes together.
            for part in ([real] if write else [*real.iter_slices(unit)] or [real])
        )
        write_table(out / "blocks.parquet", blocks)
        write_table(out / "articles.parquet", articles_of(loaded, real, blocks, generation))

    @staticmethod
    def join(shards: Sequence[Path], out: Path) -> None:
        """Put the shards' tables together, in order."""
        for table, schema in (("blocks", BLOCKS), ("articles", ARTICLES)):
            name = f"{table}.parquet"
            write_table(out / name, pl.concat([read_table(one / name, schema) for one in shards]))


@dataclass(frozen=True, eq=False)
class Contrast(Stage):
    """Fine-tune ``base`` on the articles of each leaning of ``corpus`` alone."""

    kind = "contrast"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Of the training, whose seed is the same for each leaning."""
        seed = integer(self.config.seed, "contrast")
        return {**_finetune_settings(self.config.training, self.config.generation), "seed": seed}

    @property
    def cost(self) -> float:
        """Sets of real articles, times epochs."""
        return self.config.training.epochs

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write one model folder per label, named by its place."""
        real, training = read_part(paths["corpus"], "real"), self.config.training
        for place, label in enumerate(read_labels(paths["corpus"])):
            loaded = _load_for_training(paths["base"] / "model", training)
            finetune(
                loaded,
                real.filter(pl.col("label") == label),
                training,
                self.settings["seed"],
                f"{self.config.name} contrast {label}",
                progress,
                scratch / f"model-{place}",
                prompts=self.config.generation,
            )
            save_model(loaded, out / f"model-{place}")


@dataclass(frozen=True, eq=False)
class Update(Stage):
    """Project the update from the model ``before`` to ``after`` on the bias direction.

    The direction is between the models of ``contrast``, or the gradient of the ``scores`` of
    ``articles`` that the model before wrote, as ``generation`` says.
    """

    kind = "update"
    generation: GenerationConfig

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Of generation, where the direction is a gradient."""
        sampled = self.config.bias_direction == "gradient"
        return {"generation": generation_settings(self.generation)} if sampled else {}

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write ``updates``."""
        before, after = _load(paths["before"] / "model"), _load(paths["after"] / "model")
        if "contrast" in paths:
            fine_tuned = {
                label: _load(paths["contrast"] / f"model-{place}")
                for place, label in enumerate(read_labels(paths["corpus"]))
            }
            base = _load(paths["base"] / "model")
            table = project_on_contrast(before, after, base, fine_tuned)
        else:
            table = project_on_gradient(
                before,
                after,
                read_table(paths["articles"] / "articles.parquet", ARTICLES),
                read_table(paths["articles"] / "blocks.parquet", BLOCKS),
                read_table(paths["scores"] / "leaning_scores.parquet"),
                self.generation,
            )
        write_table(out / "updates.parquet", table)


@dataclass(frozen=True, eq=False)
class Neurons(Stage):
    """Summarise every neuron of ``model``, over the real articles of ``corpus``."""

    kind = "neurons"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Of neurons."""
        return self.config.neurons.model_dump(mode="json")

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write ``neurons``."""
        from biasloop.stages.neurons import summarise_neurons

        neurons = self.config.neurons
        try:
            table = summarise_neurons(
                _load(paths["model"] / "model"),
                read_part(paths["corpus"], "real"),
                sites=neurons.sites,
                max_tokens=neurons.max_tokens,
                batch_size=neurons.batch_size,
                template=neurons.input,
            )
        except InputError as error:
            raise InputError(f"{error}; neurons.sites: [] runs without them") from error
        write_table(out / "neurons.parquet", table)
