"""What a run will cost, before it is run: stages, tokens, disk. Trains nothing, writes nothing.

Tokens of real articles are counted; of fresh ones (``corpus.fresh_sets``) those of the others are
taken. A synthetic article is taken to be as long as the protocol makes it (every prompt continued
by ``new_tokens``) and to be broken into lines as the real ones are; a model that ends its text
early writes less, and one that writes no words may write more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from biasloop.config import Config
from biasloop.corpus import load_corpus, split_parts
from biasloop.loop.plan import SetKey, make_plan
from biasloop.models import LoadedModel, build_scratch_model, load_model, train_tokenizer
from biasloop.regimes import make_regime
from biasloop.seeds import generator
from biasloop.stages import article_prompts, check_prompts, samples_of
from biasloop.stages.finetune import text_of
from biasloop.tables import ARTICLES, conform

#: What a token of generated text takes on disk: its ids and its characters, compressed.
_BYTES_PER_TOKEN = 7
#: Likewise a score, and a neuron's quantity.
_BYTES_PER_SCORE, _BYTES_PER_NEURON = 6, 30
_SCORES_PER_ARTICLE = 16


@dataclass(frozen=True)
class Estimate:
    """What a run will cost.

    Attributes
    ----------
    stages
        Kind -> how many; shared ones count once.
    regimes
        Regime -> how many models it has of its own; those that it shares count for the first.
    articles
        Real articles in the loop.
    real_tokens, synthetic_tokens
        Of one set of articles, as a fine-tuning reads them in one epoch.
    train_tokens
        What -> tokens trained on, epochs included: ``pretrain``, ``finetune``, ``update``.
    generate_tokens, prompt_tokens
        Tokens written, and read as prompts to write them.
    read_tokens
        Tokens read for perplexity and for neurons.
    parameters
        Of the model.
    disk_bytes
        At the end of the run; ``peak_bytes`` while it runs.
    """

    stages: Mapping[str, int]
    regimes: Mapping[str, int]
    articles: int
    real_tokens: int
    synthetic_tokens: int
    train_tokens: Mapping[str, int]
    generate_tokens: int
    prompt_tokens: int
    read_tokens: int
    parameters: int
    disk_bytes: int
    peak_bytes: int

    @property
    def operations(self) -> dict[str, float]:
        """Floating-point operations, of ``train``, ``generate`` and ``read``.

        Six per parameter and token trained on, two per token read or written (Kaplan et al. 2020,
        arXiv 2001.08361, section 2.1): attention over the context is left out.
        """
        once = 2.0 * self.parameters
        return {
            "train": 3 * once * sum(self.train_tokens.values()),
            "generate": once * (self.generate_tokens + self.prompt_tokens),
            "read": once * self.read_tokens,
        }


@dataclass(frozen=True)
class Material:
    """What a run starts from: the articles by part, and the base model (not yet pre-trained)."""

    parts: Mapping[str, pl.DataFrame]
    model: LoadedModel


def gather(config: Config) -> Material:
    """Load the corpus and the base model, as a run would.

    Raises
    ------
    InputError
        If one of them cannot be had.
    """
    corpus = load_corpus(config.corpus, config.seed)
    table = split_parts(corpus, config.corpus, config.seed)
    parts = {
        name: conform(table.filter(pl.col("part") == name), ARTICLES)
        for name in ("real", "holdout", "pretraining")
    }
    if config.base.model != "scratch":
        return Material(parts, load_model(config.base.model, config.base.revision, "float32"))
    texts = [text_of(t, b) for t, b in parts["pretraining"].select("title", "body").iter_rows()]
    tokenizer = train_tokenizer(texts, config.base.scratch.vocabulary)
    return Material(parts, build_scratch_model(tokenizer, config.base.scratch, config.seed))


def estimate(config: Config, material: Material) -> Estimate:
    """Count what a run will do.

    Parameters
    ----------
    config
        The experiment.
    material
        As from `gather`.

    Raises
    ------
    InputError
        If the articles cannot be prompted with as the config says.
    """
    plan = make_plan(config)
    real, loaded = material.parts["real"], material.model
    samples = config.generation.samples_per_prompt
    check_prompts(real, config.generation, loaded.room)
    lengths = _Lengths.of(real, loaded, config)
    finetuned = {stage.key: key for key, stage in reversed([*plan.finetuned.items()])}
    train = Counter[str]()
    for key in finetuned.values():
        train["finetune"] += round(_finetune_tokens(config, key, real, lengths))
    models, sets = len(finetuned), len({stage.key for stage in plan.generated.values()})
    written = lengths.prompts * config.generation.new_tokens
    if config.base.model == "scratch":
        settings = config.base.scratch.pretraining
        train["pretrain"] = settings.steps * settings.batch_size * settings.tokens
    if plan.contrast:
        train["update"] = round(config.training.epochs * sum(lengths.real.values()))
    streams = {stage.inputs["articles"].key for stage in plan.updated.values() if not plan.contrast}
    if streams:
        updates = len({stage.key for stage in plan.updated.values()})
        train["update"] = updates * (written + lengths.prompt_tokens)
    parameters = sum(p.numel() for p in loaded.model.parameters())
    units = _neurons(config, loaded)
    model_bytes = 4 * parameters
    kept = len({plan.finetuned[key].key for key in plan.finetuned if _kept(config, key[2])})
    tables = (sets + len(streams)) * _BYTES_PER_TOKEN * (written + lengths.prompt_tokens)
    scored = real.height * config.generation.samples_per_prompt
    if config.loop.shards > 1:  # a shard's tables stay beside the whole's
        tables *= 2
    # A metric's scores stay beside the whole set's.
    scores = 2 * _BYTES_PER_SCORE * _SCORES_PER_ARTICLE * scored
    tables += sets * (scores + _BYTES_PER_NEURON * units)
    disk = tables + kept * model_bytes
    return Estimate(
        stages=dict(Counter(stage.kind for stage in plan.stages.values())),
        regimes=dict(Counter(regime for regime, _, _ in finetuned.values())),
        articles=real.height,
        real_tokens=sum(lengths.real.values()),
        synthetic_tokens=round(samples * sum(lengths.synthetic.values())),
        train_tokens=dict(train),
        generate_tokens=(sets + len(streams)) * written,
        prompt_tokens=(sets + len(streams)) * lengths.prompt_tokens,
        read_tokens=_read_tokens(config, material, lengths, models, sets),
        parameters=parameters,
        disk_bytes=disk,
        peak_bytes=disk + 2 * model_bytes,
    )


@dataclass(frozen=True)
class _Lengths:
    """Tokens of each real article and of a synthetic one it prompts, in one epoch, by id."""

    real: Mapping[str, int]
    synthetic: Mapping[str, float]
    prompts: int
    prompt_tokens: int

    @staticmethod
    def of(real: pl.DataFrame, loaded: LoadedModel, config: Config) -> _Lengths:
        encode = loaded.tokenizer
        trained: dict[str, int] = {}
        written: dict[str, float] = {}
        prompts = prompt_tokens = whole = 0
        generation, limit = config.generation, min(config.training.max_tokens, loaded.context)
        found = article_prompts(encode, real, generation)
        for place, row in enumerate(real.iter_rows(named=True)):
            trained[row["article_id"]] = sum(
                map(len, samples_of(loaded, real[place : place + 1], config.training))
            )
            title, body = (
                encode(row[name], add_special_tokens=False)["input_ids"] if row[name] else []
                for name in ("title", "body")
            )
            whole += len(title) + len(body)
            own = found[place]
            prompts += len(own) * generation.samples_per_prompt
            prompt_tokens += sum(map(len, own)) * generation.samples_per_prompt
            written[row["article_id"]] = len(title) + len(own) * generation.new_tokens
        if config.training.samples == "article":
            synthetic = {name: min(size, limit) for name, size in written.items()}
        else:
            share = sum(trained.values()) / max(1, whole)
            synthetic = {name: share * size for name, size in written.items()}
        return _Lengths(trained, synthetic, prompts, prompt_tokens)


def _finetune_tokens(config: Config, key: SetKey, real: pl.DataFrame, lengths: _Lengths) -> float:
    """Put together the training set as the regime would, of rows that say what they are."""
    label, _, generation = key
    regime = make_regime(next(r for r in config.regimes if r.label == label))
    epochs = regime.training(config.training).epochs
    samples = config.generation.samples_per_prompt
    if generation and regime.metrics():  # what it would choose, only the readings say
        mean = sum(lengths.synthetic.values()) / max(real.height, 1)
        return epochs * mean * regime.expected_size(generation, real.height, samples)
    articles = real.with_columns(pl.lit("real").alias("source"))
    if generation:
        synthetic = articles.with_columns(pl.lit("synthetic").alias("source"))
        synthetic = pl.concat([synthetic] * samples)
        random = generator(config.seed, "estimate", *key[1:])
        articles = regime.training_set(
            articles, dict.fromkeys(regime.reads(generation), synthetic), random
        )
    rows = articles.select("article_id", "source").iter_rows()
    return epochs * sum(
        lengths.real[name] if source == "real" else lengths.synthetic[name] for name, source in rows
    )


def _kept(config: Config, generation: int) -> bool:
    last = config.loop.generations
    policy = config.loop.keep_models
    return policy == "all" or (
        generation in {"ends": (0, last), "last": (last,), "none": ()}[policy]
    )


def _neurons(config: Config, loaded: LoadedModel) -> int:
    from biasloop.models.sites import feed_forwards

    if not config.neurons.sites:
        return 0
    blocks = feed_forwards(loaded.model)
    return 5 * sum(block.units(site) for block in blocks for site in config.neurons.sites)


def _read_tokens(
    config: Config, material: Material, lengths: _Lengths, models: int, sets: int
) -> int:
    encode = material.model.tokenizer
    whole = sum(lengths.real.values())
    held = material.parts["holdout"]["body"].to_list()
    held_out = sum(map(len, encode(held, add_special_tokens=False)["input_ids"])) if held else 0
    total = (models + 1) * held_out
    if "perplexity" in config.metrics.names:
        total += sets * lengths.prompts * config.generation.new_tokens + whole
    if config.neurons.sites:
        limit = config.neurons.max_tokens
        bodies = encode(material.parts["real"]["body"].to_list(), add_special_tokens=False)
        total += (models + 1) * sum(min(len(ids), limit) for ids in bodies["input_ids"])
    return total
