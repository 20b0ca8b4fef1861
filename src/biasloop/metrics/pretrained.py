"""Load a model that reads whole texts, by hub id or local folder. Knows no label and no metric.

No code that it carries is run, and only safetensors are read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biasloop import device
from biasloop.errors import InputError
from biasloop.models import (
    checkpoint_of,
    merge,
    refuse_tokens,
    resolve_model,
    tokenized,
    without_adapter,
)
from biasloop.models.adapters import WEIGHTS, Adapter, has_tokenizer, saved_modules

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: A text of fewer tokens is none.
_LEAST_ROOM = 16


@dataclass(frozen=True)
class Pretrained:
    """A model in evaluation mode on its device, and its tokenizer, which pads on the right.

    Attributes
    ----------
    revision
        The hub's commit, None for a local folder.
    folder
        Where its files are.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    revision: str | None
    folder: Path


def load_pretrained(
    loader: str,
    name: str,
    key: str,
    revision: str | None = None,
    precision: str = "float32",
    may_lack: Collection[str] = (),
) -> Pretrained:
    """Load a model and its tokenizer.

    Parameters
    ----------
    loader
        The class of transformers that loads it.
    name
        A local folder or a hub id.
    key
        The config's section, for the error texts.
    revision
        Of a hub model.
    precision
        ``float32`` or ``bfloat16``: of its weights.
    may_lack
        Modules whose weights are not needed.

    Raises
    ------
    InputError
        If it cannot be had, or weights are missing that it would have to guess.
    """
    import transformers

    place = Path(name).expanduser()
    local = place.is_dir()
    if not local and (name.startswith(("/", ".", "~")) or name.count("/") > 1):
        raise InputError(f"{key}.classifier: no such folder: {name}")
    shown = f"{key}.classifier: {name}"
    try:
        location = resolve_model(name, revision)
        location.fetch_weights()
    except InputError as error:
        raise InputError(f"{key}.classifier: {error}") from error
    adapter, hosted = location.adapter, location.hosted
    words = adapter.folder if adapter and has_tokenizer(adapter.folder) else Path(location.name)
    head = _head(adapter, shown) if adapter else {}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(words, trust_remote_code=False)
        with without_adapter(location) as plain:
            model, loading = getattr(transformers, loader).from_pretrained(
                plain.name,
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=False,
                ignore_mismatched_sizes="num_labels" in head,
                **head,
            )
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        tried = "a copy of the hub's" if hosted else "a local folder"
        raise InputError(
            f"{key}.classifier: '{name}' cannot be loaded; it was read as {tried}: "
            f"{type(error).__name__}: {reason}. A classifier needs config.json, safetensors "
            "weights and a tokenizer; 'builtin' needs none of them"
        ) from error
    own = {*may_lack, *(saved_modules(adapter) if adapter else ())}
    read = [*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])]
    lacking = sorted(weight for weight in read if not own & set(weight.split(".")))
    if lacking:
        raise InputError(
            f"{shown}: has no weights for {', '.join(lacking[:3])}"
            + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
            + ", so that they would be drawn at random: it was not trained for this use. Is "
            f"{key}.kind right?"
        )
    if adapter:
        model = merge(model, adapter)
    model.name_or_path = name
    if tokenizer is not None and tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer is None or tokenizer.pad_token is None:
        raise InputError(f"{shown}: has a tokenizer without a padding token or an end token")
    refuse_tokens(shown, model, tokenizer)
    # A decoder reads its answer at the last token that is no padding, so it has to know that one.
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    tokenizer.padding_side = "right"
    hosted = adapter.hosted if adapter and adapter.hosted else hosted
    chosen = device.choose(precision)
    model = model.to(device=chosen.name, dtype=chosen.dtype).eval()
    folder = Path(location.name)
    return Pretrained(model, tokenizer, hosted.commit if hosted else None, folder)


def _head(adapter: Adapter, shown: str) -> dict[str, Any]:
    """Say how many outputs the head has that an adapter brings, and what they are called.

    An adapter's folder may hold the ``config.json`` of the classifier that it was trained as.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(adapter.folder / WEIGHTS, "pt") as weights:
            shapes = {key: weights.get_slice(key).get_shape() for key in weights.keys()}  # noqa: SIM118
        config = adapter.folder / "config.json"
        names = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{shown}: its adapter cannot be read: {error}") from error
    outputs = [
        shape[0]
        for key, shape in sorted(shapes.items())
        if len(shape) == 2
        and saved_modules(adapter) & set(key.split("."))
        and key.split(".")[-2] in ("classifier", "score", "out_proj")
    ]
    if not outputs:
        return {}
    known = names.get("id2label") if isinstance(names, dict) else None
    if isinstance(known, dict) and len(known) == outputs[-1]:
        return {
            "num_labels": outputs[-1],
            "id2label": {int(at): str(label) for at, label in known.items()},
            "problem_type": names.get("problem_type"),
        }
    return {"num_labels": outputs[-1]}


def limit_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_tokens: int | None = None
) -> int:
    """Tell where a text is cut, special tokens included: by the caller, or by the model."""
    return checkpoint_of(model, tokenizer).limit(max_tokens)


def longer(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], limit: int, special: bool = False
) -> int:
    """Count the texts of more tokens than ``limit``, with or without special ones."""
    return sum(len(ids) > limit for ids in tokenized(tokenizer, texts, limit + 1, special))


def each_once(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """List the different texts, and of each text its place among them.

    Collapsed text says the same again and again, and is read once.
    """
    different = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    return list(different), [different[text] for text in texts]


def is_multi_label(model: PreTrainedModel) -> bool:
    """Say whether each output of a classifier has a probability of its own."""
    return model.config.problem_type == "multi_label_classification"


def require_room(
    room: int, max_tokens: int | None, key: str, name: str, whole: int, advice: str
) -> None:
    """Refuse what stands around a text where it leaves too few tokens for one.

    Parameters
    ----------
    room
        Tokens of a text that are read, at most ``max_tokens``.
    max_tokens
        What the config allows; None for no bound.
    key, name
        The config's key and the model, for the message.
    whole
        Tokens that the model reads in all.
    advice
        What to do.

    Raises
    ------
    InputError
        If there are too few.
    """
    if room < min(_LEAST_ROOM, max_tokens or _LEAST_ROOM):
        raise InputError(
            f"{key}: leaves room for {max(0, room)} tokens of a text; {name} reads {whole:,} in "
            f"all: {advice}"
        )


def refuse_lost(model: PreTrainedModel, read: np.ndarray) -> None:
    """Refuse a model that gives a text numbers, shape (texts, ...), which are not finite.

    Raises
    ------
    InputError
        If there is such a text.
    """
    lost = int((~np.isfinite(read).all(axis=1)).sum())
    if lost:
        raise InputError(
            f"the classifier '{model.name_or_path}' gives no finite numbers for {lost:,} of "
            f"{len(read):,} texts, as {model.dtype} weights that overflow or are damaged do: set "
            "its precision to float32 (metrics.leaning.precision, metrics.quality.precision), or "
            "take another classifier"
        )
