"""Fine-tune a model on articles: from text to samples, and from samples to weights."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import polars as pl

from biasloop.config import GenerationConfig, TrainingConfig
from biasloop.models import LoadedModel, begun
from biasloop.stages.methods import method_of
from biasloop.stages.prompts import chat_for, text_of, turns_of
from biasloop.stages.train import Progress, TrainingLog, train

#: Token ids, four bytes each: a list of Python integers takes eight times as much.
Sample: TypeAlias = "array[int]"


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


def training_samples(
    loaded: LoadedModel,
    articles: pl.DataFrame,
    config: TrainingConfig,
    prompts: GenerationConfig | None = None,
) -> tuple[list[Sample], list[int] | None]:
    """Turn articles into what a fine-tuning reads.

    Parameters
    ----------
    loaded, articles, config
        As for `finetune`.
    prompts
        How the model will be prompted, which decides the turns of ``text: chat``.

    Returns
    -------
    tuple
        `samples_of`, and None. For ``text: chat``, token ids of prompt and answer together, cut
        likewise, and how many of them are the prompt's, on which there is no loss.
    """
    chat = chat_for(loaded, config.asks)
    if chat is None:
        return samples_of(loaded, articles, config), None
    if prompts is None:
        raise ValueError("training.text: chat needs to know how the model will be prompted")
    length = min(config.max_tokens, loaded.context)
    found = [
        (array("i", [*asked, *answer][:length]), len(asked))
        for asked, answer in turns_of(loaded.tokenizer, articles, prompts, chat)
        if len(asked) < length
    ]
    return [sample for sample, _ in found], [asked for _, asked in found]


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
    prompts: GenerationConfig | None = None,
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
    prompts
        See `training_samples`.

    Raises
    ------
    InputError
        If there is nothing to train on: no sample has two tokens. If the model cannot have such
        adapters, or they cannot be merged.
    """
    samples, unlearned = training_samples(loaded, articles, config, prompts)
    method = method_of(config)
    trained = method.begin(loaded.model, seed)
    log = train(
        replace(loaded, model=trained),
        samples,
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
        unlearned=unlearned,
        method=method.identity,
    )
    if not save_to:
        method.end(trained, kept)
    return log
