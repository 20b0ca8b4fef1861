"""Stages that make models, and that look into them: weights, updates, neurons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from biasloop.config import TrainingConfig
from biasloop.device import choose_for_training
from biasloop.errors import InputError
from biasloop.files import write_json
from biasloop.loop.article_stages import generation_settings, read_labels, read_part
from biasloop.loop.readings import with_readings
from biasloop.loop.stage import Paths, Progress, Stage
from biasloop.models import LoadedModel, load_model, save_model
from biasloop.regimes import Regime
from biasloop.seeds import generator, integer
from biasloop.stages import (
    finetune,
    finetune_together,
    pretrain,
    processes_for,
    project_on_contrast,
    project_on_gradient,
)
from biasloop.tables import ARTICLES, BLOCKS, conform, read_table, write_table

#: Beside the base model: the tokens that end a text, and what of the model's own decoding settings
#: is not applied.
DECODING = "decoding.json"


def _training_settings(training: TrainingConfig) -> dict[str, Any]:
    """Leave out what changes no weight."""
    return training.model_dump(mode="json", exclude={"checkpoint_minutes", "report_to"})


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


@dataclass(frozen=True, eq=False)
class Finetune(Stage):
    """Put a generation's training set together, and fine-tune ``start`` on it.

    The set is made of ``corpus`` and of ``generation-G``, the articles of an earlier generation G,
    as the regime says; where it chooses by metrics, also of ``real-METRIC`` and
    ``scores-METRIC``, the scores of the real articles and of the generation before.
    """

    kind = "finetune"
    regime: Regime[Any]
    seed: int
    generation: int

    @cached_property
    def training(self) -> TrainingConfig:
        """The training settings, with what the regime changes of them."""
        return self.regime.training(self.config.training)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The regime only after Generation 0, which every regime trains alike."""
        own = {"kind": self.regime.config.kind, **self.regime.settings()}
        return {
            "training": _training_settings(self.training),
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
        real = read_part(paths["corpus"], self.regime.part(self.generation))
        written = {
            g: read_table(paths[f"generation-{g}"] / "articles.parquet", ARTICLES)
            for g in self.regime.reads(self.generation)
        }
        if metrics := self.regime.metrics():
            before = self.generation - 1
            real = with_readings(real, metrics, paths, "real-")
            written[before] = with_readings(written[before], metrics, paths, "scores-")
        random = generator(self._seed("training-set"), "training-set")
        return conform(self.regime.training_set(real, written, random), ARTICLES)

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write the ``model`` folder and the training's log."""
        articles, training, seed = self._training_set(paths), self.training, self._seed("finetune")
        place = f"{self.regime.config.label} seed {self.seed} generation {self.generation}"
        run_name = f"{self.config.name} {place}"
        start, to = paths["start"] / "model", out / "model"
        processes = processes_for(start, self.config.executor.sharding)
        if processes > 1:
            log = finetune_together(
                start, articles, training, seed, run_name, progress, scratch, to, processes
            )
        else:
            loaded = _load_for_training(start, training)
            log = finetune(loaded, articles, training, seed, run_name, progress, scratch)
            save_model(loaded, to)
        found = {"losses": log.losses, "tokens": log.tokens, "articles": articles.height}
        write_json(out / "training.json", found)


@dataclass(frozen=True, eq=False)
class Contrast(Stage):
    """Fine-tune ``base`` on the articles of each leaning of ``corpus`` alone."""

    kind = "contrast"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Of the training, whose seed is the same for each leaning."""
        seed = integer(self.config.seed, "contrast")
        return {"training": _training_settings(self.config.training), "seed": seed}

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
            )
            save_model(loaded, out / f"model-{place}")


@dataclass(frozen=True, eq=False)
class Update(Stage):
    """Project the update from the model ``before`` to ``after`` on the bias direction.

    The direction is between the models of ``contrast``, or the gradient of the ``scores`` of
    ``articles`` that the model before wrote.
    """

    kind = "update"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Of generation, where the direction is a gradient."""
        sampled = self.config.bias_direction == "gradient"
        return {"generation": generation_settings(self.config)} if sampled else {}

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
                self.config.generation,
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
            )
        except InputError as error:
            raise InputError(f"{error}; neurons.sites: [] runs without them") from error
        write_table(out / "neurons.parquet", table)
