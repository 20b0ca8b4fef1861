"""Which texts are read together, and how long a batch is."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from biasloop.models.adapters import rounding
from biasloop.models.load import text_config
from biasloop.models.tokens import padded

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

#: Tokens read at once: more gain nothing, and fewer make a model's products too small.
_MOST, _LEAST = 2048, 512
#: Bytes between two layers that a processor still finds in its cache. What a layer holds inside is
#: four times as wide.
_CACHED = 3 * 2**20
#: Numbers of a table over the vocabulary that are worked on at once: of a processor, what its cache
#: holds; of a GPU, enough to keep it busy.
_IN_CACHE, _ON_GPU = 2**19, 2**26


def read_at_once(model: PreTrainedModel) -> int:
    """Say how many tokens a model reads at once: on a processor, what its cache can hold."""
    width = getattr(text_config(model), "hidden_size", None)
    if model.device.type != "cpu" or not width:
        return _MOST
    return min(_MOST, max(_LEAST, _CACHED // (width * model.dtype.itemsize)))


def rows_at_once(table: torch.Tensor) -> int:
    """Say how many rows of a table of shape (rows, vocabulary) are worked on at once."""
    at_once = _IN_CACHE if table.device.type == "cpu" else _ON_GPU
    return max(1, at_once // table.shape[-1])


def padding_changes(model: Any, text: Sequence[int], pad: int, side: str) -> bool:  # noqa: ANN401
    """Tell whether a model reads a text otherwise where padding stands on a side of it, masked.

    A recurrent state, a convolution, a Fourier transform take it in; positions may count it.
    """
    import torch

    text = text or [0]
    several = [text, [*[text[0]] * 5, *text]]  # the same ends, which BART counts
    accepted = inspect.signature(model.forward).parameters

    def read(rows: Sequence[Sequence[int]]) -> torch.Tensor:
        ids, mask = (each.to(model.device) for each in padded(rows, pad, side))
        options: dict[str, Any] = {"use_cache": False} if "use_cache" in accepted else {}
        if "position_ids" in accepted and side == "left":
            options["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
        with torch.no_grad():
            found = model(input_ids=ids, attention_mask=mask, **options)
        return found[0][0].float()

    alone, beside = read([text]), read(several)
    if alone.dim() > 1:  # token by token
        beside = beside[-len(text) :] if side == "left" else beside[: len(text)]
    return float((alone - beside).abs().max()) > rounding(model) * float(alone.abs().max())


def batches(lengths: Sequence[int], most: int, tokens: int = sys.maxsize) -> Iterator[list[int]]:
    """Put texts of like length together, the longest first.

    Of a batch, ``most`` is the number of texts and ``tokens`` that of tokens at most, padding
    included; a single text may have more. Yields places in ``lengths``; every place once.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    at = 0
    while at < len(order):
        size = max(1, min(most, tokens // max(1, lengths[order[at]])))
        yield order[at : at + size]
        at += size


def few_lengths(length: int, least: int = 8) -> int:
    """Round a length up, by less than ``least`` or a thirty-second of it, to one of few.

    oneDNN compiles a product's kernel when it first meets its shape, and keeps it: for a small
    model that takes longer than the product, and every batch has a length of its own.
    """
    step = max(least, 2 ** max(0, length.bit_length() - 6))
    return -(-length // step) * step
