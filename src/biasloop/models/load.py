"""A causal language model with its tokenizer: loaded, or built from scratch; and its card.

It is loaded from the hub, a folder, a GGUF file or an asset. The card is what it says of itself. Of
its end tokens one rule holds for every way of decoding: the run's ``generation`` settings
decide, and of a model's ``generation_config.json`` its end tokens count, all of them. What else
that file asks for (a repetition penalty, suppressed tokens, a temperature) would change what is
measured, and transformers would apply it in beam search only: it is not applied, and said.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from biasloop.assets import ASSETS, asset_path
from biasloop.config import ScratchConfig
from biasloop.device import Device, choose
from biasloop.errors import InputError, nearest
from biasloop.hub import Hosted, check_hub, settings_of, switched_off, weights_of
from biasloop.models.adapters import (
    REMEDY,
    Adapter,
    find_adapter,
    has_tokenizer,
    merge,
    rounding,
)
from biasloop.models.tokens import beginning

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

#: Where a classifier's text is cut, if neither model nor tokenizer states a length.
_LONGEST = 8192
#: What a tokenizer states that knows no length, as transformers has it.
_ENDLESS = 10**30

#: Decoding settings that name tokens, say how much is kept in memory or put out, or how long a
#: text may be.
_NEUTRAL = frozenset(
    {
        *("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"),
        *("max_length", "max_new_tokens", "cache_implementation", "use_cache"),
        *("return_dict_in_generate", "transformers_version"),
    }
)
_END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class Checkpoint:
    """A model's card.

    Attributes
    ----------
    begins
        Tokens that its tokenizer puts before every text: one, as Gemma's, or none.
    ends
        Tokens each of which ends a text: the tokenizer's first, then the model's own others.
    pad
        The token that fills a batch up.
    context
        Tokens that it can read at once. Positions that are relative (ALiBi) or none (a recurrent
        state) have no end; the tokenizer may still know the length that it was trained on.
    stated
        The length that its tokenizer states.
    """

    begins: tuple[int, ...]
    ends: tuple[int, ...]
    pad: int
    context: int
    stated: int

    @property
    def room(self) -> int:
        """How many tokens of a text it can read at once: `context` without its beginning."""
        return self.context - len(self.begins)

    def limit(self, max_tokens: int | None = None) -> int:
        """Where a classifier cuts a text, special tokens included."""
        return min(max_tokens or _LONGEST, self.stated, self.context, _LONGEST)


def checkpoint_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Checkpoint:
    """Read a model's card."""
    stated = int(tokenizer.model_max_length)
    stated = stated if stated > 0 else _ENDLESS
    return Checkpoint(
        begins=tuple(beginning(tokenizer)),
        ends=_end_tokens(model, tokenizer),
        pad=tokenizer.pad_token_id,
        context=_positions(model) or stated,
        stated=stated,
    )


def text_config(model: Any) -> Any:  # noqa: ANN401 - not typed
    """Give the part of a model's config that says its sizes, which may lie in a ``text_config``."""
    config = model.config
    return config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config


def rows_of(model: PreTrainedModel) -> int:
    """Count the tokens that a model has an embedding of."""
    try:
        return len(next(model.get_input_embeddings().parameters()))
    except (NotImplementedError, AttributeError, StopIteration) as error:
        raise InputError(
            f"{type(model).__name__}: has no table of token embeddings, as models that read bytes "
            "or characters: take another model"
        ) from error


def _positions(model: PreTrainedModel) -> int | None:
    config = text_config(model)
    found = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions"))
    positions = next((int(length) for length in found if length and length > 0), None)
    if positions is None:
        return None
    # Of RoBERTa and its kin, position ids start after the padding's.
    padding = (
        module.padding_idx
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
    )
    return positions - next((index + 1 for index in padding), 0)


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """List the tokens that end a text.

    A model without a ``generation_config.json`` has what its architecture's config says by
    default, which may be any word of its vocabulary; that is left aside. A list is no default.
    """
    found = _own_settings(model).get("eos_token_id")
    stated = getattr(text_config(model), "eos_token_id", None)
    found = stated if found is None and isinstance(stated, list) else found
    own = [tokenizer.eos_token_id, *(found if isinstance(found, list) else [found])]
    rows = rows_of(model)
    return tuple(dict.fromkeys(end for end in own if type(end) is int and 0 <= end < rows))


