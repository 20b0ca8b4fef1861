"""Let a model write from the real articles: prompts, continuations, and the articles of these.

A real article is continued block by block, or from its opening: docs/protocols.md says what each of
the two can show.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from biasloop.config import GenerationConfig
from biasloop.device import make_deterministic
from biasloop.errors import InputError, registered
from biasloop.models.batches import batches, padding_changes
from biasloop.models.fast.decode import (
    TOKEN,
    Tokens,
    decode,
    decode_by_transformers,
    keeps_keys_and_values,
)
from biasloop.models.fast.linear import prepacked
from biasloop.models.fast.sampling import Nucleus, Sampler, greedy
from biasloop.models.load import LoadedModel
from biasloop.models.tokens import Chat, beginning, begun, chat_of, tokenized
from biasloop.seeds import generator, integer
from biasloop.stages.vllm_engine import continue_with_vllm
from biasloop.tables import ARTICLES, as_given

#: Called with the tokens written since the last call.
Progress = Callable[[int], None]

#: Continues prompts as `continue_prompts` does.
Writer = Callable[..., Sequence[Tokens]]

#: Engines, which write with a model that they load from its folder, by what ``generation.engine``
#: calls them; ``transformers``, whose model is in memory, is `continue_prompts`.
ENGINES: dict[str, Callable[[Path], Writer]] = {"vllm": continue_with_vllm}

#: Stands between a real article's id and the number of a further sample from its opening.
_SAMPLE_MARK = "#"


def writer_of(config: GenerationConfig, folder: Path) -> Writer | None:
    """Return what continues prompts with the model in a folder; None for `continue_prompts`."""
    if config.engine == "transformers":
        return None
    return registered(ENGINES, config.engine, "ENGINES of stages/generate.py")(folder)


def training_text(title: str, body: str, template: str = "{title}\n{body}") -> str:
    """Join an article as one text: as ``training.input`` says, whose default this is.

    Without a title, a first line that is the title alone is left out.
    """
    return as_given(template if title else template.removeprefix("{title}\n"), title, body)


def chat_for(loaded: LoadedModel, instruction: str | None) -> Chat | None:
    """Lay out the turns that an instruction (`TrainingConfig.asks`) makes; None for plain text."""
    return None if instruction is None else chat_of(loaded.tokenizer, instruction, loaded.ends)


def split_blocks(tokens: Sequence[int], block_tokens: int) -> list[list[int]]:
    """Cut tokens into blocks of ``block_tokens``; the last may be shorter, none is empty."""
    return [list(tokens[i : i + block_tokens]) for i in range(0, len(tokens), block_tokens)]


def blocks_of(
    title: Sequence[int],
    body: Sequence[int],
    block_tokens: int,
    limit: int | None = None,
    whole_title: bool = False,
) -> list[list[int]]:
    """List an article's blocks: its title's tokens, then its body's, ``block_tokens`` each.

    The published protocol (arXiv 2410.15234, section 4.1): title first, then blocks of 64.
    ``limit`` tokens of the body are used, all if None; ``whole_title`` makes the title one block,
    however long.
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
        to = f"lower generation.opening_tokens to {shortest - 1} or less, or leave"
        lower = to if shortest > 1 else "leave"
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
        marked = [i for i in real["article_id"] if re.search(rf"{_SAMPLE_MARK}\d+$", i)]
        if marked:
            raise InputError(
                f"generation.samples_per_prompt is {config.samples_per_prompt}, so that "
                f"'{_SAMPLE_MARK}' and a number at an article's end of id mark a further sample, "
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
    """Tokenize titles; refuse an article without one."""
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
    return article_id if sample == 1 else f"{article_id}{_SAMPLE_MARK}{sample}"


def prompted_by(article_ids: pl.Series, config: GenerationConfig) -> pl.Series:
    """Return the ids of the real articles from which these were written."""
    if config.samples_per_prompt == 1:
        return article_ids
    return article_ids.str.replace(rf"{_SAMPLE_MARK}\d+$", "")


def repeated(real: pl.DataFrame, config: GenerationConfig) -> pl.DataFrame:
    """Repeat each real article once per sample written from it, with the samples' ids.

    An article's samples stand one after the other.
    """
    samples = config.samples_per_prompt
    if samples == 1:
        return real
    ids = [sample_id(one, k) for one in real["article_id"] for k in range(1, samples + 1)]
    rows = np.repeat(np.arange(real.height), samples)
    return real[rows].with_columns(pl.Series("article_id", ids, dtype=pl.String))


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
        What each prompt's own stream of random numbers is named by, together with ``seed``: a
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
    # Positions that count padding, or a state that takes it in, leave one text at once.
    padded_otherwise = bool(prompts) and padding_changes(
        loaded.model, loaded.tokenizer("a")["input_ids"], loaded.card.pad, "left"
    )
    most = 1 if padded_otherwise else config.batch_size
    continuations: list[np.ndarray] = [np.empty(0, TOKEN)] * len(prompts)
    with torch.inference_mode(), prepacked(loaded.model):
        for batch in batches([*map(len, prompts)], most):
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
    real
        `tables.ARTICLES`: always the real articles, whatever the generation (arXiv 2410.15234,
        section 4.1).
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
        their own (see `sample_id`).

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
    which = pl.DataFrame(rows, {"article_id": pl.String, "block": pl.Int64}, orient="row")
    return which.with_columns(prompt=_lists(prompts), continuation=_lists(written))


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
    """Join each article's continuations, of ``blocks``, as its body; no prompt is part of it.

    Returns
    -------
    polars.DataFrame
        `tables.ARTICLES`; the id, title, label and source are those of the real article that
        prompted it (of further samples, the id is marked: `sample_id`), the body is what the model
        wrote (untrusted text).
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
    body = pl.Series("body", bodies, dtype=pl.String)
    return articles.with_columns(body).select(ARTICLES.names())


def generate_articles(
    loaded: LoadedModel,
    real: pl.DataFrame,
    config: GenerationConfig,
    seed: int,
    instruction: str | None = None,
) -> pl.DataFrame:
    """Let a model write its articles from the real ones: `generate_blocks`, `articles_of`."""
    blocks = generate_blocks(loaded, real, config, seed, instruction=instruction)
    return articles_of(loaded, real, blocks, config)
