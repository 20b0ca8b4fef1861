"""A PEFT adapter in a folder: which model it belongs to, and merging it into that model."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasloop.errors import InputError
from biasloop.hub import Hosted

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
#: Adapters that are a change of the weights that they sit on, so that merging keeps every logit.
#: Prompts, prefixes and routers are not.
MERGEABLE = ("ADALORA", "BOFT", "DELORA", "HRA", "IA3", "LOHA", "LOKR", "LORA", "OFT", "VERA")
#: What to do with an adapter that is not merged here.
REMEDY = (
    "merge it into its model (merge_and_unload of peft) and give the folder that save_pretrained "
    f"then writes, or remove {CONFIG} to use the model without it"
)
#: The largest difference of a logit before and after, relative to the largest logit, by how many
#: bytes a weight has: rounding of sums in another order.
_ROUNDING = {4: 1e-3, 2: 0.1}


@dataclass(frozen=True)
class Adapter:
    """An adapter that can be merged.

    Attributes
    ----------
    kind
        As `peft` calls it, in capitals.
    base, revision
        The folder or hub id of the model under it: the same folder where that has weights too.
    hosted
        The hub's repository that the folder is a copy of.
    """

    folder: Path
    kind: str
    base: str
    revision: str | None = None
    hosted: Hosted | None = None

    @property
    def shown(self) -> str:
        """What a message calls it."""
        return _shown(self.folder, self.hosted)


def _shown(folder: Path, hosted: Hosted | None) -> str:
    return f"'{hosted.name}'" if hosted else str(folder)


def find_adapter(folder: Path, hosted: Hosted | None = None) -> Adapter | None:
    """Read what a folder, or the copy of a hub's repository, says of its adapter; null without one.

    Raises
    ------
    InputError
        If it has one that cannot be merged: of another kind, without weights as safetensors,
        without a model under it, or without the package `peft`.
    """
    path = folder / CONFIG
    if not path.is_file():
        return None
    shown = _shown(folder, hosted)
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{shown}: {CONFIG} cannot be read: {error}") from error
    kind = settings.get("peft_type") if isinstance(settings, dict) else None
    if not isinstance(kind, str) or kind.upper() not in MERGEABLE:
        raise InputError(
            f"{shown}: holds a PEFT adapter of the type {str(kind)[:40]!r}, which cannot be "
            f"merged here (those that can: {', '.join(MERGEABLE)}): {REMEDY}"
        )
    if not (folder / WEIGHTS).is_file():
        raise InputError(
            f"{shown}: holds a PEFT adapter without {WEIGHTS}: its weights are read as "
            f"safetensors only: save it again with peft, or {REMEDY}"
        )
    if find_spec("peft") is None:
        raise InputError(
            f"{shown}: holds a PEFT adapter: install peft to have it merged "
            f"(pip install 'biasloop[peft]'), or {REMEDY}"
        )
    whole = (folder / "config.json").is_file() and (
        any(folder.glob("model*.safetensors"))  # one file or shards
    )
    if whole:
        return Adapter(folder, kind.upper(), str(folder), hosted=hosted)
    base = settings.get("base_model_name_or_path")
    if not isinstance(base, str) or not base.strip():
        raise InputError(
            f"{shown}: {CONFIG} names no base_model_name_or_path, and there is no model beside it: "
            f"{REMEDY}"
        )
    if Path(base).expanduser().resolve() == folder.resolve():
        raise InputError(
            f"{shown}: {CONFIG} names this folder as base_model_name_or_path, and there is no "
            "model in it: name the model that the adapter was trained on"
        )
    beside = folder / base
    local = beside.is_dir() and not Path(base).expanduser().is_dir() and hosted is None
    revision = settings.get("revision")
    revision = revision if isinstance(revision, str) else None
    return Adapter(folder, kind.upper(), str(beside) if local else base, revision, hosted)


def _refuse_unread(adapter: Adapter, found: Any) -> None:  # noqa: ANN401 - of `load_state_dict`
    """Refuse an adapter whose file lacks weights of it, or has some that nothing takes."""
    for keys, what in (
        (found.missing_keys, f"{WEIGHTS} lacks weights that {CONFIG} asks for"),
        (found.unexpected_keys, f"{WEIGHTS} has weights for which {CONFIG} makes no place"),
    ):
        if keys:
            raise InputError(
                f"{adapter.shown}: {what}, such as {sorted(keys)[0]} ({len(keys)} in all), so that "
                f"only a part of the adapter would be merged into {adapter.base}: is it that "
                "model's, and whole?"
            )


def has_tokenizer(folder: Path) -> bool:
    """Tell whether an adapter brings a tokenizer of its own."""
    return any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer_config.json"))


def saved_modules(adapter: Adapter) -> set[str]:
    """Name the modules that an adapter brings whole, such as a classifier's head."""
    settings = json.loads((adapter.folder / CONFIG).read_text(encoding="utf-8"))
    return set(map(str, settings.get("modules_to_save") or ()))


def rounding(model: PreTrainedModel) -> float:
    """Say how much of the largest logit two ways to the same one may differ."""
    return _ROUNDING.get(model.dtype.itemsize, 0.1)


def merge(model: PreTrainedModel, adapter: Adapter) -> PreTrainedModel:
    """Merge an adapter into its model, and see that the model still says what both said.

    Raises
    ------
    InputError
        If they do not fit, or the merged model, as it would be saved, gives other logits.
    """
    import torch
    from peft import PeftModel

    def answer(model: Any) -> torch.Tensor:  # noqa: ANN401 - of any task
        with torch.no_grad():
            found = model(input_ids=tokens)
        return getattr(found, "logits", found[0]).float()

    rows = len(next(model.get_input_embeddings().parameters()))
    tokens = (torch.arange(16)[None] * 7919 + 13) % rows
    try:
        with warnings.catch_warnings():  # of what is lacking, which is refused below
            warnings.simplefilter("ignore")
            attached: Any = PeftModel.from_pretrained(model, str(adapter.folder))
            found = attached.load_adapter(str(adapter.folder), "default")
        attached.eval()
        _refuse_unread(adapter, found)
        before = answer(attached)
        merged = attached.merge_and_unload(safe_merge=True)
    except (KeyboardInterrupt, MemoryError, InputError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{adapter.shown}: its adapter cannot be merged into {adapter.base} "
            f"({type(error).__name__}: {reason}): is it that model's?"
        ) from error
    merged.tie_weights()  # as it will be once it has been saved and read again
    after = answer(merged)
    allowed = rounding(merged) * float(before.abs().max())
    if not bool(((before - after).abs() <= allowed).all()):
        raise InputError(
            f"{adapter.shown}: the merged model's logits are not those of the model with its "
            "adapter, as where the adapter changes one of two tied weights (lm_head and the "
            "embeddings): untie them, merge it with peft, and give the folder that "
            "save_pretrained then writes"
        )
    return merged
