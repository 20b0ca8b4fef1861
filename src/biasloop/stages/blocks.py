"""Cut an article into the prompts that a model continues. Knows token ids only, no model."""

from __future__ import annotations

from collections.abc import Sequence


def split_blocks(tokens: Sequence[int], block_tokens: int) -> list[list[int]]:
    """Cut tokens into blocks of ``block_tokens``; the last may be shorter, none is empty.

    An empty sequence has no block; one shorter than a block is one block; an exact multiple has
    no short one.
    """
    if block_tokens < 1:
        raise ValueError(f"block_tokens is {block_tokens}; a block has at least one token")
    return [list(tokens[i : i + block_tokens]) for i in range(0, len(tokens), block_tokens)]


def prompts_of(
    title: Sequence[int], body: Sequence[int], block_tokens: int, limit: int | None = None
) -> list[list[int]]:
    """List an article's prompts: its title's tokens, then its body in blocks.

    Parameters
    ----------
    title, body
        Token ids.
    block_tokens
        Length of a prompt; a title longer than that is cut into blocks, too.
    limit
        Only this many tokens of the body are used; None uses all.

    Notes
    -----
    The published protocol (arXiv 2410.15234, section 4.1): title first, then blocks of 64.
    """
    used = body if limit is None else body[:limit]
    return split_blocks(title, block_tokens) + split_blocks(used, block_tokens)
