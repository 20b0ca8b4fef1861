"""Write synthetic articles: every block of every real article continued by the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from biasloop.config import GenerationConfig
from biasloop.device import make_deterministic
from biasloop.errors import InputError
from biasloop.models import LoadedModel
from biasloop.stages.blocks import join_blocks, prompts_of
from biasloop.tables import ARTICLES, BLOCKS, conform

#: Called with the tokens written since the last call.
Progress = Callable[[int], None]

#: Continues prompts as `continue_prompts` does.
Writer = Callable[..., Sequence[Sequence[int]]]


def _decoding(config: GenerationConfig) -> dict[str, Any]:
    if config.decoding == "beam":
        return {"do_sample": False, "num_beams": config.beams}
    if config.decoding == "nucleus":
        return {
            "do_sample": True,
            "num_beams": 1,
            "top_p": config.top_p,
            "top_k": 0,
            "temperature": config.temperature,
        }
    return {"do_sample": False, "num_beams": 1}


def continue_prompts(
    loaded: LoadedModel,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    seed: int,
    on_progress: Progress | None = None,
) -> list[list[int]]:
    """Continue each prompt by up to ``new_tokens`` tokens, in batches of similar length.

    Under greedy decoding in float32 the tokens are those of one prompt at a time: prompts of one
    length share a batch where possible, and the rest are padded on the left and masked.

    Parameters
    ----------
    prompts
        Token ids, none empty.
    seed
        Of nucleus sampling; greedy and beam decoding do not use it.

    Returns
    -------
    list of list of int
        Continuations in the order of the prompts; where the model ended the text, one ends early
        and with the end-of-sequence token.
    """
    import torch
    from transformers import GenerationConfig as Decoding

    make_deterministic(seed)
    model: Any = loaded.model  # `generate` comes from a mixin that type checkers do not see
    device = torch.device(loaded.device.name)
    pad, end = loaded.tokenizer.pad_token_id, loaded.tokenizer.eos_token_id
    decoding = Decoding(
        max_new_tokens=config.new_tokens,
        pad_token_id=pad,
        eos_token_id=end,
        use_cache=True,
        **_decoding(config),
    )
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    continuations: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), config.batch_size):
        batch = order[start : start + config.batch_size]
        width = max(len(prompts[i]) for i in batch)
        input_ids = torch.full((len(batch), width), pad, dtype=torch.long)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        for row, i in enumerate(batch):
            input_ids[row, width - len(prompts[i]) :] = torch.as_tensor(prompts[i])
            mask[row, width - len(prompts[i]) :] = 1
        with torch.inference_mode():
            written = model.generate(
                input_ids=input_ids.to(device),
                attention_mask=mask.to(device),
                generation_config=decoding,
            )
        for row, i in enumerate(batch):
            tokens = written[row, width:].tolist()
            continuations[i] = tokens[: tokens.index(end) + 1] if end in tokens else tokens
        if on_progress:
            on_progress(sum(len(continuations[i]) for i in batch))
    return continuations


def generate_blocks(
    loaded: LoadedModel,
    real: pl.DataFrame,
    config: GenerationConfig,
    seed: int,
    on_progress: Progress | None = None,
    write: Writer | None = None,
) -> pl.DataFrame:
    """Let a model continue every block of every real article.

    Parameters
    ----------
    loaded
        The generation's model.
    real
        `tables.ARTICLES`: always the real articles, whatever the generation (arXiv 2410.15234,
        section 4.1).
    config
        Blocks and decoding.
    seed
        Of nucleus sampling.
    write
        What continues prompts, in place of `continue_prompts`.

    Returns
    -------
    polars.DataFrame
        `tables.BLOCKS`.

    Raises
    ------
    InputError
        If a block and its continuation do not fit the model's context, or ``generation.engine``
        is one that is not given: it reads a model from its folder, and this one is in memory.
    """
    if config.engine != "transformers" and write is None:
        raise InputError(
            f"generation.engine: {config.engine} writes with a model in a folder, and this one is "
            "changed in memory; take generation.engine: transformers for it"
        )
    needed = config.block_tokens + config.new_tokens
    if needed > loaded.context:
        raise InputError(
            f"generation.block_tokens + generation.new_tokens is {needed}, more than the model's "
            f"context of {loaded.context} tokens"
        )

    def encode(texts: list[str]) -> list[list[int]]:
        return loaded.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []

    titles, bodies = encode(real["title"].to_list()), encode(real["body"].to_list())
    rows = [
        (article_id, block, prompt)
        for article_id, title, body in zip(real["article_id"], titles, bodies, strict=True)
        for block, prompt in enumerate(
            prompts_of(title, body, config.block_tokens, config.max_article_tokens)
        )
    ]
    written = (write or continue_prompts)(
        loaded, [prompt for *_, prompt in rows], config, seed, on_progress
    )
    return pl.DataFrame(
        [(*row, tokens) for row, tokens in zip(rows, written, strict=True)],
        schema=BLOCKS,
        orient="row",
    )


def articles_of(loaded: LoadedModel, real: pl.DataFrame, blocks: pl.DataFrame) -> pl.DataFrame:
    """Join each article's continuations as its body.

    Parameters
    ----------
    loaded
        For its tokenizer.
    real
        The articles that the blocks are of (`tables.ARTICLES`).
    blocks
        `tables.BLOCKS`.

    Returns
    -------
    polars.DataFrame
        `tables.ARTICLES`; the id, title, label and source are those of the real article that
        prompted it, the body is what the model wrote (untrusted text).
    """
    end = loaded.tokenizer.eos_token_id
    continuations: dict[str, list[list[int]]] = {}
    for article_id, tokens in (
        blocks.sort("article_id", "block").select("article_id", "continuation").iter_rows()
    ):
        continuations.setdefault(article_id, []).append([t for t in tokens if t != end])
    bodies = [
        loaded.tokenizer.decode(
            join_blocks(continuations.get(article_id, [])), skip_special_tokens=True
        )
        for article_id in real["article_id"]
    ]
    return conform(real.with_columns(pl.Series("body", bodies, dtype=pl.String)), ARTICLES)


def generate_articles(
    loaded: LoadedModel,
    real: pl.DataFrame,
    config: GenerationConfig,
    seed: int,
    on_progress: Progress | None = None,
) -> pl.DataFrame:
    """Let a model write one synthetic article per real one: `generate_blocks`, `articles_of`."""
    return articles_of(loaded, real, generate_blocks(loaded, real, config, seed, on_progress))
