"""A causal language model with its tokenizer, from the hub, a folder, a GGUF file or an asset."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from biasloop.assets import ASSETS, asset_path
from biasloop.device import Device, choose
from biasloop.errors import InputError, nearest
from biasloop.hub import Hosted, check_hub, settings_of, switched_off, weights_of
from biasloop.models.adapters import (
    REMEDY,
    Adapter,
    find_adapter,
    has_tokenizer,
    link_without_adapter,
    merge,
)
from biasloop.models.checkpoint import Checkpoint, checkpoint_of, rows_of, take_own_settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class LoadedModel:
    """A model on its device, in evaluation mode, with a tokenizer that can pad.

    ``not_applied`` is what the model's own decoding settings ask for beside end tokens; see
    `checkpoint`. ``adapter`` is the adapter that was merged into it, ``commit`` the hub's version
    of the model.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: Device
    not_applied: Mapping[str, Any] = field(default_factory=dict)
    adapter: Adapter | None = None
    commit: str | None = None

    @cached_property
    def card(self) -> Checkpoint:
        """What the model says of itself."""
        return checkpoint_of(self.model, self.tokenizer, self.adapter)

    @property
    def ends(self) -> tuple[int, ...]:
        """See `Checkpoint`."""
        return self.card.ends

    @property
    def context(self) -> int:
        """See `Checkpoint`."""
        return self.card.context

    @property
    def room(self) -> int:
        """See `Checkpoint`."""
        return self.card.room


@dataclass(frozen=True)
class ModelLocation:
    """Where transformers finds a model: a folder, a GGUF file inside it, an adapter.

    ``hosted`` is the repository that the folder is a copy of, which may lack the weights so far.
    """

    name: str
    gguf_file: str | None = None
    hosted: Hosted | None = None
    adapter: Adapter | None = None

    @property
    def shown(self) -> str:
        """What a message calls it."""
        return f"'{self.hosted.name}'" if self.hosted else self.name

    def fetch_weights(self) -> None:
        """Have the weights on this disk."""
        if self.hosted:
            weights_of(self.shown, self.hosted, Path(self.name))


def resolve_model(name: str, revision: str | None = None) -> ModelLocation:
    """Find out what a model's name means, without loading it; of a hub's, fetch its settings.

    Parameters
    ----------
    name
        A local folder, a ``.gguf`` file, the name of a model asset, or a hub id.
    revision
        Of a hub model.

    Raises
    ------
    InputError
        If a local path does not exist or is no model folder, an asset is not downloaded, or the
        hub does not give the model.
    """
    found = _find(name, revision)
    adapter = found.adapter
    if adapter is None or adapter.base == found.name:
        return found
    try:
        base = _find(adapter.base, adapter.revision)
    except InputError as error:
        raise InputError(f"{adapter.shown}: the model under its adapter: {error}") from error
    if base.adapter:
        raise InputError(
            f"{adapter.shown}: its base model '{adapter.base}' holds an adapter itself: {REMEDY}"
        )
    return replace(base, adapter=adapter)


def _find(name: str, revision: str | None) -> ModelLocation:
    """Find what a name means; of an adapter without a model beside it, the adapter's folder."""
    try:
        path = Path(name).expanduser()
        path.exists()
    except (OSError, RuntimeError) as error:  # too long a name, or the home of no user
        raise InputError(f"{name[:200]!r}: is no path of a model: {str(error)[:200]}") from error
    if path.is_file() and path.suffix == ".gguf":
        return ModelLocation(str(path.parent), path.name)
    if path.is_dir():
        if adapter := find_adapter(path):
            return ModelLocation(str(path), adapter=adapter)
        if not (path / "config.json").is_file():
            raise InputError(f"{path}: not a model folder: it has no config.json")
        return ModelLocation(str(path))
    if name in ASSETS:
        place = asset_path(name)
        files = sorted(place.glob("*.gguf")) if place.is_dir() else [place]
        if not files or files[0].suffix != ".gguf":
            raise InputError(f"the asset '{name}' is not a causal language model")
        return ModelLocation(str(files[0].parent), files[0].name)
    if path.is_file():
        raise InputError(f"{path}: a model is a folder, a .gguf file or a hub id, not this file")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or path.suffix == ".gguf":
        raise InputError(f"{name}: no such model folder or file")
    return _hosted(name, revision)


def _hosted(name: str, revision: str | None) -> ModelLocation:
    """Find a model on the hub, or on this disk where it was fetched before."""
    shown = f"'{name}'"
    try:
        found = check_hub(shown, name, "model", revision)
    except InputError as error:
        if "/" in name or switched_off():
            raise
        raise InputError(
            f"{error} (there is no such folder here, so it was looked for on the hub; an asset: "
            f"{nearest(name, ASSETS)})"
        ) from error
    folder = settings_of(shown, found)
    found = replace(found, commit=folder.name)
    adapter = find_adapter(folder, found)
    if adapter is None and not (folder / "config.json").is_file():
        raise InputError(f"{shown}: not a model: its repository has no config.json")
    return ModelLocation(str(folder), hosted=found, adapter=adapter)


