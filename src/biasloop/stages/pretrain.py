"""Pre-train a model from scratch on a stated mix of leanings, so that its bias is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from biasloop.config import ScratchConfig
from biasloop.device import choose_for_training
from biasloop.errors import InputError, nearest
from biasloop.models.load import LoadedModel, build_scratch_model, train_tokenizer
from biasloop.models.tokens import tokenized
from biasloop.seeds import generator, integer
from biasloop.stages.generate import training_text
from biasloop.stages.train import Progress, TrainingLog, train


def _shares(articles: pl.DataFrame, mix: dict[str, float]) -> dict[str, float]:
    present = articles.group_by("label").len().sort("label")
    counts = dict(present.iter_rows())
    if not mix:
        return {label: count / articles.height for label, count in counts.items()}
    for label in mix:
        if label not in counts:
            raise InputError(
                f"base.scratch.pretraining.mix: no pre-training article is labelled '{label}': "
                + nearest(label, counts)
            )
    total = sum(mix.values())
    if total <= 0:
        raise InputError("base.scratch.pretraining.mix: the shares sum to 0")
    return {label: share / total for label, share in sorted(mix.items())}


def pretrain(
    articles: pl.DataFrame,
    config: ScratchConfig,
    seed: int,
    on_progress: Progress | None = None,
    checkpoints: Path | None = None,
    checkpoint_minutes: float = 10.0,
) -> tuple[LoadedModel, TrainingLog]:
    """Train a tokenizer and a model on articles drawn by leaning.

    Each pre-training sequence starts at a random place of an article: its leaning is drawn with
    the probability that ``mix`` gives it, the article uniformly within the leaning, so the
    bias of the training text is the stated one whatever the corpus holds.

    Parameters
    ----------
    articles
        `tables.ARTICLES`: text that no generation is prompted with.
    seed
        Of the weights and of every draw.
    checkpoints, checkpoint_minutes
        A folder for this training's checkpoints, to resume from; see `train`.

    Raises
    ------
    InputError
        If there is no article, or the mix names a leaning that no article has.
    """
    if articles.is_empty():
        raise InputError(
            "base.model: scratch has no article left to pre-train on: every one is in the loop or "
            "with the classifiers. Lower corpus.articles_per_label or corpus.instrument_fraction"
        )
    articles = articles.sort("article_id")
    shares = _shares(articles, config.pretraining.mix)
    texts = [training_text(t, b) for t, b in articles.select("title", "body").iter_rows()]
    tokenizer = train_tokenizer(texts, config.vocabulary)
    end = tokenizer.eos_token_id
    by_label: dict[str, list[np.ndarray]] = {label: [] for label in shares}
    for ids, label in zip(tokenized(tokenizer, texts), articles["label"], strict=True):
        if label in by_label:
            by_label[label].append(np.asarray([*ids, end], np.int32))
    settings = config.pretraining
    length = min(settings.tokens, config.context)
    random = generator(seed, "pretrain", "sequences")
    labels = list(shares)
    drawn = random.choice(
        len(labels), size=settings.steps * settings.batch_size, p=list(shares.values())
    )
    samples = []
    for index in drawn:
        pool = by_label[labels[index]]
        first = pool[random.integers(len(pool))]
        sample = first[random.integers(max(1, len(first) - 1)) :][:length]
        while len(sample) < length:
            sample = np.concatenate([sample, pool[random.integers(len(pool))]])[:length]
        samples.append(sample.tolist())
    loaded = build_scratch_model(tokenizer, config, integer(seed, "pretrain", "weights"))
    log = train(
        replace(loaded, device=choose_for_training(settings.precision)),
        samples,
        seed=integer(seed, "pretrain", "order"),
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup_steps,
        schedule="cosine",
        run_name="pretrain",
        on_progress=on_progress,
        checkpoints=checkpoints,
        checkpoint_minutes=checkpoint_minutes,
    )
    return loaded, log
