"""What a model is prompted with: an article's blocks, or its opening. Knows a tokenizer, no model.

docs/protocols.md says what each of the two can show.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from biasloop.config import GenerationConfig
from biasloop.errors import InputError
from biasloop.models import beginning, begun, tokenized
from biasloop.stages.finetune import training_text

#: Stands between a real article's id and the number of a further sample from its opening.
SAMPLE_MARK = "#"


def split_blocks(tokens: Sequence[int], block_tokens: int) -> list[list[int]]:
    """Cut tokens into blocks of ``block_tokens``; the last may be shorter, none is empty.

    An empty sequence has no block; one shorter than a block is one block; an exact multiple has
    no short one.
    """
    if block_tokens < 1:
        raise ValueError(f"block_tokens is {block_tokens}; a block has at least one token")
    return [list(tokens[i : i + block_tokens]) for i in range(0, len(tokens), block_tokens)]


def blocks_of(
    title: Sequence[int],
    body: Sequence[int],
    block_tokens: int,
    limit: int | None = None,
    whole_title: bool = False,
) -> list[list[int]]:
    """List an article's blocks: its title's tokens, then its body's.

    Parameters
    ----------
    title, body
        Token ids.
    block_tokens
        Length of a prompt; a title longer than that is cut into blocks, too.
    limit
        Only this many tokens of the body are used; None uses all.
    whole_title
        Whether the title is one block, however long.

    Notes
    -----
    The published protocol (arXiv 2410.15234, section 4.1): title first, then blocks of 64.
    """
    used = body if limit is None else body[:limit]
    first = max(1, len(title)) if whole_title else block_tokens
    return split_blocks(title, first) + split_blocks(used, block_tokens)


def openings_of(
    tokenizer: Any,  # noqa: ANN401 - a transformers tokenizer
    real: pl.DataFrame,
    opening_tokens: int,
) -> list[list[int]]:
    """Cut the first tokens off each article, as fine-tuning has its text: title, line, body.

    Raises
    ------
    InputError
        If nothing follows the opening in some article.
    """
    texts = (training_text(title, body) for title, body in real.select("title", "body").iter_rows())
    begins = len(beginning(tokenizer))
    encoded = begun(tokenizer, texts, begins + opening_tokens + 1)
    openings: list[list[int]] = []
    short: list[tuple[int, str]] = []
    for article_id, ids in zip(real["article_id"], encoded, strict=True):
        openings.append(ids[: begins + opening_tokens])
        if len(ids) - begins <= opening_tokens:
            short.append((len(ids) - begins, article_id))
    if short:
        shortest, article_id = min(short)
        count = f"{len(short):,} of {real.height:,} articles are"
        lower = (
            f"lower generation.opening_tokens to {shortest - 1} or less, or leave"
            if shortest > 1
            else "leave"
        )
        raise InputError(
            f"generation.opening_tokens is {opening_tokens}, and {count} no longer than that, "
            f"title included; the shortest is '{article_id[:80]}' of {shortest} tokens: {lower} "
            "short articles out of the corpus"
        )
    return openings


def check_prompts(real: pl.DataFrame, config: GenerationConfig, context: int) -> None:
    """Refuse what can be told from a model's context (`LoadedModel.room`) and the articles' ids.

    Raises
    ------
    InputError
        If a prompt and its continuation do not fit the context, or the id of a real article may
        be taken for a sample's.
    """
    name = f"{'block' if config.prompts == 'blocks' else 'opening'}_tokens"
    needed = config.prompt_tokens + config.new_tokens
    if needed > context:
        raise InputError(
            f"generation.{name} + generation.new_tokens is {needed}, more than the model's "
            f"context of {context} tokens"
        )
    if config.samples_per_prompt > 1:
        marked = [i for i in real["article_id"] if re.search(rf"{SAMPLE_MARK}\d+$", i)]
        if marked:
            raise InputError(
                f"generation.samples_per_prompt is {config.samples_per_prompt}, so that "
                f"'{SAMPLE_MARK}' and a number at an article's end of id mark a further sample, "
                f"and {len(marked):,} real articles have such an id, as '{marked[0][:80]}': give "
                "them other ids, or number the rows with corpus.columns.article_id: null"
            )


def article_prompts(
    tokenizer: Any,  # noqa: ANN401 - a transformers tokenizer
    real: pl.DataFrame,
    config: GenerationConfig,
    context: int,
) -> list[list[list[int]]]:
    """List the prompts of each real article, in order: its blocks, or its opening alone.

    Each begins as the tokenizer begins a text, beside the tokens that the config counts.

    Raises
    ------
    InputError
        If nothing follows the opening in some article, or a whole title and its continuation do
        not fit the context (`LoadedModel.room`).
    """
    if config.prompts == "openings":
        return [[one] for one in openings_of(tokenizer, real, config.opening_tokens)]
    first = beginning(tokenizer)
    titles, bodies = list(tokenized(tokenizer, real["title"])), tokenized(tokenizer, real["body"])
    longest = max(range(real.height), key=lambda row: len(titles[row]), default=0)
    if config.whole_titles and titles and len(titles[longest]) + config.new_tokens > context:
        raise InputError(
            f"generation.whole_titles: the title of '{real['article_id'][longest][:80]}' has "
            f"{len(titles[longest]):,} tokens, which with generation.new_tokens are more than the "
            f"model's context of {context:,}: leave whole_titles out, or the article"
        )
    settings = config.block_tokens, config.max_article_tokens, config.whole_titles
    return [
        [[*first, *block] for block in blocks_of(*ids, *settings)]
        for ids in zip(titles, bodies, strict=True)
    ]


def sample_id(article_id: str, sample: int) -> str:
    """Name a sample, counted from 1; the first has the id of the real article."""
    return article_id if sample == 1 else f"{article_id}{SAMPLE_MARK}{sample}"


def prompted_by(article_ids: pl.Series, config: GenerationConfig) -> pl.Series:
    """Return the ids of the real articles from which these were written."""
    if config.samples_per_prompt == 1:
        return article_ids
    return article_ids.str.replace(rf"{SAMPLE_MARK}\d+$", "")


def repeated(real: pl.DataFrame, config: GenerationConfig) -> pl.DataFrame:
    """Repeat each real article once per sample written from it, with the samples' ids.

    Returns
    -------
    polars.DataFrame
        `tables.ARTICLES`, an article's samples one after the other.
    """
    samples = config.samples_per_prompt
    if samples == 1:
        return real
    ids = [sample_id(one, k) for one in real["article_id"] for k in range(1, samples + 1)]
    rows = np.repeat(np.arange(real.height), samples)
    return real[rows].with_columns(pl.Series("article_id", ids, dtype=pl.String))
