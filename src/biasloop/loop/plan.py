"""From a config to the graph of stages. Runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biasloop.assets import ASSETS, asset_path
from biasloop.config import Config, TrainingConfig, without_folders
from biasloop.corpus import fingerprint
from biasloop.files import sha256_file
from biasloop.loop import work
from biasloop.loop.shards import (
    generate_stage,
    generation_settings,
    instrument_settings,
    score_stage,
    second_stream,
)
from biasloop.loop.stage import Progress, Stage
from biasloop.metrics import metric_kind
from biasloop.models import resolve_model
from biasloop.regimes import make_regime
from biasloop.seeds import integer
from biasloop.tables import BASE, REAL

#: Identifies a set of articles: regime, seed, generation.
SetKey = tuple[str, int, int]


@dataclass(frozen=True)
class Plan:
    """The stages of a run.

    Attributes
    ----------
    corpus, base
        The stages that all others rest on.
    instruments
        By metric.
    finetuned, generated, scored
        By (regime, seed, generation); chains that share a stage hold the same key. ``generated``
        has the base model's articles under ``base``, ``scored`` also the real ones under ``real``.
    updated
        Likewise: each model's update from the one before, projected on the bias direction, by
        articles that the model before wrote in a stream of its own; empty where the config has no
        direction.
    neurons
        Likewise: each model's neurons, the base model's under ``base``; empty without sites.
    contrast
        The models that give the bias direction, where they do.
    """

    config: Config
    corpus: Stage
    base: Stage
    instruments: Mapping[str, Stage]
    finetuned: Mapping[SetKey, Stage]
    generated: Mapping[SetKey, Stage]
    scored: Mapping[SetKey, Stage]
    updated: Mapping[SetKey, Stage]
    neurons: Mapping[SetKey, Stage]
    contrast: Stage | None

    @property
    def stages(self) -> dict[str, Stage]:
        """Every stage, by key; what is computed in shards has them after all others."""
        everything = [
            self.corpus,
            self.base,
            *self.instruments.values(),
            *self.finetuned.values(),
            *self.generated.values(),
            *self.scored.values(),
            *([self.contrast] if self.contrast else []),
            *self._streams,
            *self.updated.values(),
            *self.neurons.values(),
        ]
        found: dict[str, Stage] = {}
        while everything:
            found |= {stage.key: stage for stage in everything if stage.key not in found}
            read = [source for stage in everything for source in stage.inputs.values()]
            everything = list(
                {stage.key: stage for stage in read if stage.key not in found}.values()
            )
        return found

    @property
    def _streams(self) -> list[Stage]:
        """The second streams' articles and scores."""
        names = ("articles", "scores")
        inputs = [stage.inputs for stage in self.updated.values()]
        return [own[name] for own in inputs for name in names if name in own]

    @property
    def targets(self) -> list[Stage]:
        """The stages whose outputs a finished run must have, in order, each once."""
        by_set = (self.generated, self.scored, self.neurons, self.updated)
        wanted = [
            self.corpus,
            *self.instruments.values(),
            *(stages[key] for key in self.scored for stages in by_set if key in stages),
        ]
        wanted += self._streams  # what an update was measured on stays beside it
        return list({stage.key: stage for stage in wanted}.values())


def content_of(model: str) -> Any:  # noqa: ANN401 - JSON
    """Name a model's content: hashes of its files where it is local, else its id."""
    location = resolve_model(model)
    if location.adapter and location.name != str(location.adapter.folder):
        base = content_of(location.adapter.base)
        revision = location.adapter.revision
        own = _files_of(location.adapter.folder)
        return {"adapter": own, "base": base, "revision": revision}
    if not location.is_local:
        return location.name
    folder = Path(location.name)
    if location.gguf_file:
        return sha256_file(folder / location.gguf_file)
    return _files_of(folder)


def _files_of(folder: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in sorted(folder.iterdir()) if path.is_file()}


def _instrument_content(config: Config, metric: str) -> dict[str, Any]:
    """Name what an instrument's settings point to: a classifier's files, an asset's version."""
    section = getattr(config.metrics, metric, None)
    classifier = getattr(section, "classifier", "builtin")
    content: dict[str, Any] = {}
    if classifier != "builtin":
        content["classifier"] = content_of(classifier)
    if "minilm" in getattr(section, "candidates", ()):
        content["minilm"] = sha256_file(
            next(iter(sorted(asset_path("minilm").rglob("*.safetensors"))))
        )
        content["version"] = ASSETS["minilm"].version
    return content