def take_own_settings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Leave a model its end tokens only, and give what else its own decoding settings asked for.

    What is left is saved with the model, so that its fine-tuned ones end texts alike.
    """
    from transformers import GenerationConfig

    asked = {
        name: value
        for name, value in _own_settings(model).items()
        if name not in _NEUTRAL and not name.startswith(("_", "output_"))
    }
    ends = _end_tokens(model, tokenizer)
    model.generation_config = GenerationConfig(
        eos_token_id=list(ends), pad_token_id=tokenizer.pad_token_id
    )
    return asked


def _own_settings(model: PreTrainedModel) -> dict[str, Any]:
    """Give what differs from transformers' defaults; nothing where no file said so."""
    own = getattr(model, "generation_config", None)
    if own is None or getattr(own, "_from_model_config", False):
        return {}
    return own.to_diff_dict()


@dataclass(frozen=True)
class LoadedModel:
    """A model on its device, in evaluation mode, with a tokenizer that can pad.

    ``not_applied`` is what the model's own decoding settings ask for beside end tokens, ``adapter``
    the adapter that was merged into it, ``commit`` the hub's version of the model.
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
        return checkpoint_of(self.model, self.tokenizer)

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

    ``name`` is a local folder, a ``.gguf`` file, the name of a model asset, or a hub id, of which
    ``revision`` is wanted.

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
        # transformers would attach an adapter that it finds, and save the adapter alone.
        for file in location.adapter.folder.iterdir():
            if file.is_file() and not file.name.startswith("adapter_"):
                (Path(place) / file.name).symlink_to(file.resolve())
        yield replace(location, name=place)


def _load(what: str, location: ModelLocation, loader: Any, **options: Any) -> Any:  # noqa: ANN401
    if location.gguf_file:
        options["gguf_file"] = location.gguf_file
    try:
        return loader.from_pretrained(location.name, trust_remote_code=False, **options)
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        partial = location.hosted and not location.hosted.reachable
        raise InputError(
            f"{location.shown}: the {what} cannot be read ({first_line(error)})"
            + (". The hub was not asked: is the copy on this disk complete?" if partial else "")
        ) from error


def refuse_lacking(
    name: str, loading: Mapping[str, Any], advice: str, may_lack: Collection[str] = ()
) -> None:
    """Refuse a model whose files do not have all of its weights: transformers draws the others.

    Parameters
    ----------
    name
        The model, for the message.
    loading
        What ``from_pretrained`` tells with ``output_loading_info``.
    advice
        How the message ends.
    may_lack
        Modules whose weights are not needed.
    """
    read = [*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])]
    lacking = sorted(weight for weight in read if not {*may_lack} & set(weight.split(".")))
    if lacking:
        shapes = {key: shapes for key, *shapes in loading["mismatched_keys"]}.get(lacking[0])
        here = f" of shape {[*shapes[1]]} (there is one of {[*shapes[0]]})" if shapes else ""
        raise InputError(
            f"{name}: has no weights for {', '.join(lacking[:3])}{here}"
            + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
            + f", so that they would be drawn at random: {advice}"
        )


def refuse_lost_weights(name: str, model: PreTrainedModel, advice: str) -> None:
    """Refuse a model with weights that are not finite numbers."""
    import torch

    for key, weight in model.named_parameters():
        if weight.numel() == 0 or not weight.is_floating_point() or weight.dtype.itemsize == 1:
            continue
        if not bool(torch.stack(torch.aminmax(weight.detach())).isfinite().all()):
            raise InputError(f"{name}: its weight {key} is not finite everywhere: {advice}")


def _refuse_looking_ahead(name: str, model: PreTrainedModel) -> None:
    """Refuse a model whose word on a token depends on the tokens after it, as a masked one's."""
    import torch

    tokens = (torch.arange(8).repeat(2, 1) * 7919 + 13) % rows_of(model)
    tokens[1, -1] = (tokens[0, -1] + 1) % rows_of(model)
    try:
        with torch.no_grad():
            read = model(input_ids=tokens.to(model.device), use_cache=False).logits[:, :-1].float()
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise InputError(f"{name}: the model cannot read tokens ({first_line(error)})") from error
    if float((read[0] - read[1]).abs().max()) > rounding(model) * float(read.abs().max()):
        raise InputError(
            f"{name}: what it says of a token depends on the tokens that follow, so it cannot "
            "write: take a causal language model, such as GPT-2 or Llama, not a masked or "
            "permuted one, such as BERT or XLNet"
        )


