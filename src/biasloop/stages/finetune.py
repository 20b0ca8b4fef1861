"""Fine-tune a model on articles: from text to samples, and from samples to weights."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import polars as pl

from biasloop.config import TrainingConfig, as_given
from biasloop.models import LoadedModel, begun
from biasloop.stages.objective import Objective
from biasloop.stages.train import Progress, TrainingLog, train

#: Token ids, four bytes each: a list of Python integers takes eight times as much.
Sample: TypeAlias = "array[int]"


def training_text(title: str, body: str, template: str = "{title}\n{body}") -> str:
    """Join an article as one text: as ``training.input`` says, whose default this is.

    Without a title, a first line that is the title alone is left out.
    """
    return as_given(template if title else template.removeprefix("{title}\n"), title, body)


def samples_of(loaded: LoadedModel, articles: pl.DataFrame, config: TrainingConfig) -> list[Sample]:
    """Turn articles into training samples.

    With ``samples: line`` each line of an article is one sample, as in the authors' scripts;
    with ``samples: article`` each article is one. A sample is cut at ``max_tokens`` (and at the
    model's context). One of fewer than two tokens has nothing to predict and is left out; with
    ``empty_lines: keep`` it takes its place in a batch. There a line ends at a line feed, a
    carriage return or both, and what follows the last one is a line, too: as in a text file that
    the data sets library reads, which is what the authors' scripts do.

    Returns
    -------
    list of Sample
        Token ids, in the order of the articles.
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
) -> TrainingLog:
    """Fine-tune a model, in place, on a generation's training set.

    Parameters
    ----------
    loaded
        The weights to start from; changed in place.
    articles
        `tables.ARTICLES`; a column ``weight`` says what each counts for in the loss.
    config
        Epochs, learning rate and so on.
    seed
        Of the order of samples and of dropout.
    checkpoints
        A folder for this training's checkpoints, to resume from; see `train`.
    save_to
        Where the weights go, whole, if they lie in several processes; see `train`.
    anchor, kl
        A model that this one is held to, and how much; see `objective`.

    Raises
    ------
    InputError
        If no sample has two tokens: there is nothing to train on.
    """
    samples, objective = samples_of(loaded, articles, config), None
    if "weight" in articles.columns or (anchor and kl):
        weights = _weights(loaded, articles, config) if "weight" in articles.columns else None
        objective = Objective(weights, anchor.model if anchor else None, kl)
    return train(
        loaded,
        samples,
        seed=seed,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        epochs=config.epochs,
        schedule=config.schedule,
        report_to=config.report_to,
        run_name=run_name,
        on_progress=on_progress,
        checkpoints=checkpoints,
        checkpoint_minutes=config.checkpoint_minutes,
        save_to=save_to,
        objective=objective,
    )


def _weights(loaded: LoadedModel, articles: pl.DataFrame, config: TrainingConfig) -> list[float]:
    """Give every sample its article's weight."""
    return [
        weight
        for row, weight in enumerate(articles["weight"])
        for _ in samples_of(loaded, articles[row : row + 1], config)
    ]