def contents_of(config: Config) -> dict[str, Any]:
    """Name the content of every input: ``corpus``, ``base`` and, by metric, ``instruments``.

    Raises
    ------
    InputError
        If an input is missing.
    """
    return {
        "corpus": fingerprint(config.corpus),
        "base": None if config.base.model == "scratch" else content_of(config.base.model),
        "instruments": {name: _instrument_content(config, name) for name in config.metrics.names},
    }


def make_plan(config: Config, contents: Mapping[str, Any] | None = None) -> Plan:
    """Lay out every stage of a run.

    Parameters
    ----------
    config
        The experiment.
    contents
        What the inputs' content was, as from `contents_of`, so that a finished run can be read
        when they are gone; None looks at them.

    Raises
    ------
    InputError
        If an input is missing, or a regime or metric is not known.
    """
    for name in config.metrics.names:
        metric_kind(name)
    contents = contents_of(config) if contents is None else contents
    corpus = Stage(
        "corpus",
        "corpus",
        {
            "corpus": _corpus_settings(config),
            "seed": config.seed,
            "content": contents["corpus"],
        },
        {},
        lambda out, inputs, progress, scratch: work.write_corpus(config, out),
    )
    base = _base(config, corpus, contents["base"])
    instruments = {
        name: _instrument(config, name, corpus, base, contents["instruments"].get(name, {}))
        for name in config.metrics.names
    }
    finetuned: dict[SetKey, Stage] = {}
    generated: dict[SetKey, Stage] = {
        (BASE, 0, -1): generate_stage(config, "base model", corpus, base, 0, -1)
    }
    scored = {
        (REAL, 0, -1): score_stage(config, "real articles", corpus, base, instruments, {}),
        (BASE, 0, -1): score_stage(
            config,
            "base model",
            corpus,
            base,
            instruments,
            {"articles": generated[BASE, 0, -1], "model": base},
        ),
    }
    contrast = _contrast(config, corpus, base) if config.bias_direction == "contrast" else None
    updated: dict[SetKey, Stage] = {}
    neurons: dict[SetKey, Stage] = {}
    if config.neurons.sites:
        neurons[BASE, 0, -1] = _neurons(config, "base model", corpus, base)
    for seed in config.loop.seeds:
        for generation in range(config.loop.generations + 1):
            for regime in config.regimes:
                key = (regime.label, seed, generation)
                name = f"{regime.label} seed {seed} generation {generation}"
                finetuned[key] = _finetune(
                    config, name, key, corpus, base, finetuned, generated, scored
                )
                generated[key] = generate_stage(
                    config, name, corpus, finetuned[key], seed, generation
                )
                scored[key] = score_stage(
                    config,
                    name,
                    corpus,
                    base,
                    instruments,
                    {"articles": generated[key], "model": finetuned[key]},
                )
                if config.neurons.sites:
                    neurons[key] = _neurons(config, name, corpus, finetuned[key])
                if config.bias_direction == "none":
                    continue
                before = finetuned[regime.label, seed, generation - 1] if generation else base
                inputs = {"before": before, "after": finetuned[key], "corpus": corpus}
                if contrast:
                    inputs |= {"base": base, "contrast": contrast}
                else:
                    # Not the articles that made the update: it was fitted to their chance, too.
                    inputs |= second_stream(
                        config,
                        f"{regime.label} seed {seed} generation {generation - 1}"
                        if generation
                        else "base model",
                        corpus,
                        base,
                        instruments["leaning"],
                        before,
                        (seed, generation - 1) if generation else (0, -1),
                    )
                updated[key] = _update(config, name, inputs)
    return Plan(
        config,
        corpus,
        base,
        instruments,
        finetuned,
        generated,
        scored,
        updated,
        neurons,
        contrast,
    )


def _corpus_settings(config: Config) -> dict[str, Any]:
    """Leave out what came later and is not used, so that older runs and bases are still known."""
    unused = {"real_labels": None, "fresh_sets": 0}
    others = {"control"} if config.corpus.source != "control" else set()
    settings = without_folders(config).corpus.model_dump(mode="json", exclude=others)
    return {name: value for name, value in settings.items() if unused.get(name, ...) != value}


def _training_settings(training: TrainingConfig) -> dict[str, Any]:
    """Leave out what changes no weight."""
    return training.model_dump(mode="json", exclude={"checkpoint_minutes", "report_to"})


