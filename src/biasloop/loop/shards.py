"""Generation and scoring as stages: one for a whole set of articles, or shards and their join.

Knows how a set is cut, not who runs the parts.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """Lay out how a model writes from the real articles; every shard has its own seed.

    Streams of other names are independent of each other where articles are sampled.
    """
    stream = integer(config.seed, stream_name, seed, generation + 1)
    inputs = {"corpus": corpus, "model": model}
    if config.loop.shards == 1:
        return _generate(config, f"{name}: generate", inputs, stream, work.WHOLE)
    shards = {
        f"{work.SHARD}{shard.number}": _generate(
            config,
            f"{name}: generate {shard.number + 1}/{shard.count}",
            inputs,
            integer(stream, "shard", shard.number),
            shard,
        )
        for shard in _shards(config)
    }
    return Stage(
        "join",
        f"{name}: join articles",
        {},
        shards,
        lambda out, paths, progress, scratch: work.join_generated(paths, out),
    )


def generation_settings(config: Config) -> dict[str, Any]:
    """Return how articles are written; what came later only where it is not what it always was.

    Settings of the protocol that is not chosen are left out by the config itself.
    """
    always = {"engine": "transformers", "prompts": "blocks"}
    settings = config.generation.model_dump(mode="json")
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
    scored = {
        "corpus": corpus,
        "base": base,
        **{f"instrument-{metric}": stage for metric, stage in instruments.items()},
        **inputs,
    }
    metrics = without_folders(config).metrics.model_dump(mode="json")
    settings = {"metrics": metrics, "seed": config.seed}
    if config.loop.shards == 1:
        return Stage(
            "score",
            f"{name}: score",
            settings,
            scored,
            lambda out, paths, progress, scratch: work.write_scores(config, paths, out),
            cost=1.0,
        )
    model = scored.pop("model", None)
    parts = {
        f"{work.SHARD}{shard.number}": _score_shard(config, name, settings, scored, shard)
        for shard in _shards(config)
    }
    if model:
        parts["holdout"] = _score_holdout(config, name, corpus, model)
    whole = {f"instrument-{metric}" for metric in instruments if metric_kind(metric).whole_set}
    return Stage(
        "join",
        f"{name}: join scores",
        settings,
        {
            **{
                key: stage
                for key, stage in scored.items()
                if key in whole or not key.startswith("instrument-")
            },
            **parts,
        },
        lambda out, paths, progress, scratch: work.join_scores(config, paths, out),
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


def _score_shard(
    config: Config,
    name: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, Stage],
    shard: work.Shard,
) -> Stage:
    return Stage(
        "score",
        f"{name}: score {shard.number + 1}/{shard.count}",
        {**settings, **_settings(shard)},
        inputs,
        lambda out, paths, progress, scratch: work.write_shard_scores(config, paths, out, shard),
        cost=1.0 / shard.count,
    )


def _score_holdout(config: Config, name: str, corpus: Stage, model: Stage) -> Stage:
    return Stage(
        "score",
        f"{name}: score on held-out text",
        {"holdout": config.metrics.perplexity_batch_size},
        {"corpus": corpus, "model": model},
        lambda out, paths, progress, scratch: work.write_holdout_scores(config, paths, out),
        cost=1.0 / config.loop.shards,
    )
