"""From a config to the graph of stages. Runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biasloop.assets import ASSETS, asset_path
from biasloop.config import AnyRegimeConfig, AxisConfig, Config, GenerationConfig
from biasloop.corpus.load import fingerprint
from biasloop.errors import InputError
from biasloop.files import sha256_file
from biasloop.hub import Hosted
from biasloop.loop.generation_stages import (
    Base,
    Contrast,
    Corpus,
    Finetune,
    Generate,
    Neurons,
    Update,
)
from biasloop.loop.score_stages import (
    Detect,
    Instrument,
    axis_articles,
    named_axis,
    score_by,
    score_set,
)
from biasloop.loop.stage import Stage, in_shards
from biasloop.metrics import CONTENTS, MODEL_METRICS, metric_kind
from biasloop.models.load import load_model, resolve_model
from biasloop.models.tokens import require_template
from biasloop.regimes import Regime, make_regime
from biasloop.stages.methods import method_of
from biasloop.tables import BASE, REAL

#: Identifies a set of articles: regime, seed, generation.
SetKey = tuple[str, int, int]

_REAL, _BASE = (REAL, 0, -1), (BASE, 0, -1)


@dataclass(frozen=True)
class Axis:
    """A further axis: its instrument, and every set of articles as that reads it."""

    instrument: Instrument
    scored: Mapping[SetKey, Stage]


@dataclass(frozen=True)
class Plan:
    """The stages of a run.

    Attributes
    ----------
    config, contents
        The experiment, and what its inputs' content is: as from `contents_of`.
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
    detected
        By set, as ``generated``: where a regime chooses by how likely articles are human text.
    axes
        The further axes, by name.
    """

    config: Config
    contents: Mapping[str, Any]
    corpus: Stage
    base: Stage
    instruments: Mapping[str, Instrument]
    finetuned: Mapping[SetKey, Stage]
    generated: Mapping[SetKey, Stage]
    scored: Mapping[SetKey, Stage]
    updated: Mapping[SetKey, Stage]
    neurons: Mapping[SetKey, Stage]
    contrast: Stage | None
    detected: Mapping[SetKey, Stage]
    axes: Mapping[str, Axis]

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
            *self.detected.values(),
            *self._on_axes,
        ]
        found: dict[str, Stage] = {}
        while everything:
            found |= {stage.key: stage for stage in everything if stage.key not in found}
            read = [source for stage in everything for source in stage.inputs.values()]
            everything = once(source for source in read if source.key not in found)
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
        return once(
            [
                self.corpus,
                *self.instruments.values(),
                *(stages[key] for key in self.scored for stages in by_set if key in stages),
                *self.detected.values(),
                *self._streams,  # what an update was measured on stays beside it
                *self._on_axes,
            ]
        )

    @property
    def _on_axes(self) -> list[Stage]:
        """The instruments and scores of the further axes."""
        return [
            stage for one in self.axes.values() for stage in (one.instrument, *one.scored.values())
        ]

    @property
    def kept_models(self) -> set[str]:
        """The keys of the fine-tuned models whose weights a finished run keeps."""
        loop = self.config.loop
        last = loop.generations
        generations = {"all": range(last + 1), "ends": (0, last), "last": (last,), "none": ()}
        return {
            stage.key
            for (_, _, generation), stage in self.finetuned.items()
            if generation in generations[loop.keep_models]
        }


def once(stages: Iterable[Stage]) -> list[Stage]:
    """Return each stage once, in the order of their first places."""
    return list({stage.key: stage for stage in stages}.values())


def content_of(model: str, revision: str | None = None) -> Any:  # noqa: ANN401 - JSON
    """Name a model's content: hashes of its files where it is local, else its id and commit."""
    location = resolve_model(model, revision)
    adapter = location.adapter
    if adapter and location.name != str(adapter.folder):
        own = _content(adapter.folder, adapter.hosted)
        base = content_of(adapter.base, adapter.revision)
        return {"adapter": own, "base": base, "revision": adapter.revision}
    if location.gguf_file:
        return sha256_file(Path(location.name, location.gguf_file))
    return _content(Path(location.name), location.hosted)


def _content(folder: Path, hosted: Hosted | None) -> dict[str, Any]:
    """Name what is in a folder and, as ``1_Pooling/config.json``, in those of its modules."""
    if hosted:
        return {"hub": hosted.name, "commit": hosted.commit}
    files = [path for path in [*folder.iterdir(), *folder.glob("[0-9]*_*/*")] if path.is_file()]
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in sorted(files)}


