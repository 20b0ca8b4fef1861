"""Stages that make models, and that look into them: weights, updates, neurons."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from biasloop.config import GenerationConfig, TrainingConfig
from biasloop.corpus import PARTED_ARTICLES
from biasloop.device import choose_for_training
from biasloop.errors import InputError
from biasloop.files import sha256_file, write_json
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
#: Beside a fine-tuned model that adapters were merged into: the adapters, where they are kept.
ADAPTER = "adapter"


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
            log = finetune_together(start, *of, to, processes, kept, prompts)
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
