"""Fine-tune a model on articles: from text to samples, and from samples to weights."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl

from biasloop.config import GenerationConfig, TrainingConfig
from biasloop.models.load import LoadedModel
from biasloop.models.tokens import begun
from biasloop.stages.generate import chat_for, training_text, turns_of
from biasloop.stages.methods import method_of
from biasloop.stages.train import Objective, Progress, TrainingLog, train

#: Token ids, four bytes each: a list of Python integers takes eight times as much.
Sample: TypeAlias = "array[int]"


def samples_of(loaded: LoadedModel, articles: pl.DataFrame, config: TrainingConfig) -> list[Sample]:
    """Turn articles into training samples: token ids, in the order of the articles.

    With ``samples: line`` each line of an article is one sample, as in the authors' scripts;
    with ``samples: article`` each article is one. A sample is cut at ``max_tokens`` (and at the
    model's context). One of fewer than two tokens has nothing to predict and is left out; with
    ``empty_lines: keep`` it takes its place in a batch. There a line ends at a line feed, a
    carriage return or both, and what follows the last one is a line, too: as in a text file that
    the data sets library reads, which is what the authors' scripts do.
    """
    keep = config.empty_lines == "keep"

    def texts() -> Iterator[str]:
        for title, body in articles.select("title", "body").iter_rows():
            text = training_text(title, body, config.input)
            if keep:
                yield from re.split(r"\r\n|\r|\n", text)
            else:
                yield from text.splitlines() if config.samples == "line" else [text]

    length = min(config.max_tokens, loaded.context)
    samples = (array("i", ids) for ids in begun(loaded.tokenizer, texts(), length))
    if keep:  # a single token has no loss: nothing predicts it
        return [ids or array("i", [loaded.card.pad]) for ids in samples]
    return [ids for ids in samples if len(ids) >= 2]


def training_samples(
    loaded: LoadedModel,
    articles: pl.DataFrame,
    config: TrainingConfig,
    prompts: GenerationConfig | None = None,
) -> tuple[list[Sample], list[int] | None]:
    """Turn articles into what a fine-tuning reads.

    Returns
    -------
    tuple
        `samples_of`, and None. For ``text: chat``, token ids of prompt and answer together, cut
        likewise, and how many of them are the prompt's, on which there is no loss; ``prompts``
        says how the model will be prompted, which decides the turns.
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
    anchor: LoadedModel | None = None,
    kl: float = 0.0,
    kept: Path | None = None,
    prompts: GenerationConfig | None = None,
) -> TrainingLog:
    """Fine-tune a model, in place, on a generation's training set.

    Parameters
    ----------
    loaded
        The weights to start from; changed in place.
    articles
        `tables.ARTICLES`; a column ``weight`` says what each counts for in the loss.
    seed
        Of the order of samples and of dropout.
    checkpoints
        A folder for this training's checkpoints, to resume from; see `train`.
    save_to
        Where the weights go, whole, if they lie in several processes; see `train`; a
        method's `gather` then makes a model of them.
    anchor, kl
        A model that this one is held to, and how much; see `Objective`.
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
    weights = None
    if "weight" in articles.columns:
        rows = (articles[row : row + 1] for row in range(articles.height))
        counts = [len(training_samples(loaded, row, config, prompts)[0]) for row in rows]
        weights = np.repeat(articles["weight"].to_numpy(), counts).tolist()
    asked = weights is not None or (anchor and kl)
    objective = Objective(weights, anchor.model if anchor else None, kl) if asked else None
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
        objective=objective,
    )
    if not save_to:
        method.end(trained, kept)
    return log