def first_line(error: BaseException) -> str:
    """Say what an error of a library is, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])[:300]}" if lines else type(error).__name__


def refuse_tokens(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer with tokens that its model has no embedding of."""
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
    name, revision
        See `resolve_model`.
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
    shape = None if location.gguf_file and weights else _load("config", location, AutoConfig)
    if getattr(shape, "is_encoder_decoder", False):
        raise InputError(f"{name}: has an encoder and a decoder: take a model that is a decoder")
    if weights:
        location.fetch_weights()
        options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
        model, loading = _load("model", location, AutoModelForCausalLM, **options)
        refuse_lacking(name, loading, "is it a whole causal language model?")
    else:
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
    _require_end(name, location, model, tokenizer)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if weights and place:
        model.to(torch.device(device.name))
    model.eval()
    if weights:
        advice = "it is damaged, or its training has diverged"
        refuse_lost_weights(name, model, advice)
        _refuse_looking_ahead(name, model)
    settings = take_own_settings(model, tokenizer)
    hosted = adapter.hosted if adapter and adapter.hosted else location.hosted
    commit = hosted.commit if hosted else None
    return LoadedModel(model, tokenizer, device, settings, adapter, commit)


def _require_end(
    name: str, location: ModelLocation, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Have a tokenizer name an end token: the model's own, where it has none itself."""
    file = Path(location.name, "generation_config.json")
    try:
        own = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        found = own.get("eos_token_id")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from error
    if tokenizer.eos_token_id is not None:
        return
    if own.get("_from_model_config") and not isinstance(found, list):  # see `_end_tokens`
        found = None
    first = found[0] if isinstance(found, list) and found else found
    if type(first) is not int or not 0 <= first < min(len(tokenizer), rows_of(model)):
        raise InputError(
            f"{name}: neither its tokenizer nor its generation_config.json names a token that "
            "ends a text: set eos_token in tokenizer_config.json to the one that it was trained "
            "with"
        )
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(first)


def save_model(loaded: LoadedModel, folder: Path) -> None:
    """Write a model and its tokenizer to a folder, as safetensors in float32."""
    loaded.model.float().save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer: every text can be encoded, none is out of vocabulary.

    ``vocabulary`` is the number of tokens, the 256 bytes and the end-of-text token included.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[_END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    special = dict.fromkeys(("bos_token", "eos_token", "pad_token"), _END_OF_TEXT)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **special
    )


def build_scratch_model(
    tokenizer: PreTrainedTokenizerFast, config: ScratchConfig, seed: int
) -> LoadedModel:
    """Build a GPT-2-architecture model with random weights drawn from ``seed``."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, set_seed

    quiet()
    set_seed(seed)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=config.context,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            resid_pdrop=config.dropout,
            embd_pdrop=config.dropout,
            attn_pdrop=config.dropout,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    device = choose("float32")
    model.to(torch.device(device.name)).eval()
    return LoadedModel(model, tokenizer, device)
