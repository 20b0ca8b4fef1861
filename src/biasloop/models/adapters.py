"""A PEFT adapter in a folder: which model it belongs to, and merging it into that model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasloop.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
#: Adapters that are a change of the weights that they sit on, so that merging keeps every logit.
#: Prompts, prefixes and routers are not.
MERGEABLE = ("ADALORA", "BOFT", "DELORA", "HRA", "IA3", "LOHA", "LOKR", "LORA", "OFT", "VERA")
#: The largest difference of a logit before and after, relative to the largest logit, by how many
#: bytes a weight has: rounding of sums in another order.
_ROUNDING = {4: 1e-3, 2: 0.1}


@dataclass(frozen=True)
class Adapter:
    """An adapter that can be merged.

    Attributes
    ----------
    folder
        That holds it.
    kind
        As `peft` calls it, in capitals.
    base
        The folder or hub id of the model under it: the same folder where that has weights too.
    revision
        Of a base of the hub.
    """

    folder: Path
    kind: str
    base: str
    revision: str | None = None


def find_adapter(folder: Path) -> Adapter | None:
    """Read what a folder says of its adapter; null where it has none.

    Raises
    ------
    InputError
        If it has one that cannot be merged: of another kind, without weights as safetensors,
        without a model under it, or without the package `peft`.
    """
    path = folder / CONFIG
    if not path.is_file():
        return None
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    kind = settings.get("peft_type") if isinstance(settings, dict) else None
    remedy = (
        "merge it into its model (merge_and_unload of peft) and give the folder that "
        f"save_pretrained then writes, or remove {CONFIG} to use the model without it"
    )
    if not isinstance(kind, str) or kind.upper() not in MERGEABLE:
        raise InputError(
            f"{folder}: holds a PEFT adapter of the type {str(kind)[:40]!r}, which cannot be "
            f"merged here (those that can: {', '.join(MERGEABLE)}): {remedy}"
        )
    if not (folder / WEIGHTS).is_file():
        raise InputError(
            f"{folder}: holds a PEFT adapter without {WEIGHTS}: its weights are read as "
            f"safetensors only: save it again with peft, or {remedy}"
        )
    if find_spec("peft") is None:
        raise InputError(
            f"{folder}: holds a PEFT adapter: install peft to have it merged "
            f"(pip install 'biasloop[peft]'), or {remedy}"
        )
    whole = (folder / "config.json").is_file() and (
        any(folder.glob("model*.safetensors"))  # one file or shards
    )
    if whole:
        return Adapter(folder, kind.upper(), str(folder))
    base = settings.get("base_model_name_or_path")
    if not isinstance(base, str) or not base.strip():
        raise InputError(
            f"{path}: names no base_model_name_or_path, and the folder holds no model: {remedy}"
        )
    beside = folder / base
    named = str(beside) if beside.is_dir() and not Path(base).expanduser().is_dir() else base
    if (Path(named).expanduser() / CONFIG).is_file():
        raise InputError(f"{path}: its base model {base!r} holds an adapter itself: {remedy}")
    revision = settings.get("revision")
    return Adapter(folder, kind.upper(), named, revision if isinstance(revision, str) else None)


def link_without_adapter(folder: Path, place: Path) -> None:
    """Link a model's files into an empty folder without its adapter.

    transformers would attach an adapter that it finds, and save the adapter alone.
    """
    for file in folder.iterdir():
        if file.is_file() and not file.name.startswith("adapter_"):
            (place / file.name).symlink_to(file.resolve())


def merge(model: PreTrainedModel, adapter: Adapter) -> PreTrainedModel:
    """Merge an adapter into its model, and see that the model still says what both said.

    Raises
    ------
    InputError
        If they do not fit, or the merged model, as it would be saved, gives other logits.
    """
    import torch
    from peft import PeftModel

    rows = len(next(model.get_input_embeddings().parameters()))
    tokens = (torch.arange(16)[None] * 7919 + 13) % rows
    try:
        attached: Any = PeftModel.from_pretrained(model, str(adapter.folder), is_trainable=False)
        attached.eval()
        with torch.no_grad():
            before = attached(input_ids=tokens).logits.float()
        merged = attached.merge_and_unload(safe_merge=True)
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0][:300]
        raise InputError(
            f"{adapter.folder}: its adapter cannot be merged into {adapter.base} "
            f"({type(error).__name__}: {reason}): is it that model's?"
        ) from error
    merged.tie_weights()  # as it will be once it has been saved and read again
    with torch.no_grad():
        after = merged(input_ids=tokens).logits.float()
    allowed = _ROUNDING.get(merged.dtype.itemsize, 0.1) * float(before.abs().max())
    if not bool(((before - after).abs() <= allowed).all()):
        raise InputError(
            f"{adapter.folder}: the merged model's logits are not those of the model with its "
            "adapter, as where the adapter changes one of two tied weights (lm_head and the "
            "embeddings): untie them, merge it with peft, and give the folder that "
            "save_pretrained then writes"
        )
    return merged
