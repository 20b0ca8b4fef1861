"""What a model is prompted with: an article's blocks, or its opening. Knows a tokenizer, no model.

docs/protocols.md says what each of the two can show.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from biasloop.config import GenerationConfig, as_given
from biasloop.errors import InputError
from biasloop.models import Chat, LoadedModel, beginning, begun, chat_of, tokenized

#: Stands between a real article's id and the number of a further sample from its opening.
SAMPLE_MARK = "#"


def training_text(title: str, body: str, template: str = "{title}\n{body}") -> str:
    """Join an article as one text: as ``training.input`` says, whose default this is.

    Without a title, a first line that is the title alone is left out.
    """
    return as_given(template if title else template.removeprefix("{title}\n"), title, body)


def chat_for(loaded: LoadedModel, instruction: str | None) -> Chat | None:
    """Lay out the turns that an instruction (`TrainingConfig.asks`) makes; None for plain text."""
    if instruction is None:
        return None
    return chat_of(loaded.tokenizer, instruction, loaded.ends)


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


def check_prompts(
    real: pl.DataFrame, config: GenerationConfig, loaded: LoadedModel, chat: Chat | None = None
) -> None:
    """Refuse what can be told from a model's context and the articles' ids and titles.

    Raises
    ------
    InputError
        If a prompt and its continuation do not fit the context, the id of a real article may
        be taken for a sample's, or one has no title where it is asked for by it.
    """
    name = f"generation.{'block' if config.prompts == 'blocks' else 'opening'}_tokens"
    room = loaded.context - chat.size if chat else loaded.room
    asked = config.prompt_tokens
    if chat and chat.by_title:
        name, asked = "The longest title", max(map(len, _titles(loaded.tokenizer, real)), default=0)
    needed = asked + config.new_tokens
    if needed > room:
        beside = ", its chat template and the instruction left out" if chat else ""
        raise InputError(
            f"{name} + generation.new_tokens is {needed}, more than the model's "
            f"context of {room} tokens{beside}"
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
    chat: Chat | None = None,
) -> list[list[list[int]]]:
    """List the prompts of each real article, in order: its blocks, or its opening alone.

    Each begins as the tokenizer begins a text, beside the tokens that the config counts; of a
    chat it is the user's turn and the generation prompt around them.

    Raises
    ------
    InputError
        If nothing follows the opening in some article, or a whole title and its continuation do
        not fit the context (`LoadedModel.room`).
    """
    first = beginning(tokenizer)
    asks = chat.asks if chat else lambda text: [*first, *text]
    if chat and chat.by_title:
        return [[asks(ids)] for ids in _titles(tokenizer, real)]
    if config.prompts == "openings":
        openings = openings_of(tokenizer, real, config.opening_tokens)
        return [[asks(ids[len(first) :])] for ids in openings]
    titles, bodies = list(tokenized(tokenizer, real["title"])), tokenized(tokenizer, real["body"])
    longest = max(range(real.height), key=lambda row: len(titles[row]), default=0)
    room = context - chat.size if chat else context
    if config.whole_titles and titles and len(titles[longest]) + config.new_tokens > room:
        raise InputError(
            f"generation.whole_titles: the title of '{real['article_id'][longest][:80]}' has "
            f"{len(titles[longest]):,} tokens, which with generation.new_tokens are more than the "
            f"model's context of {room:,}: leave whole_titles out, or the article"
        )
    settings = config.block_tokens, config.max_article_tokens, config.whole_titles
    return [
        [asks(block) for block in blocks_of(*ids, *settings)]
        for ids in zip(titles, bodies, strict=True)
    ]


def _titles(tokenizer: Any, real: pl.DataFrame) -> Iterator[list[int]]:  # noqa: ANN401
    """Tokenize titles.

    Raises
    ------
    InputError
        If there is an article without one.
    """
    without = real.filter(pl.col("title").str.strip_chars() == "")
    if without.height:
        raise InputError(
            f"training.instruction asks for articles by their title, and {without.height:,} of "
            f"{real.height:,} have none, as '{without['article_id'][0][:80]}': ask with '{{text}}'"
        )
    return tokenized(tokenizer, real["title"])


def turns_of(
    tokenizer: Any,  # noqa: ANN401 - a transformers tokenizer
    articles: pl.DataFrame,
    config: GenerationConfig,
    chat: Chat,
) -> Iterator[tuple[list[int], list[int]]]:
    """Make each prompt that articles give a prompt and its answer: what follows it there.

    An answer is as long as a continuation may be. Where the article ends within it, so does the
    turn. A prompt that nothing follows has no answer, and is left out.

    Yields
    ------
    tuple
        The prompt's tokens, as from `article_prompts`, and the answer's, its end included.
    """
    if config.prompts == "openings" and not chat.by_title:
        texts = (training_text(*row) for row in articles.select("title", "body").iter_rows())
        for ids in tokenized(tokenizer, texts):
            yield from cut_turns([], ids, config, chat)
        return
    bodies = tokenized(tokenizer, articles["body"])
    named = _titles if chat.by_title else lambda words, table: tokenized(words, table["title"])
    for title, body in zip(named(tokenizer, articles), bodies, strict=True):
        yield from cut_turns(title, body, config, chat)


def cut_turns(
    title: Sequence[int], body: Sequence[int], config: GenerationConfig, chat: Chat
) -> Iterator[tuple[list[int], list[int]]]:
    """Cut one article's tokens into turns; see `turns_of`."""
    ids = [*title, *body]
    if chat.by_title:
        spans = [(0, len(title))]
    elif config.prompts == "openings":
        spans = [(0, config.opening_tokens)]
    else:
        blocks = blocks_of(title, body, config.block_tokens, None, config.whole_titles)
        spans = pairwise(np.cumsum([0, *map(len, blocks)]).tolist())
    for start, stop in spans:
        answer = ids[stop : stop + config.new_tokens]
        if len(ids) <= stop + config.new_tokens:
            answer = [*answer, *chat.end]
        if len(ids) > stop or chat.by_title:
            yield chat.asks(ids[start:stop]), answer


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
