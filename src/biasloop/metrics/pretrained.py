"""Load a model that reads whole texts, by hub id or local folder. Knows no label and no metric.

No code that it carries is run, and only safetensors are read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biasloop import device
from biasloop.errors import InputError
from biasloop.hub import check_hub, switched_off
from biasloop.models import checkpoint_of, refuse_adapter, refuse_tokens, tokenized

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
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    revision: str | None


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
    target = str(place) if local else name
    shown = f"{key}.classifier: {name}"
    refuse_adapter(shown, (place / "adapter_config.json").is_file())
    options: dict[str, Any] = {"trust_remote_code": False, "revision": revision or "main"}
    if not local:
        check_hub(f"{key}.classifier: '{name}'", name, "model", revision)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(target, **options)
        model, loading = getattr(transformers, loader).from_pretrained(
            target, use_safetensors=True, output_loading_info=True, **options
        )
    except Exception as error:
        tried = "read as a local folder" if local else "looked for on the hub (no such folder here)"
        reason = (str(error).strip().splitlines() or [""])[0]
        if not local and (off := switched_off()):
            raise InputError(f"{key}.classifier: '{name}' cannot be loaded: {off}") from error
        raise InputError(
            f"{key}.classifier: '{name}' cannot be loaded; it was {tried}: "
            f"{type(error).__name__}: {reason}. A classifier needs config.json, safetensors "
            "weights and a tokenizer; 'builtin' needs none of them"
        ) from error
    refuse_adapter(shown, getattr(model, "_hf_peft_config_loaded", False))
    lacking = sorted(
        weight for weight in loading["missing_keys"] if not set(may_lack) & set(weight.split("."))
    )
    if lacking:
        raise InputError(
            f"{shown}: has no weights for {', '.join(lacking[:3])}"
            + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
            + ", so that they would be drawn at random: it was not trained for this use. Is "
            f"{key}.kind right?"
        )
    if tokenizer is not None and tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer is None or tokenizer.pad_token is None:
        raise InputError(f"{shown}: has a tokenizer without a padding token or an end token")
    refuse_tokens(shown, model, tokenizer)
    # A decoder reads its answer at the last token that is no padding, so it has to know that one.
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    tokenizer.padding_side = "right"
    commit = None if local else getattr(model.config, "_commit_hash", None)
    chosen = device.choose(precision)
    model = model.to(device=chosen.name, dtype=chosen.dtype).eval()
    return Pretrained(model, tokenizer, commit)


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