def _base(config: Config, corpus: Stage, content: Any) -> Stage:  # noqa: ANN401 - JSON
    from_scratch = config.base.model == "scratch"
    settings: dict[str, Any] = {"seed": config.seed if from_scratch else None}
    if from_scratch:
        settings["scratch"] = config.base.scratch.model_dump(mode="json")
    else:
        settings["content"] = content
        settings["revision"] = config.base.revision
    pretraining = config.base.scratch.pretraining
    return Stage(
        "base",
        "base model: pre-train" if from_scratch else "base model: load",
        settings,
        {"corpus": corpus} if from_scratch else {},
        lambda out, inputs, progress, scratch: work.write_base(
            config, inputs, out, progress, scratch
        ),
        cost=float(pretraining.steps * pretraining.batch_size * pretraining.tokens)
        if from_scratch
        else 0,
        shared=True,
    )


def _instrument(
    config: Config, name: str, corpus: Stage, base: Stage, content: Mapping[str, Any]
) -> Stage:
    return Stage(
        "instrument",
        f"{name}: instrument",
        {
            "metric": name,
            "metrics": instrument_settings(config, name),
            "content": content,
            "seed": config.seed,
        },
        {"corpus": corpus, "base": base},
        lambda out, inputs, progress, scratch: work.write_instrument(config, name, inputs, out),
    )


def _finetune(
    config: Config,
    name: str,
    key: SetKey,
    corpus: Stage,
    base: Stage,
    finetuned: Mapping[SetKey, Stage],
    generated: Mapping[SetKey, Stage],
    scored: Mapping[SetKey, Stage],
) -> Stage:
    label, seed, generation = key
    regime_config = next(r for r in config.regimes if r.label == label)
    regime = make_regime(regime_config)
    training = regime.training(config.training)
    previous = config.loop.start == "previous" and generation > 0
    inputs = {
        "corpus": corpus,
        "start": finetuned[label, seed, generation - 1] if previous else base,
    }
    settings: dict[str, Any] = {
        "training": _training_settings(training),
        "seed": [config.seed, seed, generation],
    }
    if generation:
        settings["regime"] = {"kind": regime_config.kind, **regime.settings()}
        inputs |= {f"generation-{g}": generated[label, seed, g] for g in regime.reads(generation)}
        sets = {"scores-": scored[label, seed, generation - 1], "real-": scored[REAL, 0, -1]}
        inputs |= {
            f"{start}{metric}": own.inputs[f"{metric}-0"]
            for start, own in sets.items()
            for metric in regime.metrics()
            if f"{metric}-0" in own.inputs  # not where only other instruments are wanted
        }
    set_seed = integer(config.seed, "training-set", seed, generation)
    train_seed = integer(config.seed, "finetune", seed, generation)

    def run(out: Path, paths: Mapping[str, Path], progress: Progress, scratch: Path) -> None:
        work.write_finetuned(
            regime,
            training,
            generation,
            (set_seed, train_seed),
            f"{config.name} {name}",
            paths,
            out,
            progress,
            scratch,
            config.executor.sharding,
        )

    articles = regime.expected_size(generation, 1, config.generation.samples_per_prompt)
    return Stage(
        "finetune", f"{name}: fine-tune", settings, inputs, run, cost=articles * training.epochs
    )


def _contrast(config: Config, corpus: Stage, base: Stage) -> Stage:
    seed = integer(config.seed, "contrast")
    return Stage(
        "contrast",
        "bias direction: fine-tune on each leaning",
        {"training": _training_settings(config.training), "seed": seed},
        {"corpus": corpus, "base": base},
        lambda out, inputs, progress, scratch: work.write_contrast(
            config.training, seed, f"{config.name} contrast", inputs, out, progress, scratch
        ),
        cost=config.training.epochs,
    )


def _update(config: Config, name: str, inputs: Mapping[str, Stage]) -> Stage:
    sampled = config.bias_direction == "gradient"
    return Stage(
        "update",
        f"{name}: update",
        {"generation": generation_settings(config)} if sampled else {},
        inputs,
        lambda out, paths, progress, scratch: work.write_update(config.generation, paths, out),
        cost=1.0,
    )


def _neurons(config: Config, name: str, corpus: Stage, model: Stage) -> Stage:
    return Stage(
        "neurons",
        f"{name}: neurons",
        config.neurons.model_dump(mode="json"),
        {"corpus": corpus, "model": model},
        lambda out, inputs, progress, scratch: work.write_neurons(config.neurons, inputs, out),
        cost=1.0,
    )
