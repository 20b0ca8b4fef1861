"""What an assistant said in a conversation, as chat data sets store it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from biasloop.corpus.check import BadRowError

#: Columns that hold conversations: as OpenAI and transformers have them, and as ShareGPT does.
COLUMNS = ("messages", "conversations")
_SPEAKER = ("role", "from")
_SAID = ("content", "value")
_ASSISTANTS = frozenset({"assistant", "gpt", "model", "bot", "chatgpt", "ai"})


def assistant_text(value: object) -> str:
    """Join the assistant's turns, an empty line between them.

    Parameters
    ----------
    value
        A list of turns, each with who speaks (``role`` or ``from``) and what (``content`` or
        ``value``: a text, or a list of parts of which those of the type ``text`` count); or the
        same as JSON, as a CSV file has it and a Parquet file is read.

    Raises
    ------
    BadRowError
        If it is no such list, or the assistant says nothing in it.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise BadRowError("a conversation that is no list of turns") from error
    if not isinstance(value, Sequence) or not all(isinstance(turn, Mapping) for turn in value):
        raise BadRowError("a conversation that is no list of turns")
    said = [
        _text(_first(turn, _SAID))
        for turn in value
        if str(_first(turn, _SPEAKER)).strip().lower() in _ASSISTANTS
    ]
    text = "\n\n".join(part for part in said if part.strip())
    if not text:
        raise BadRowError("a conversation in which the assistant says nothing")
    return text


def _first(turn: Mapping[str, Any], names: Sequence[str]) -> Any:  # noqa: ANN401 - JSON
    return next((turn[name] for name in names if turn.get(name) is not None), "")


def _text(content: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else ()
    return "".join(
        str(part.get("text") or "")
        for part in parts
        if isinstance(part, Mapping) and part.get("type", "text") == "text"
    )
