"""Generation and scoring as stages: of a whole set of articles or of its shards, and their join.

Every metric is scored by stages of its own, so that one more reads old articles and writes none.
Knows how a set is cut, not who runs the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from biasloop.config import Config, without_folders
from biasloop.loop import work
from biasloop.loop.stage import Stage
from biasloop.metrics import metric_kind
from biasloop.seeds import integer


def generate_stage(
    config: Config,
    name: str,
    corpus: Stage,
    model: Stage,
    seed: int,
    generation: int,
    stream_name: str = "generate",
) -> Stage:
    """Lay out how a model writes from the real articles.

    Streams of other names are independent of each other where articles are sampled; every prompt
    has random numbers of its own, in whatever shard it is.
    """
    stream = integer(config.seed, stream_name, seed, generation + 1)
    inputs = {"corpus": corpus, "model": model}
    whole = _generate(config, f"{name}: generate", inputs, stream, work.WHOLE)
    if config.loop.shards == 1:
        return whole
    shards = [
        _generate(
            config,
            f"{name}: generate {shard.number + 1}/{shard.count}",
            inputs,
            stream,
            shard,
        )
        for shard in _shards(config)
    ]
    return _joined(whole, f"{name}: join articles", shards, work.join_generated)


def _joined(
    whole: Stage, name: str, shards: list[Stage], join: Callable[[work.Inputs, Path], None]
) -> Stage:
    """Lay out how shards become what one stage would have written."""
    return Stage(
        "join",
        name,
        {},
        {f"{work.SHARD}{number}": stage for number, stage in enumerate(shards)},
        lambda out, paths, progress, scratch: join(paths, out),
        whole=whole,
    )


def generation_settings(config: Config) -> dict[str, Any]:
    """Return how articles are written; what came later only where it is not what it always was.

    Settings of the protocol that is not chosen are left out by the config itself.
    """
    always = {"engine": "transformers", "prompts": "blocks"}
    settings = config.generation.model_dump(mode="json")
    return {name: value for name, value in settings.items() if always.get(name, ...) != value}


def instrument_settings(config: Config, metric: str) -> dict[str, Any]:
    """Return a metric's own settings; what came later only where it is not what it always was."""
    section = getattr(without_folders(config).metrics, metric, None)
    settings = section.model_dump(mode="json") if section else {}
    always = {"errors": "sources"}
    return {name: value for name, value in settings.items() if always.get(name, ...) != value}


def _shards(config: Config) -> list[work.Shard]:
    count = config.loop.shards
    return [work.Shard(number, count) for number in range(count)]


def _settings(shard: work.Shard) -> dict[str, Any]:
    # Nothing where there is one shard only, so that runs of before are still known.
    return {} if shard == work.WHOLE else {"shard": [shard.number, shard.count]}


def _generate(
    config: Config, name: str, inputs: Mapping[str, Stage], seed: int, shard: work.Shard
) -> Stage:
    return Stage(
        "generate",
        name,
        {
            "generation": generation_settings(config),
            "seed": seed if config.generation.decoding == "nucleus" else None,
            **_settings(shard),
        },
        inputs,
        lambda out, paths, progress, scratch: work.write_generated(
            config.generation, seed, paths, out, progress, shard
        ),
        cost=1.0 / shard.count,
    )


def score_stage(
    config: Config,
    name: str,
    corpus: Stage,
    base: Stage,
    instruments: Mapping[str, Stage],
    inputs: Mapping[str, Stage],
) -> Stage:
    """Lay out how a set of articles is scored.

    Parameters
    ----------
    config, name, corpus, base
        The experiment, what to call the stage, and what all sets are scored with.
    instruments
        By metric.
    inputs
        The set's ``articles``, where they are not the real ones, and the ``model`` that wrote
        them.
    """
    read = {"corpus": corpus, "base": base}
    read |= {key: stage for key, stage in inputs.items() if key == "articles"}
    parts = {
        f"{metric}-0": _score_in_shards(config, name, metric, {**read, "instrument": instrument})
        for metric, instrument in instruments.items()
    }
    if "model" in inputs:
        parts["holdout"] = _score_holdout(config, name, corpus, inputs["model"])
    order = list(parts)
    return Stage(
        "join",
        f"{name}: join scores",
        {"order": order},
        parts,
        lambda out, paths, progress, scratch: work.join_scores(order, paths, out),
    )


def second_stream(
    config: Config,
    name: str,
    corpus: Stage,
    base: Stage,
    instrument: Stage,
    model: Stage,
    place: tuple[int, int],
) -> dict[str, Stage]:
    """Lay out articles that a model writes beside those that are trained on, and their leaning.

    Parameters
    ----------
    config, name, corpus, base, model
        As for the other articles of that model.
    instrument
        Of leaning, the only metric.
    place
        The model's seed and generation.

    Returns
    -------
    dict
        Its ``articles`` and its ``scores``.
    """
    name = f"{name} second stream"
    articles = generate_stage(config, name, corpus, model, *place, "second-stream")
    metrics = config.metrics.model_copy(update={"names": ("leaning",)})
    scores = score_stage(
        config.model_copy(update={"metrics": metrics}),
        name,
        corpus,
        base,
        {"leaning": instrument},
        {"articles": articles},
    )
    return {"articles": articles, "scores": scores}


def _score_in_shards(config: Config, name: str, metric: str, inputs: Mapping[str, Stage]) -> Stage:
    whole = _score(config, name, metric, inputs, work.WHOLE)
    if config.loop.shards == 1 or metric_kind(metric).whole_set:
        return whole
    shards = [_score(config, name, metric, inputs, shard) for shard in _shards(config)]
    return _joined(whole, f"{name}: join {metric}", shards, work.join_shards_of_scores)


def _score(
    config: Config, name: str, metric: str, inputs: Mapping[str, Stage], shard: work.Shard
) -> Stage:
    part = f" {shard.number + 1}/{shard.count}" if shard != work.WHOLE else ""
    settings = without_folders(config).metrics.model_dump(mode="json", exclude={"names"})
    # Of the sections only the metric's own, so that another classifier scores nothing else anew.
    own = {key: value for key, value in settings.items() if not isinstance(value, dict)}
    if of_instrument := instrument_settings(config, metric):
        own[metric] = of_instrument
    return Stage(
        "score",
        f"{name}: score {metric}{part}",
        {"metric": metric, "metrics": own, "seed": config.seed, **_settings(shard)},
        inputs,
        lambda out, paths, progress, scratch: work.write_scores(config, metric, paths, out, shard),
        cost=1.0 / shard.count,
    )


def _score_holdout(config: Config, name: str, corpus: Stage, model: Stage) -> Stage:
    settings = config.metrics.perplexity_batch_size, config.metrics.perplexity_precision
    return Stage(
        "score",
        f"{name}: score on held-out text",
        {"holdout": list(settings)},
        {"corpus": corpus, "model": model},
        lambda out, paths, progress, scratch: work.write_holdout_scores(config, paths, out),
        cost=1.0,
    )
