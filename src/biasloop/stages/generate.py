"""Write synthetic articles: the blocks, or the opening, of each real one continued by a model."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from biasloop.config import GenerationConfig
from biasloop.device import make_deterministic
from biasloop.errors import InputError
from biasloop.models import LoadedModel, prepacked
from biasloop.models.fast.decode import (
    TOKEN,
    Tokens,
    decode,
    decode_by_transformers,
    keeps_keys_and_values,
)
from biasloop.models.fast.sampling import Nucleus, Sampler, greedy
from biasloop.seeds import generator, integer
from biasloop.stages.prompts import (
    article_prompts,
    chat_for,
    check_prompts,
    repeated,
    sample_id,
)
from biasloop.tables import ARTICLES, BLOCKS, conform

#: Called with the tokens written since the last call.
Progress = Callable[[int], None]

#: Continues prompts as `continue_prompts` does.
Writer = Callable[..., Sequence[Tokens]]


def continue_prompts(
    loaded: LoadedModel,
    prompts: Sequence[Tokens],
    config: GenerationConfig,
    seed: int,
    on_progress: Progress | None = None,
    names: Sequence[tuple[str | int, ...]] | None = None,
) -> list[np.ndarray]:
    """Continue each prompt by up to ``new_tokens`` tokens, in batches of similar length.

    A prompt's tokens are those that it gets by itself, up to rounding: the order of summation
    may differ with the batch, and a token with it where two are equally likely to about six
    digits (float32).

    Parameters
    ----------
    prompts
        Token ids, none empty.
    seed
        Of nucleus sampling; greedy and beam decoding do not use it.
    names
        What each prompt's own stream of random numbers is named by, together with ``seed``. A
        prompt of the same name draws the same numbers in whatever batch and company. None numbers
        the prompts. Only a model that keeps another state than keys and values (see
        `decode.keeps_keys_and_values`) is sampled by transformers, batch by batch.

    Returns
    -------
    list of np.ndarray
        Continuations, int32, in the order of the prompts; where the model ended the text, one
        ends early and with the end-of-sequence token.
    """
    import torch

    make_deterministic(seed)
    longest = max(map(len, prompts), default=0)
    fast = config.decoding != "beam" and keeps_keys_and_values(
        loaded.model, longest + config.new_tokens
    )
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    continuations: list[np.ndarray] = [np.empty(0, TOKEN)] * len(prompts)
    with torch.inference_mode(), prepacked(loaded.model):
        for start in range(0, len(order), config.batch_size):
            batch = order[start : start + config.batch_size]
            chosen = [prompts[i] for i in batch]
            if fast:
                choice = _choice(config, seed, [names[i] if names else (i,) for i in batch])
                written = decode(loaded, chosen, config.new_tokens, choice)
            else:
                if names:  # whatever was written before
                    make_deterministic(integer(seed, "nucleus", *names[batch[0]]))
                written = decode_by_transformers(loaded, chosen, _options(config))
            for i, tokens in zip(batch, written, strict=True):
                continuations[i] = tokens
            if on_progress:
                on_progress(sum(map(len, written)))
    return continuations


def _choice(config: GenerationConfig, seed: int, names: Sequence[tuple[str | int, ...]]) -> Sampler:
    if config.decoding == "greedy":
        return greedy
    streams = [generator(seed, "nucleus", *name) for name in names]
    return Nucleus(config.top_p, config.temperature, streams, config.min_p)


def _options(config: GenerationConfig) -> dict[str, Any]:
    """Say the same to transformers, for `decode_by_transformers`."""
    options: dict[str, Any] = {"max_new_tokens": config.new_tokens, "do_sample": False}
    if config.decoding == "beam":
        return {**options, "num_beams": config.beams}
    if config.decoding == "nucleus":
        sampling = {"top_p": config.top_p, "top_k": 0, "temperature": config.temperature}
        sampling |= {"min_p": config.min_p} if config.min_p else {}
        return {**options, "do_sample": True, **sampling}
    return options


def generate_blocks(
    loaded: LoadedModel,
    real: pl.DataFrame,
    config: GenerationConfig,
    seed: int,
    on_progress: Progress | None = None,
    write: Writer | None = None,
    instruction: str | None = None,
) -> pl.DataFrame:
    """Let a model continue every block of every real article, or write on from its opening.

    Each prompt of a real article has a stream of random numbers of its own, as has each of the
    samples from one opening: other articles, and more samples, do not change it.

    Parameters
    ----------
    loaded
        The generation's model.
    real
        `tables.ARTICLES`: always the real articles, whatever the generation (arXiv 2410.15234,
        section 4.1).
    config
        Prompts and decoding.
    seed
        Of nucleus sampling.
    write
        What continues prompts, in place of `continue_prompts`.
    instruction
        The user's turn of a chat (`TrainingConfig.asks`), which the prompts are then put into.

    Returns
    -------
    polars.DataFrame
        `tables.BLOCKS`. An opening is block 0 of its article; the samples from it have ids of
        their own (see `prompts.sample_id`).

    Raises
    ------
    InputError
        If a prompt and its continuation do not fit the model's context, nothing follows the
        opening in some article, an article's id may be a sample's, or ``generation.engine``
        is one that is not given: it reads a model from its folder, and this one is in memory.
    """
    if config.engine != "transformers" and write is None:
        raise InputError(
            f"generation.engine: {config.engine} writes with a model in a folder, and this one is "
            "changed in memory; take generation.engine: transformers for it"
        )
    chat = chat_for(loaded, instruction)
    check_prompts(real, config, loaded, chat)
    names: list[tuple[str, int]] = []
    rows: list[tuple[str, int]] = []
    prompts: list[np.ndarray] = []
    found = article_prompts(loaded.tokenizer, real, config, loaded.room, chat)
    for article_id, own in zip(real["article_id"], found, strict=True):
        for sample in range(1, config.samples_per_prompt + 1):
            for block, prompt in enumerate(own):
                # An opening has one block only, so that its samples may be numbered in its place.
                names.append((article_id, block + sample - 1))
                rows.append((sample_id(article_id, sample), block))
                prompts.append(np.asarray(prompt, TOKEN))
    written = (write or continue_prompts)(loaded, prompts, config, seed, on_progress, names)
    return conform(
        pl.DataFrame(
            {
                "article_id": pl.Series([name for name, _ in rows], dtype=pl.String),
                "block": pl.Series([block for _, block in rows], dtype=pl.Int64),
                "prompt": _lists(prompts),
                "continuation": _lists(written),
            }
        ),
        BLOCKS,
    )


def _lists(tokens: Sequence[Tokens]) -> pl.Series:
    """Put arrays of tokens into a column of lists, without a Python integer for each token."""
    import pyarrow as pa

    arrays = [np.asarray(one, TOKEN) for one in tokens]
    ends = np.cumsum([0, *map(len, arrays)], dtype=np.int64)
    values = np.concatenate([np.empty(0, TOKEN), *arrays]).astype(np.int64)
    return pl.Series(pa.LargeListArray.from_arrays(pa.array(ends), pa.array(values)))


def articles_of(
    loaded: LoadedModel, real: pl.DataFrame, blocks: pl.DataFrame, config: GenerationConfig
) -> pl.DataFrame:
    """Join each article's continuations as its body; no prompt is part of it.

    Parameters
    ----------
    loaded
        For its tokenizer.
    real
        The articles that the blocks are of (`tables.ARTICLES`).
    blocks
        `tables.BLOCKS`.
    config
        What the blocks were written with.

    Returns
    -------
    polars.DataFrame
        `tables.ARTICLES`; the id, title, label and source are those of the real article that
        prompted it (of further samples, the id is marked: `prompts.sample_id`), the body is what
        the model wrote (untrusted text).
    """
    articles = repeated(real, config)
    ends = set(loaded.ends)
    written: dict[str, array[int]] = {}
    ordered = blocks.select("article_id", "block", "continuation").sort("article_id", "block")
    for article_id, _, tokens in ordered.iter_rows():
        written.setdefault(article_id, array("i")).extend(t for t in tokens if t not in ends)
    bodies = [
        loaded.tokenizer.decode(list(written.get(article_id, ())), skip_special_tokens=True)
        for article_id in articles["article_id"]
    ]
    return conform(articles.with_columns(pl.Series("body", bodies, dtype=pl.String)), ARTICLES)


def generate_articles(
    loaded: LoadedModel,
    real: pl.DataFrame,
    config: GenerationConfig,
    seed: int,
    on_progress: Progress | None = None,
    instruction: str | None = None,
) -> pl.DataFrame:
    """Let a model write its articles from the real ones: `generate_blocks`, `articles_of`."""
    blocks = generate_blocks(loaded, real, config, seed, on_progress, instruction=instruction)
    return articles_of(loaded, real, blocks, config)
