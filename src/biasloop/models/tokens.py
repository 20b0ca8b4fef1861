"""Texts as token ids, padded too, and a model's chat template as token ids around what is said.

A text is untrusted: the characters ``<|endoftext|>`` in it are text, and never become the token
that they name, nor one of the template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from biasloop.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch

#: Texts that are tokenized at once. Of each token a tokenizer gives its text, place and masks
#: beside its id: a hundred bytes, of which four are kept.
_AT_ONCE = 256
#: Stand for what is said while a template is filled in.
_ASKED, _ANSWERED = "[[biasloop: the text]]", "[[biasloop: the answer]]"

#: Before a template that tells the model the date, so that a run is the same on any day.
_SOME_DAY = "{%- macro strftime_now(format) -%}26 July 2024{%- endmacro -%}"


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
    """Tokenize texts, a few at a time, in order.

    A text is cut at ``limit`` tokens, special ones included; None leaves it whole. ``special``
    says whether the tokenizer adds its special tokens.
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


def padded(
    texts: Sequence[Sequence[int] | np.ndarray], pad: int, side: str = "right", length: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Put texts under each other, padded to the longest on one side; right to ``length`` at least.

    Returns
    -------
    tuple
        Token ids, and a mask that is 0 where there is padding, each of shape (texts, tokens).
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    rows = [torch.as_tensor(text, dtype=torch.long) for text in texts]
    mask = pad_sequence([torch.ones_like(row) for row in rows], True, 0, side)
    ids = pad_sequence(rows, True, pad, side)
    more = (0, max(0, length - ids.shape[1]))
    return torch.nn.functional.pad(ids, more, value=pad), torch.nn.functional.pad(mask, more)


@dataclass(frozen=True)
class Chat:
    """One turn of a user and one of the assistant, as token ids around the two texts.

    Attributes
    ----------
    before
        Up to the user's text, with the instruction's words before it.
    after
        From there to the answer, with the generation prompt.
    end
        What ends the answer; the last one ends a text.
    by_title
        Whether the user's text is an article's title, and the answer the article.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    end: tuple[int, ...]
    by_title: bool

    @property
    def size(self) -> int:
        """Tokens of a prompt beside its text."""
        return len(self.before) + len(self.after)

    def asks(self, text: Iterable[int]) -> list[int]:
        """Return the prompt with a text."""
        return [*self.before, *text, *self.after]


def said(tokenizer: Any, messages: list[dict[str, str]], begun: bool) -> str:  # noqa: ANN401
    """Fill in a chat template; ``begun`` adds the generation prompt."""
    try:
        return str(
            tokenizer.apply_chat_template(
                messages,
                chat_template=_SOME_DAY + tokenizer.get_chat_template(),
                tokenize=False,
                add_generation_prompt=begun,
            )
        )
    except Exception as error:  # a template is the model's own program
        raise InputError(
            f"the chat template of {tokenizer.name_or_path} cannot take a question and an answer "
            f"({type(error).__name__}: {error})"
        ) from error


def require_template(tokenizer: Any, model: str) -> None:  # noqa: ANN401
    """Refuse a tokenizer without a chat template."""
    if not tokenizer.chat_template:
        raise InputError(
            f"training.text: chat needs a model with a chat template, and {model} has none: name "
            "an instruct model in base.model, or take training.text: plain"
        )


def chat_of(tokenizer: Any, instruction: str, ends: Sequence[int]) -> Chat:  # noqa: ANN401
    """Lay out a turn of a user and one of the assistant.

    Parameters
    ----------
    instruction
        The user's turn, with ``{text}`` or ``{title}`` once.
    ends
        The tokens that end a text of the model. Where the template ends an answer with none of
        them, the first is put after it, so that an answer has an end to learn.

    Raises
    ------
    InputError
        If the tokenizer has no chat template, or it does not have each text once.
    """
    require_template(tokenizer, tokenizer.name_or_path)
    by_title = "{title}" in instruction
    asked = instruction.replace("{title}" if by_title else "{text}", _ASKED)
    user = {"role": "user", "content": asked}
    question = said(tokenizer, [user], begun=True)
    whole = said(tokenizer, [user, {"role": "assistant", "content": _ANSWERED}], begun=False)
    for text, mark in ((question, _ASKED), (whole, _ANSWERED)):
        if text.count(mark) != 1:
            raise InputError(
                f"the chat template of {tokenizer.name_or_path} has a turn's text "
                f"{text.count(mark)} times, and it is to be there once"
            )
    lead, tail = whole.split(_ANSWERED)
    # What a template puts between its prompt and an answer (an empty thought, say) is of the
    # prompt; one that begins an answer otherwise than it has one is taken at its prompt.
    start = lead if lead.startswith(question) else question

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    before, after = start.split(_ASKED)
    end = ids(tail)
    last = next((at + 1 for at, token in enumerate(end) if token in ends), None)
    end = end[:last] if last else [*end, ends[0]]
    return Chat(tuple(ids(before)), tuple(ids(after)), tuple(end), by_title)