@contextmanager
def without_adapter(location: ModelLocation) -> Generator[ModelLocation]:
    """Give a place of the model where transformers finds no adapter to attach."""
    if location.adapter is None or str(location.adapter.folder) != location.name:
        yield location
        return
    with TemporaryDirectory(prefix="biasloop-") as place:
        link_without_adapter(location.adapter.folder, Path(place))
        yield replace(location, name=place)


def _load(what: str, location: ModelLocation, loader: Any, **options: Any) -> Any:  # noqa: ANN401
    if location.gguf_file:
        options["gguf_file"] = location.gguf_file
    try:
        return loader.from_pretrained(location.name, trust_remote_code=False, **options)
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        shown = str(error).strip().splitlines()
        reason = shown[0] if shown else type(error).__name__
        partial = location.hosted and not location.hosted.reachable
        raise InputError(
            f"{location.shown}: the {what} cannot be read ({type(error).__name__}: {reason})"
            + (". The hub was not asked: is the copy on this disk complete?" if partial else "")
        ) from error


def refuse_tokens(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer with tokens that its model has no embedding of.

    Raises
    ------
    InputError
        If there is one.
    """
    last = max(tokenizer.get_vocab().values(), default=-1)
    rows = rows_of(model)
    if last >= rows:
        raise InputError(
            f"{name}: its tokenizer has tokens up to number {last:,} "
            f"({tokenizer.convert_ids_to_tokens(last)!r}), but the model knows {rows:,} tokens, "
            f"to number {rows - 1:,}: call model.resize_token_embeddings(len(tokenizer)) and save "
            "both again, or take the tokens that were added out of the tokenizer"
        )


def quiet() -> None:
    """Keep transformers' hints and bars off a user's screen; its errors still raise."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def load_model(
    name: str,
    revision: str | None = None,
    precision: str = "auto",
    weights: bool = True,
    place: bool = True,
) -> LoadedModel:
    """Load a causal language model for reading, writing or training.

    Only safetensors and GGUF weights are read (never pickle), and no code of the model's
    repository is run.

    Parameters
    ----------
    name
        See `resolve_model`.
    revision
        Of a hub model.
    precision
        ``auto``, ``float32`` or ``bfloat16``: of the weights.
    weights
        Whether to load them; without, the model has its shape only and takes no memory.
    place
        Whether to put them onto the device; without, they stay in main memory.

    Raises
    ------
    InputError
        If the model or its tokenizer cannot be read; the message says what was tried.
    """
    quiet()
    device = choose(precision)
    with without_adapter(resolve_model(name, revision)) as location:
        return _load_from(name, location, device, weights, place)


def _load_from(
    name: str, location: ModelLocation, device: Device, weights: bool, place: bool
) -> LoadedModel:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    adapter = location.adapter
    own_words = adapter and has_tokenizer(adapter.folder)
    words = ModelLocation(str(adapter.folder)) if adapter and own_words else location
    tokenizer = _load("tokenizer", words, AutoTokenizer)
    options: dict[str, Any] = {"dtype": device.dtype}
    if not location.gguf_file:
        options["use_safetensors"] = True
    if weights:
        location.fetch_weights()
        model = _load("model", location, AutoModelForCausalLM, **options)
    else:
        shape = _load("config", location, AutoConfig)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(shape)
    if location.gguf_file:
        # The weights are plain tensors by now; only these still call them quantised, and
        # transformers refuses to train or save what is called so.
        model.__dict__.pop("hf_quantizer", None)
        model.__dict__.pop("is_quantized", None)
        model.config.__dict__.pop("quantization_config", None)
    if adapter and weights:
        model = merge(model, adapter)
    refuse_tokens(name, model, tokenizer)
    if tokenizer.eos_token_id is None:
        raise InputError(f"{name}: its tokenizer has no end-of-sequence token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if weights and place:
        model.to(torch.device(device.name))
    model.eval()
    settings = take_own_settings(model, tokenizer)
    hosted = adapter.hosted if adapter and adapter.hosted else location.hosted
    commit = hosted.commit if hosted else None
    return LoadedModel(model, tokenizer, device, settings, adapter, commit)


def save_model(loaded: LoadedModel, folder: Path) -> None:
    """Write a model and its tokenizer to a folder, as safetensors in float32."""
    import torch

    model = loaded.model
    if model.dtype != torch.float32:
        model = model.float()
    model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
