"""Sentence embeddings of whole articles, and MiniLM's. Knows encoders, not what is done with them.

An article is cut into chunks of the encoder's length; a chunk's vector is pooled from its tokens'
states, an article's is the mean of its chunks' unit vectors, scaled to length 1. MiniLM (Wang et
al. 2020; all-MiniLM-L6-v2 of Reimers and Gurevych) is the asset ``minilm``, and pools by the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from biasloop import device
from biasloop.assets import asset_path
from biasloop.errors import InputError
from biasloop.files import sha256_file
from biasloop.metrics.pretrained import refuse_lost
from biasloop.models import tokenized

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WEIGHTS = "model.safetensors"
_CHUNK = 254
_BATCH = 32

E = TypeVar("E")


def _unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length 1; zeros stay zeros, and what is not finite becomes NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths != 0)


def mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average the states of tokens that are no padding.

    Parameters
    ----------
    states, mask
        Shapes (texts, tokens, width) and (texts, tokens); padding is on the right.

    Returns
    -------
    torch.Tensor
        Shape (texts, width).
    """
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def embed(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    chunk: int,
    around: tuple[Sequence[int], Sequence[int]],
    pool: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    width: int,
    batch_size: int = _BATCH,
) -> np.ndarray:
    """Embed articles: the mean of their chunks' unit vectors, scaled to length 1.

    Parameters
    ----------
    model, tokenizer
        An encoder, on its device.
    texts
        Any text.
    chunk
        Tokens of a chunk, at most, without those around it.
    around
        Tokens that go before and after every chunk.
    pool
        Last states and mask of chunks -> their vectors; see `mean`.
    width
        Of a vector.
    batch_size
        Chunks at once.

    Returns
    -------
    np.ndarray
        Shape (texts, width), float64; a text without tokens is zeros.

    Raises
    ------
    InputError
        If the model gives a text no finite numbers.
    """
    import torch

    before, after = around
    pad = tokenizer.pad_token_id
    chunks: list[tuple[int, list[int]]] = []
    for row, ids in enumerate(tokenized(tokenizer, texts)):
        chunks += [
            (row, [*before, *ids[at : at + chunk], *after]) for at in range(0, len(ids), chunk)
        ]
    chunks.sort(key=lambda chunk: (len(chunk[1]), chunk[0]))
    sums = np.zeros((len(texts), width))
    for at in range(0, len(chunks), batch_size):
        batch = chunks[at : at + batch_size]
        longest = max(len(ids) for _, ids in batch)
        ids = torch.tensor([ids + [pad] * (longest - len(ids)) for _, ids in batch])
        mask = torch.tensor([[1] * len(i) + [0] * (longest - len(i)) for _, i in batch])
        ids, mask = ids.to(model.device), mask.to(model.device)
        with torch.inference_mode():
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state
            vectors = _unit(pool(states, mask).double().cpu().numpy())
        np.add.at(sums, [row for row, _ in batch], vectors)
    result = _unit(sums)
    refuse_lost(model, result)
    return result


@dataclass(frozen=True)
class MiniLmEncoder:
    """Articles -> unit vectors of the encoder's width. Nothing in it is fitted."""

    folder: Path

    @cached_property
    def _loaded(self) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
        from transformers import AutoModel, AutoTokenizer

        options = {"local_files_only": True, "trust_remote_code": False}
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, **options)
            model = AutoModel.from_pretrained(self.folder, use_safetensors=True, **options)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.folder}: the sentence encoder cannot be read ({error}); "
                "'biasloop download minilm' fetches it again"
            ) from error
        assert tokenizer is not None  # noqa: S101 - from_pretrained raises instead
        return tokenizer, model.to(device.choose("float32").name).eval()

    @cached_property
    def weights_sha256(self) -> str:
        """Identifies the encoder that an instrument was fitted with."""
        return sha256_file(self.folder / _WEIGHTS)

    #: Texts of like length are read together, whichever they are.
    at_once = None

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode articles, shape (texts, width), float64; a text without tokens is zeros."""
        tokenizer, model = self._loaded
        chunk = min(_CHUNK, model.config.max_position_embeddings - 2)
        around = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
        return embed(model, tokenizer, texts, chunk, around, mean, model.config.hidden_size)

    def save(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Give JSON and arrays to keep: only which encoder it was."""
        return {"encoder_sha256": self.weights_sha256}, {}


@dataclass(frozen=True)
class MiniLmCandidate:
    """MiniLM embeddings to try as the built-in classifier's features; see `TfidfCandidate`."""

    name: str
    strength: float

    def _encoder(self) -> MiniLmEncoder:
        return MiniLmEncoder(Path(asset_path("minilm")))

    def prepare(self, texts: Sequence[str]) -> Embedded[MiniLmEncoder]:
        """Embed every text, once."""
        encoder = self._encoder()
        return Embedded(encoder, encoder.encode(texts))

    def restore(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> MiniLmEncoder:
        """Read back what `MiniLmEncoder.save` gave.

        Raises
        ------
        InputError
            If the asset is no longer the encoder that the instrument was fitted with.
        """
        del arrays
        encoder = self._encoder()
        if encoder.weights_sha256 != meta["encoder_sha256"]:
            raise InputError(
                f"{encoder.folder}: not the sentence encoder that the leaning classifier was "
                "fitted with; fetch that one again or start in a new output folder"
            )
        return encoder


@dataclass(frozen=True)
class Embedded(Generic[E]):
    """Embedded texts; nothing is fitted, so nothing can leak."""

    fixed: E
    rows: np.ndarray

    def encode(
        self, train: np.ndarray, test: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Give the embeddings of the rows ``train`` and ``test``."""
        return self.rows[train], None if test is None else self.rows[test]

    def encoder(self, train: np.ndarray | None = None) -> E:
        """Give the encoder itself, whatever the rows."""
        del train
        return self.fixed