def _instrument_content(config: Config, metric: str) -> dict[str, Any]:
    """Name what an instrument's settings point to: files, an asset's version, an axis's data."""
    section = getattr(config.metrics, metric, None)
    classifier = getattr(section, "classifier", "builtin")
    content = CONTENTS[metric](config.metrics) if metric in CONTENTS else {}
    with named_axis(config):
        if classifier != "builtin":
            content["classifier"] = content_of(classifier)
        if isinstance(section, AxisConfig) and section.data:
            axis_articles(section, config.seed)  # seen to be usable before anything is computed
            content["data"] = fingerprint(section.corpus())
    if "minilm" in (*getattr(section, "candidates", ()), getattr(section, "encoder", "")):
        content["minilm"] = sha256_file(
            next(iter(sorted(asset_path("minilm").rglob("*.safetensors"))))
        )
        content["version"] = ASSETS["minilm"].version
    return content


def contents_of(config: Config, reads_base: bool = True) -> dict[str, Any]:
    """Name the content of every input: ``corpus``, ``base`` and, by metric, ``instruments``.

    Where regimes read files, ``regimes`` has those, by label; ``axes`` likewise those of axes.

    Parameters
    ----------
    config
        The experiment.
    reads_base
        Whether the base model is an input.

    Raises
    ------
    InputError
        If an input is missing, or the base model cannot be trained as the config says.
    """
    files = {one.label: _content_of_file(one) for one in config.regimes if one.input_file}
    if reads_base:
        _check_training(config)
    base = config.base
    axes = {name: _instrument_content(own, "leaning") for name, own in config.axes.items()}
    loaded = reads_base and base.model != "scratch"
    return {
        "corpus": fingerprint(config.corpus),
        "base": content_of(base.model, base.revision) if loaded else None,
        "instruments": {name: _instrument_content(config, name) for name in config.metrics.wanted},
        **({"regimes": files} if files else {}),
        **({"axes": axes} if axes else {}),
    }


def _content_of_file(regime: AnyRegimeConfig) -> str:
    path = Path(regime.input_file or "")
    if not path.is_file():
        raise InputError(f"regime '{regime.label}': file {path}: there is no such file")
    make_regime(regime).read_input()
    return sha256_file(path)


def _check_training(config: Config) -> None:
    """Refuse a training that the base model is not made for; its weights are not read."""
    training, base, method = config.training, config.base, method_of(config.training)
    method.require()
    if base.model == "scratch" or (training.method == "full" and training.text == "plain"):
        return
    shape = load_model(base.model, base.revision, weights=False)
    if training.text == "chat":
        require_template(shape.tokenizer, base.model)
    method.trainable(shape.model)


