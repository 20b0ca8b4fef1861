"""What a run will cost, before it is run: stages, tokens, disk, and hours on this machine.

Tokens of real articles are counted; of fresh ones (``corpus.fresh_sets``) those of the others are
taken. A synthetic article is taken to be as long as the protocol makes it (every prompt continued
by ``new_tokens``) and to be broken into lines as the real ones are; a model that ends its text
early writes less, and one that writes no words may write more.
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import polars as pl

from biasloop.config import Config
from biasloop.corpus.load import load_corpus
from biasloop.corpus.split import split_parts
from biasloop.device import choose_for_training
from biasloop.errors import InputError
from biasloop.loop.plan import SetKey, make_plan
from biasloop.metrics.pairs import read_pairs
from biasloop.metrics.perplexity import perplexities
from biasloop.models.load import LoadedModel, build_scratch_model, load_model, train_tokenizer
from biasloop.models.sites import feed_forwards
from biasloop.models.tokens import tokenized
from biasloop.regimes import make_regime
from biasloop.seeds import generator
from biasloop.stages.finetune import training_samples
from biasloop.stages.generate import (
    article_prompts,
    chat_for,
    check_prompts,
    continue_prompts,
    cut_turns,
    training_text,
)
from biasloop.stages.methods import method_of
from biasloop.stages.train import train
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
    parameters, trained_parameters
        Of the model, and how many numbers a fine-tuning changes.
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
    trained_parameters: int
    disk_bytes: int
    peak_bytes: int

    @property
    def operations(self) -> dict[str, float]:
        """Floating-point operations, of ``train``, ``generate`` and ``read``.

        Six per parameter and token trained on, two per token read or written (Kaplan et al. 2020,
        arXiv 2001.08361, section 2.1): attention over the context is left out. Of the six, two
        are the gradient of the parameter itself, which frozen ones have none of.
        """
        once = 2.0 * self.parameters
        tuned = self.train_tokens.get("finetune", 0)
        frozen = 2.0 * (self.parameters - self.trained_parameters) * tuned
        return {
            "train": 3 * once * sum(self.train_tokens.values()) - frozen,
            "generate": once * (self.generate_tokens + self.prompt_tokens),
            "read": once * self.read_tokens,
        }


@dataclass(frozen=True)
class Material:
    """What a run starts from: the articles by part, and the base model (not yet pre-trained)."""

    parts: Mapping[str, pl.DataFrame]
    model: LoadedModel


def gather(config: Config) -> Material:
    """Load the corpus and the base model, as a run would."""
    corpus = load_corpus(config.corpus, config.seed)
    table = split_parts(corpus, config.corpus, config.seed)
    parts = {
        name: conform(table.filter(pl.col("part") == name), ARTICLES)
        for name in ("real", "holdout", "pretraining")
    }
    if config.base.model != "scratch":
        return Material(parts, load_model(config.base.model, config.base.revision, "float32"))
    texts = [
        training_text(t, b) for t, b in parts["pretraining"].select("title", "body").iter_rows()
    ]
    tokenizer = train_tokenizer(texts, config.base.scratch.vocabulary)
    return Material(parts, build_scratch_model(tokenizer, config.base.scratch, config.seed))


def estimate(config: Config, material: Material) -> Estimate:
    """Count what a run will do, of what `gather` gives.

    Raises
    ------
    InputError
        If the articles cannot be prompted with as the config says.
    """
    plan = make_plan(config)
    real, loaded = material.parts["real"], material.model
    samples = config.generation.samples_per_prompt
    check_prompts(real, config.generation, loaded, chat_for(loaded, config.training.asks))
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
    both = written + lengths.prompt_tokens
    if streams:
        train["update"] = len({stage.key for stage in plan.updated.values()}) * both
    parameters = sum(p.numel() for p in loaded.model.parameters())
    sites, model_bytes = config.neurons.sites, 4 * parameters
    blocks = feed_forwards(loaded.model) if sites else ()
    units = 5 * sum(block.units(site) for block in blocks for site in sites)
    trained = method_of(config.training).trainable(loaded.model)
    adapters = 4 * trained * models if config.training.keeps_adapters else 0
    tables = (sets + len(streams)) * _BYTES_PER_TOKEN * both
    if config.loop.shards > 1:  # a shard's tables stay beside the whole's
        tables *= 2
    # A metric's scores stay beside the whole set's.
    scores = 2 * _BYTES_PER_SCORE * _SCORES_PER_ARTICLE * real.height * samples
    tables += sets * (scores + _BYTES_PER_NEURON * units)
    disk = tables + len(plan.kept_models) * model_bytes + adapters
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
        trained_parameters=trained,
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
        trained: dict[str, int] = {}
        written: dict[str, float] = {}
        prompts = prompt_tokens = whole = 0
        generation, limit = config.generation, min(config.training.max_tokens, loaded.context)
        chat = chat_for(loaded, config.training.asks)
        found = article_prompts(loaded.tokenizer, real, generation, loaded.room, chat)
        for place, row in enumerate(real.iter_rows(named=True)):
            article = real[place : place + 1]
            trained[row["article_id"]] = sum(
                map(len, training_samples(loaded, article, config.training, generation)[0])
            )
            title, body = tokenized(loaded.tokenizer, (row["title"], row["body"]))
            whole += len(title) + len(body)
            own = found[place]
            prompts += len(own) * generation.samples_per_prompt
            prompt_tokens += sum(map(len, own)) * generation.samples_per_prompt
            count = len(own) * generation.new_tokens
            written[row["article_id"]] = len(title) + count
            if chat:
                turned = cut_turns(title, range(count), generation, chat)
                written[row["article_id"]] = sum(min(limit, len(a) + len(b)) for a, b in turned)
        if chat:
            synthetic = written
        elif config.training.samples == "article":
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


def _read_tokens(
    config: Config, material: Material, lengths: _Lengths, models: int, sets: int
) -> int:
    def count(texts: Iterable[str], limit: int | None = None) -> int:
        return sum(map(len, tokenized(material.model.tokenizer, texts, limit)))

    names, whole = config.metrics.names, sum(lengths.real.values())
    written = sets * lengths.prompts * config.generation.new_tokens
    total = (models + 1) * count(material.parts["holdout"]["body"])
    if "perplexity" in names:
        total += written + whole
    if "pairs" in names:
        pairs = read_pairs(config.metrics.pairs)
        total += (models + 1) * count(t for pair in pairs for t in (pair.first, pair.second))
    if "own_entropy" in names:
        total += written
    if config.neurons.sites:
        real = material.parts["real"]["body"]
        total += (models + 1) * count(real, config.neurons.max_tokens)
    return total


#: Seconds that each of the three measurements may take, about.
_SECONDS = 10.0


@dataclass(frozen=True)
class Throughput:
    """Tokens per second.

    Attributes
    ----------
    train, generate, read
        Trained on, written, and read for perplexity.
    seconds
        How long measuring took.
    """

    train: float
    generate: float
    read: float
    seconds: float

    def hours(self, cost: Estimate) -> float:
        """Hours that a run will take, scoring by the classifiers not counted."""
        return (
            sum(cost.train_tokens.values()) / self.train
            + cost.generate_tokens / self.generate
            + cost.read_tokens / self.read
        ) / 3600


def measure_throughput(config: Config, material: Material) -> Throughput:
    """Measure speeds on the run's own articles, with a copy of its own model."""
    start = time.perf_counter()
    loaded, real = material.model, material.parts["real"]
    samples, unlearned = training_samples(loaded, real, config.training, config.generation)
    chat = chat_for(loaded, config.training.asks)
    own = article_prompts(loaded.tokenizer, real, config.generation, loaded.room, chat)
    prompts = [prompt for one in own for prompt in one]
    if not samples or not prompts:
        raise InputError("there is no article with two tokens to measure speeds with")
    trained = replace(
        loaded,
        model=method_of(config.training).begin(copy.deepcopy(loaded.model), 0),
        device=choose_for_training(config.training.precision),
    )
    size = config.training.batch_size

    def train_some(steps: int) -> int:
        rows = [i % len(samples) for i in range(steps * size)]
        return train(
            trained,
            [samples[i] for i in rows],
            unlearned=[unlearned[i] for i in rows] if unlearned else None,
            seed=0,
            batch_size=size,
            learning_rate=0.0,
            weight_decay=0.0,
            steps=steps,
        ).tokens

    def generate_some(batches: int) -> int:
        count = batches * config.generation.batch_size
        chosen = [prompts[i % len(prompts)] for i in range(count)]
        return sum(map(len, continue_prompts(loaded, chosen, config.generation, 0)))

    def read_some(batches: int) -> int:
        bodies = real["body"].to_list()
        count = batches * config.metrics.perplexity_batch_size
        texts = [bodies[i % len(bodies)] for i in range(count)]
        perplexities(loaded.model, loaded.tokenizer, texts, config.metrics.perplexity_batch_size)
        return sum(map(len, tokenized(loaded.tokenizer, texts, loaded.context)))

    speeds = [_speed(some) for some in (train_some, generate_some, read_some)]
    return Throughput(*speeds, time.perf_counter() - start)


def _speed(some: Callable[[int], int]) -> float:
    """Tokens per second of ``some(n)``, with n doubled until it takes long enough to be typical."""
    count, spent = 1, 0.0
    while True:
        begun = time.perf_counter()
        tokens = some(count)
        took = time.perf_counter() - begun
        spent += took
        if took > _SECONDS / 2 or spent > _SECONDS:
            return tokens / took
        count *= 2
