"""Sentence embeddings as features of a classifier that is trained here.

An article is cut into chunks of the encoder's length; a chunk's vector is pooled from its tokens'
states, an article's is the mean of its chunks' unit vectors, scaled to length 1. MiniLM (Wang et
al. 2020; all-MiniLM-L6-v2 of Reimers and Gurevych) is the asset ``minilm``, and pools by the mean.
Any other encoder pools as its ``1_Pooling/config.json`` says, which sentence-transformers writes
(that package is not needed), or by the mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biasloop.assets import asset_path
from biasloop.config import LeaningConfig
from biasloop.errors import InputError
from biasloop.files import sha256_file
from biasloop.metrics.pretrained import each_once, load_pretrained, refuse_lost
from biasloop.models.batches import padding_changes
from biasloop.models.load import checkpoint_of
from biasloop.models.tokens import beginning, padded, tokenized

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_KEY = "metrics.leaning"
_POOLING = "1_Pooling/config.json"
_MODE = "pooling_mode_"
#: Tokens of a chunk that MiniLM was trained on, with the two around it, and chunks at once.
_MINILM_TOKENS, _MINILM_BATCH = 256, 32

Pool = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


def _mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def _last(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    import torch

    return states[torch.arange(len(states), device=states.device), mask.sum(dim=1) - 1]


def _largest(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return states.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).max(dim=1).values


def _mean_by_root(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return _mean(states, mask) * mask.sum(dim=1, keepdim=True).to(states.dtype).sqrt()


#: The poolings of sentence-transformers, by the name in its file, in the order that it joins them:
#: last states, shape (texts, tokens, width), and mask, padding on the right -> (texts, width).
POOLINGS: dict[str, Pool] = {
    "cls_token": lambda states, mask: states[:, 0],
    "max_tokens": _largest,
    "mean_tokens": _mean,
    "mean_sqrt_len_tokens": _mean_by_root,
    "weightedmean_tokens": lambda states, mask: _mean(states, mask.cumsum(dim=1) * mask),
    "lasttoken": _last,
}


def pooling_of(folder: Path) -> tuple[str, ...]:
    """Read how a model pools: from its file of sentence-transformers, else by the mean.

    Parameters
    ----------
    folder
        That holds it.

    Returns
    -------
    tuple of str
        Names from `POOLINGS`.

    Raises
    ------
    InputError
        If the file cannot be read, or names no pooling that is known.
    """
    file = folder / _POOLING
    if not file.is_file():
        return ("mean_tokens",)
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        modes = [key for key in settings if key.startswith(_MODE) and settings[key] is True]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{_KEY}.classifier: {file}: cannot be read: {error}") from error
    chosen = {mode.removeprefix(_MODE) for mode in modes}
    unknown = sorted(chosen - set(POOLINGS))
    if unknown or not chosen:
        what = f"names a pooling that is not known, '{unknown[0]}'" if unknown else "names none"
        raise InputError(
            f"{_KEY}.classifier: {file}: {what}; known are, each as {_MODE}...: true, "
            f"{', '.join(POOLINGS)}"
        )
    return tuple(mode for mode in POOLINGS if mode in chosen)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length 1; zeros stay zeros, and what is not finite becomes NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths != 0)


@dataclass(frozen=True)
class SentenceEncoder:
    """A loaded encoder: texts -> unit vectors. Nothing in it is fitted.

    Attributes
    ----------
    model, tokenizer
        In evaluation mode, on their device.
    pooling
        Names from `POOLINGS`.
    tokens
        Of a chunk, at most, with those that the tokenizer puts around it.
    batch_size
        Chunks at once.
    identity
        What says which encoder it is.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    pooling: tuple[str, ...]
    tokens: int
    batch_size: int
    identity: Mapping[str, Any]

    #: Texts of like length are read together, whichever they are.
    at_once = None

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts, shape (texts, width), float64; a text without tokens is zeros.

        Raises
        ------
        InputError
            If the model gives a text no finite numbers.
        """
        import torch

        model, tokenizer = self.model, self.tokenizer
        before = beginning(tokenizer)
        whole, plain = (
            tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False)
        )
        after = whole[len(before) + len(plain) :]
        size = max(1, self.tokens - len(before) - len(after))
        chunks = [
            (row, [*before, *ids[at : at + size], *after])
            for row, ids in enumerate(tokenized(tokenizer, texts))
            for at in range(0, len(ids), size)
        ]
        chunks.sort(key=lambda chunk: (len(chunk[1]), chunk[0]))
        sums = np.zeros((len(texts), model.config.hidden_size * len(self.pooling)))
        most = 1 if chunks and self._takes_padding_in else self.batch_size
        for at in range(0, len(chunks), most):
            rows, ids = zip(*chunks[at : at + most], strict=True)
            input_ids, mask = (x.to(model.device) for x in padded(ids, tokenizer.pad_token_id))
            with torch.inference_mode():
                states = model(input_ids=input_ids, attention_mask=mask).last_hidden_state
                pooled = [POOLINGS[mode](states, mask) for mode in self.pooling]
                vectors = _unit(torch.cat(pooled, dim=-1).double().cpu().numpy())
            np.add.at(sums, list(rows), vectors)
        result = _unit(sums)
        refuse_lost(model, result)
        return result

    @cached_property
    def _takes_padding_in(self) -> bool:
        """Whether chunks may not be padded; tried once, since nothing changes the model."""
        text = self.tokenizer("a")["input_ids"]
        return padding_changes(self.model, text, self.tokenizer.pad_token_id, "right")

    def save(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Give JSON and arrays to keep: only which encoder it was."""
        return dict(self.identity), {}