def _name(key: SetKey) -> str:
    special = {_REAL: "real articles", _BASE: "base model"}
    return special.get(key) or "{} seed {} generation {}".format(*key)


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
    of_model = [name for name in config.metrics.wanted if name in MODEL_METRICS]
    fitted = [name for name in config.metrics.wanted if name not in MODEL_METRICS]
    for metric in fitted:
        metric_kind(metric)
    contents = contents_of(config) if contents is None else contents
    corpus = Corpus(config, "corpus", {}, contents["corpus"])
    from_scratch = config.base.model == "scratch"
    base = Base(
        config,
        "base model: pre-train" if from_scratch else "base model: load",
        {"corpus": corpus} if from_scratch else {},
        contents["base"],
    )
    ground = {"corpus": corpus, "base": base}
    instruments = {
        metric: Instrument(
            config,
            f"{metric}: instrument",
            ground,
            metric,
            contents["instruments"].get(metric, {}),
        )
        for metric in fitted
    }
    scored_models = {metric: contents["instruments"].get(metric, {}) for metric in of_model}
    models: dict[SetKey, Stage] = {}
    generated: dict[SetKey, Stage] = {}
    scored = {_REAL: score_set(_name(_REAL), ground, instruments)}
    axes = {
        name: Instrument(own, f"axis {name}: instrument", ground, "leaning", contents["axes"][name])
        for name, own in config.axes.items()
    }
    on_axes = {name: {_REAL: score_by(_name(_REAL), ground, one)} for name, one in axes.items()}
    updated: dict[SetKey, Stage] = {}
    neurons: dict[SetKey, Stage] = {}
    detected: dict[SetKey, Stage] = {}

    def write(name: str, key: SetKey, decoding: GenerationConfig, stream: str) -> Stage:
        inputs = {"corpus": corpus, "model": models[key]}
        whole = Generate(config, f"{name}: generate", inputs, decoding, key[1:], stream)
        return in_shards(whole, f"{name}: join articles")

    def measure(key: SetKey, decoding: GenerationConfig) -> None:
        name, model = _name(key), models[key]
        generated[key] = write(name, key, decoding, "generate")
        inputs = {**ground, "articles": generated[key]}
        scored[key] = score_set(name, inputs, instruments, model, scored_models)
        for axis, instrument in axes.items():
            on_axes[axis][key] = score_by(name, inputs, instrument)
        if config.neurons.sites:
            inputs = {"corpus": corpus, "model": model}
            neurons[key] = Neurons(config, f"{name}: neurons", inputs)

    models[_BASE] = base
    measure(_BASE, config.generation)
    contrast = None
    if config.bias_direction == "contrast":
        contrast = Contrast(config, "bias direction: fine-tune on each leaning", ground)

    def direction(before: SetKey, decoding: GenerationConfig) -> dict[str, Stage]:
        if contrast:
            return {"base": base, "contrast": contrast}
        # Not the articles that made the update: it was fitted to their chance, too.
        name = f"{_name(before)} second stream"
        articles = write(name, before, decoding, "second-stream")
        inputs, leaning = {**ground, "articles": articles}, {"leaning": instruments["leaning"]}
        return {"articles": articles, "scores": score_set(name, inputs, leaning)}

    def readings(regime: Regime[Any], before: SetKey) -> dict[str, Stage]:
        sets = {"scores-": scored[before], "real-": scored[_REAL]}
        if "human" in regime.metrics():
            inputs = {"corpus": corpus, "articles": generated[before]}
            detected[before] = Detect(config, f"{_name(before)}: detect", inputs)
            return {"scores-human": detected[before]}
        return {
            f"{start}{metric}": own.inputs[f"{metric}-0"]
            for start, own in sets.items()
            for metric in regime.metrics()
            if f"{metric}-0" in own.inputs  # not where only other instruments are wanted
        }

    regimes = [make_regime(regime) for regime in config.regimes]
    unedited: dict[tuple[str, int], Stage] = {}
    for seed in config.loop.seeds:
        for generation in range(config.loop.generations + 1):
            for regime in regimes:
                if seed not in config.seeds_of(regime.config):
                    continue
                label = regime.config.label
                key = (label, seed, generation)
                before = (label, seed, generation - 1) if generation else _BASE
                start = models[before] if config.loop.start == "previous" else base
                own = regime.at(generation)
                read = own.reads(generation) if generation else ()
                articles = {f"generation-{g}": generated[label, seed, g] for g in read}
                inputs = {"corpus": corpus, "start": start, **articles}
                name = f"{_name(key)}: fine-tune"
                if generation:
                    inputs |= readings(own, before)
                    if own.unedited == generation:
                        plain, other = regime.at(0), f"{name} unedited"
                        unedited[label, seed] = Finetune(
                            config, other, {**inputs}, plain, seed, generation
                        )
                    anchors = {"base": base, "generation_0": models[label, seed, 0]}
                    inputs |= {"anchor": anchors[own.anchor]} if own.anchor else {}
                    inputs |= {"unedited": unedited[label, seed]} if own.unedited else {}
                files = contents.get("regimes", {})
                content = files.get(label) if own.config.input_file else None
                models[key] = Finetune(config, name, inputs, own, seed, generation, content)
                decoding = regime.config.generation(config.generation)
                measure(key, decoding)
                if config.bias_direction != "none":
                    inputs = {"before": models[before], "after": models[key], "corpus": corpus}
                    inputs |= direction(before, decoding)
                    updated[key] = Update(config, f"{_name(key)}: update", inputs, decoding)
    del models[_BASE]
    return Plan(
        config,
        contents,
        corpus,
        base,
        instruments,
        models,
        generated,
        scored,
        updated,
        neurons,
        contrast,
        detected,
        {name: Axis(one, on_axes[name]) for name, one in axes.items()},
    )
