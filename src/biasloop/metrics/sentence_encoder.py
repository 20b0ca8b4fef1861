"""Any encoder of transformers as sentence embedder, pooled as its folder says or by the mean.

A folder of sentence-transformers says in ``1_Pooling/config.json`` how its tokens' states become
one vector; that package is not needed. Knows texts, not what is done with their vectors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biasloop.config import LeaningConfig
from biasloop.errors import InputError
from biasloop.metrics.embeddings import Embedded, embed, mean
from biasloop.metrics.pretrained import Pretrained, each_once, limit_of, load_pretrained
from biasloop.models import beginning

if TYPE_CHECKING:
    import torch

_KEY = "metrics.leaning"
_POOLING = "1_Pooling/config.json"
_MODE = "pooling_mode_"


def _first(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    del mask  # padding is on the right
    return states[:, 0]


def _last(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    import torch

    return states[torch.arange(len(states), device=states.device), mask.sum(dim=1) - 1]


def _largest(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return states.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).max(dim=1).values


def _mean_by_root(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return mean(states, mask) * mask.sum(dim=1, keepdim=True).to(states.dtype).sqrt()


def _weighted_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return mean(states, mask.cumsum(dim=1) * mask)


#: The poolings of sentence-transformers, by the name in its file, in the order that it joins them.
POOLINGS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cls_token": _first,
    "max_tokens": _largest,
    "mean_tokens": mean,
    "mean_sqrt_len_tokens": _mean_by_root,
    "weightedmean_tokens": _weighted_mean,
    "lasttoken": _last,
}


def pooled(modes: Sequence[str]) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Join the vectors of several poolings, shape (texts, poolings x width)."""
    import torch

    return lambda states, mask: torch.cat([POOLINGS[mode](states, mask) for mode in modes], dim=-1)


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
        chosen = {key.removeprefix(_MODE) for key in settings if key.startswith(_MODE)}
        chosen = {mode for mode in chosen if settings[_MODE + mode] is True}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{_KEY}.classifier: {file}: cannot be read: {error}") from error
    unknown = sorted(chosen - set(POOLINGS))
    if unknown or not chosen:
        what = f"names a pooling that is not known, '{unknown[0]}'" if unknown else "names none"
        raise InputError(
            f"{_KEY}.classifier: {file}: {what}; known are, each as {_MODE}...: true, "
            f"{', '.join(POOLINGS)}"
        )
    return tuple(mode for mode in POOLINGS if mode in chosen)


@dataclass(frozen=True)
class SentenceEncoder:
    """A loaded encoder: texts -> unit vectors. Nothing in it is fitted.

    Attributes
    ----------
    loaded
        The model, its tokenizer and its revision.
    pooling
        Names from `POOLINGS`.
    settings
        The config's section.
    """

    loaded: Pretrained
    pooling: tuple[str, ...]
    settings: LeaningConfig

    #: Texts of like length are read together, whichever they are.
    at_once = None

    @cached_property
    def around(self) -> tuple[list[int], list[int]]:
        """Tokens that the tokenizer puts before and after a text."""
        tokenizer = self.loaded.tokenizer
        before = beginning(tokenizer)
        whole, plain = (
            tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False)
        )
        return before, whole[len(before) + len(plain) :]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode texts, each different one once, shape (texts, width), float64.

        Raises
        ------
        InputError
            If the model gives a text no finite numbers.
        """
        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        different, places_of = each_once(texts)
        before, after = self.around
        limit = limit_of(model, tokenizer, self.settings.max_tokens)
        chunk = max(1, limit - len(before) - len(after))
        pool = pooled(self.pooling)
        size = self.settings.batch_size
        width = model.config.hidden_size * len(self.pooling)
        vectors = embed(model, tokenizer, different, chunk, self.around, pool, width, size)
        return vectors[places_of]

    def save(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Give JSON and arrays to keep: only which encoder it was."""
        return {"revision": self.loaded.revision, "pooling": list(self.pooling)}, {}


@dataclass(frozen=True)
class EmbeddingCandidate:
    """The encoder of a config as features of the classifier; see `tfidf.TfidfCandidate`.

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
        name = self.settings.classifier
        loaded = load_pretrained(
            "AutoModel", name, _KEY, revision, self.settings.precision, may_lack=("pooler",)
        )
        if loaded.model.config.is_encoder_decoder:
            raise InputError(
                f"{_KEY}.classifier: {name}: has an encoder and a decoder; take a model that is an "
                "encoder only"
            )
        return SentenceEncoder(loaded, pooling_of(loaded.folder), self.settings)

    def prepare(self, texts: Sequence[str]) -> Embedded[SentenceEncoder]:
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