@dataclass(frozen=True)
class Embedded:
    """Embedded texts; nothing is fitted, so nothing can leak."""

    fixed: SentenceEncoder
    rows: np.ndarray

    def encode(
        self, train: np.ndarray, test: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Give the embeddings of the rows ``train`` and ``test``."""
        return self.rows[train], None if test is None else self.rows[test]

    def encoder(self, train: np.ndarray | None = None) -> SentenceEncoder:
        """Give the encoder itself, whatever the rows."""
        del train
        return self.fixed


@dataclass(frozen=True)
class MiniLmCandidate:
    """MiniLM embeddings to try as the built-in classifier's features; see `TfidfCandidate`."""

    name: str
    strength: float

    def load(self) -> SentenceEncoder:
        """Load the asset.

        Raises
        ------
        InputError
            If it is not there, or cannot be read.
        """
        folder = Path(asset_path("minilm"))
        try:
            loaded = load_pretrained("AutoModel", str(folder), _KEY, may_lack=("pooler",))
        except InputError as error:
            raise InputError(
                f"{folder}: the sentence encoder cannot be read ({error}); "
                "'biasloop download minilm' fetches it again"
            ) from error
        tokens = min(_MINILM_TOKENS, loaded.model.config.max_position_embeddings)
        own = {"encoder_sha256": sha256_file(folder / "model.safetensors")}
        model, tokenizer = loaded.model, loaded.tokenizer
        return SentenceEncoder(model, tokenizer, ("mean_tokens",), tokens, _MINILM_BATCH, own)

    def prepare(self, texts: Sequence[str]) -> Embedded:
        """Embed every text, once."""
        encoder = self.load()
        return Embedded(encoder, encoder.encode(texts))

    def restore(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> SentenceEncoder:
        """Read back what `SentenceEncoder.save` gave.

        Raises
        ------
        InputError
            If the asset is no longer the encoder that the instrument was fitted with.
        """
        del arrays
        encoder = self.load()
        if encoder.identity != meta:
            raise InputError(
                f"{asset_path('minilm')}: not the sentence encoder that the instrument was fitted "
                "with; fetch that one again or start in a new output folder"
            )
        return encoder


class OnceEncoder(SentenceEncoder):
    """Reads each different text once."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """See `SentenceEncoder`."""
        different, places = each_once(texts)
        return super().encode(different)[places]


@dataclass(frozen=True)
class EmbeddingCandidate:
    """The encoder of a config as features of the classifier; see `TfidfCandidate`.

    Attributes
    ----------
    name, strength
        As the classifier's file names it, and its inverse regularisation.
    settings
        The config's section.
    """

    name: str
    strength: float
    settings: LeaningConfig

    def load(self, revision: str | None = None) -> SentenceEncoder:
        """Load the encoder.

        Raises
        ------
        InputError
            If it cannot be had, or is none.
        """
        own = self.settings
        loaded = load_pretrained(
            "AutoModel", own.classifier, _KEY, revision, own.precision, may_lack=("pooler",)
        )
        if loaded.model.config.is_encoder_decoder:
            raise InputError(
                f"{_KEY}.classifier: {own.classifier}: has an encoder and a decoder; take a model "
                "that is an encoder only"
            )
        pooling = pooling_of(loaded.folder)
        identity = {"revision": loaded.revision, "pooling": list(pooling)}
        model, tokenizer = loaded.model, loaded.tokenizer
        tokens = checkpoint_of(model, tokenizer).limit(own.max_tokens)
        return OnceEncoder(model, tokenizer, pooling, tokens, own.batch_size, identity)

    def prepare(self, texts: Sequence[str]) -> Embedded:
        """Embed every text, once."""
        encoder = self.load()
        return Embedded(encoder, encoder.encode(texts))

    def restore(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> SentenceEncoder:
        """Read back what `SentenceEncoder.save` gave.

        Raises
        ------
        InputError
            If the model pools otherwise now.
        """
        del arrays
        encoder = self.load(meta["revision"])
        if list(encoder.pooling) != meta["pooling"]:
            raise InputError(
                f"{_KEY}.classifier: {self.settings.classifier} pools by "
                f"{', '.join(encoder.pooling)}, but the classifier was fitted with "
                f"{', '.join(meta['pooling'])}: start in a new output folder"
            )
        return encoder
