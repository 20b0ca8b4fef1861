"""Turn texts into token ids, a few texts at a time.

The characters ``<|endoftext|>`` in a text are text: they never become the token that they name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

#: Texts that are tokenized at once. Of each token a tokenizer gives its text, place and masks
#: beside its id: a hundred bytes, of which four are kept.
_AT_ONCE = 256


def _plain(tokenizer: Any, texts: list[str], **options: Any) -> list[list[int]]:  # noqa: ANN401
    return tokenizer(
        texts,
        split_special_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
        **options,
    )["input_ids"]


def as_text(tokenizer: Any) -> Callable[[str], str]:  # noqa: ANN401
    """Return what keeps a tokenizer from reading a special token's name in a text as that token.

    Byte-level and merging tokenizers do as they are told. One that looks whole pieces up finds
    them all the same, and gets a space after the first character.
    """
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    names = [name for name in tokenizer.all_special_tokens if len(name) > 1]
    read = _plain(tokenizer, names, add_special_tokens=False) if names else []
    kept = [re.escape(name) for name, ids in zip(names, read, strict=True) if special & set(ids)]
    if not kept:
        return lambda text: text
    pattern = re.compile("|".join(sorted(kept, key=len, reverse=True)))
    return lambda text: pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


def tokenized(
    tokenizer: Any,  # noqa: ANN401 - a transformers tokenizer
    texts: Iterable[str],
    limit: int | None = None,
    special: bool = False,
) -> Iterator[list[int]]:
    """Tokenize texts, a few at a time.

    Parameters
    ----------
    tokenizer
        Of transformers.
    texts
        Any text; read as far as is needed.
    limit
        A text is cut at so many tokens, special ones included; None leaves it whole.
    special
        Whether the tokenizer adds its special tokens.

    Yields
    ------
    list of int
        Token ids of each text, in order.
    """
    remaining = map(as_text(tokenizer), texts)
    cut = {"truncation": limit is not None, "max_length": limit}
    while some := list(islice(remaining, _AT_ONCE)):
        yield from _plain(tokenizer, some, add_special_tokens=special, **cut)


def beginning(tokenizer: Any) -> list[int]:  # noqa: ANN401 - a transformers tokenizer
    """List the tokens that a tokenizer puts before every text: one, as Gemma's, or none."""
    begun, plain = (_plain(tokenizer, ["a"], add_special_tokens=own)[0] for own in (True, False))
    starts = range(len(begun) - len(plain) + 1)
    return begun[: next(at for at in starts if begun[at : at + len(plain)] == plain)]


def begun(
    tokenizer: Any,  # noqa: ANN401 - a transformers tokenizer
    texts: Iterable[str],
    limit: int | None = None,
) -> Iterator[list[int]]:
    """Tokenize texts as a causal language model is to read them: each after its `beginning`.

    See `tokenized`; ``limit`` counts the beginning, too.
    """
    first = beginning(tokenizer)
    room = None if limit is None else max(1, limit - len(first))
    for ids in tokenized(tokenizer, texts, room):
        yield [*first, *ids]
