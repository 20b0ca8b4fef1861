"""Turn texts into token ids, a few texts at a time. Knows a tokenizer, no article."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

#: Texts that are tokenized at once. Of each token a tokenizer gives its text, place and masks
#: beside its id: a hundred bytes, of which four are kept.
_AT_ONCE = 256


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
    remaining = iter(texts)
    while some := list(islice(remaining, _AT_ONCE)):
        yield from tokenizer(
            some,
            add_special_tokens=special,
            truncation=limit is not None,
            max_length=limit,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
