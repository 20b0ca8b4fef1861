"""Fine-tune a model on articles: from text to samples, and from samples to weights."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import polars as pl

from biasloop.config import TrainingConfig
from biasloop.models import LoadedModel, begun
from biasloop.stages.methods import method_of
from biasloop.stages.train import Progress, TrainingLog, train

#: Token ids, four bytes each: a list of Python integers takes eight times as much.
Sample: TypeAlias = "array[int]"


def text_of(title: str, body: str) -> str:
    """Join an article as one text: its title, a line break, its body."""
    return f"{title}\n{body}" if title else body


def samples_of(loaded: LoadedModel, articles: pl.DataFrame, config: TrainingConfig) -> list[Sample]:
    """Turn articles into training samples.

    With ``samples: line`` each line of an article is one sample, as in the authors' scripts;
    with ``samples: article`` each article is one. A sample is cut at ``max_tokens`` (and at the
    model's context); one of fewer than two tokens has nothing to predict and is left out.

    Returns
    -------
    list of Sample
        Token ids, in the order of the articles.
    """

    def texts() -> Iterator[str]:
        for title, body in articles.select("title", "body").iter_rows():
            text = text_of(title, body)
            yield from text.splitlines() if config.samples == "line" else [text]

    length = min(config.max_tokens, loaded.context)
    return [array("i", ids) for ids in begun(loaded.tokenizer, texts(), length) if len(ids) >= 2]


def finetune(
    loaded: LoadedModel,
    articles: pl.DataFrame,
    config: TrainingConfig,
    seed: int,
    run_name: str = "biasloop",
    on_progress: Progress | None = None,
    checkpoints: Path | None = None,
    save_to: Path | None = None,
    kept: Path | None = None,
) -> TrainingLog:
    """Fine-tune a model, in place, on a generation's training set.

    Parameters
    ----------
    loaded
        The weights to start from; changed in place.
    articles
        `tables.ARTICLES`.
    config
        Epochs, learning rate and so on.
    seed
        Of the order of samples and of dropout.
    checkpoints
        A folder for this training's checkpoints, to resume from; see `train`.
    save_to
        Where the weights go, whole, if they lie in several processes; see `train`; a
        method's `gather` then makes a model of them.
    kept
        Where the adapters of ``method: lora`` go before they are merged; None: nowhere.

    Raises
    ------
    InputError
        If no sample has two tokens: there is nothing to train on. If the model cannot have such
        adapters, or they cannot be merged.
    """
    method = method_of(config)
    trained = method.begin(loaded.model, seed)
    log = train(
        replace(loaded, model=trained),
        samples_of(loaded, articles, config),
        seed=seed,
        batch_size=config.batch_size,
        learning_rate=config.rate,
        weight_decay=config.weight_decay,
        epochs=config.epochs,
        schedule=config.schedule,
        report_to=config.report_to,
        run_name=run_name,
        on_progress=on_progress,
        checkpoints=checkpoints,
        checkpoint_minutes=config.checkpoint_minutes,
        save_to=save_to,
        method=method.identity,
    )
    if not save_to:
        method.end(trained, kept)
    return log
