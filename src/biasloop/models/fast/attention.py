"""Attention in bfloat16 on a processor as matrix products, faster there than torch's fused one.

The fused one works in blocks so as to keep no weights, and takes as long in bfloat16 as in
float32. Up to a thousand tokens the weights fit in memory, and two products with a softmax between
them take half as long; those of a single query always fit: docs/speed.md.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

#: The name under which transformers knows `read`.
READING = "biasloop_reading"

#: Up to this length the weights of all rows are kept.
_SHORT = 1024


def products_are_faster(query: torch.Tensor, key: torch.Tensor) -> bool:
    """Whether products are faster: in bfloat16, on a processor, for a short text as a whole."""
    import torch

    return (
        query.dtype == key.dtype == torch.bfloat16
        and query.device.type == "cpu"
        and 1 < query.shape[2] == key.shape[2] <= _SHORT
    )


def as_products(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    causal: bool,
    mask: torch.Tensor | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attention as two matrix products, its weights kept for the way back.

    Parameters
    ----------
    query, key, value
        Of shape (rows, heads, length, width); ``key`` and ``value`` may have fewer heads, each
        for as many of the query's.
    scale
        What scores are multiplied by.
    causal
        Whether a token sees only itself and those before it.
    mask
        What is seen where it is true, or what is added to scores where it has numbers, of a shape
        that (rows, heads, length, length) can be had from; None sees everything.
    dropout
        The share of weights that is left out.

    Returns
    -------
    torch.Tensor
        Of the query's shape.
    """
    import torch

    heads, length = query.shape[1], query.shape[2]
    key, value = (x.repeat_interleave(heads // x.shape[1], 1) for x in (key, value))
    ahead = query.new_zeros(length, length)
    if causal:
        ahead = ahead.fill_(-torch.inf).triu(1)
    with torch.autocast("cpu", enabled=False):
        scores = torch.baddbmm(
            ahead, query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2), alpha=scale
        )
        if mask is not None:
            shown = _as_numbers(mask, query.dtype)
            scores = (scores.unflatten(0, query.shape[:2]) + shown).flatten(0, 1)
        weights = torch.nn.functional.dropout(scores.softmax(-1), dropout)
        return torch.bmm(weights, value.flatten(0, 1)).view_as(query)


def _as_numbers(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Turn what is seen into what is added to scores."""
    import torch

    if mask.dtype != torch.bool:
        return mask.to(dtype)
    # Finite: a row of padding sees nothing, and must not become one of no numbers.
    hidden = torch.finfo(dtype).min / 2
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, hidden)


def of_one_query(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attention of one token per row to all that was before it, and to itself.

    Parameters
    ----------
    query
        Of shape (rows, heads, 1, width), as what is returned.
    key, value
        Of shape (rows, heads or fewer, length, width).
    scale, mask
        As in `as_products`; the mask is for shape (rows, 1, 1, length).
    """
    grouped = query.squeeze(2).unflatten(1, (key.shape[1], -1))
    scores = (key @ grouped.transpose(2, 3)).transpose(2, 3) * scale
    if mask is not None:
        scores = scores + _as_numbers(mask, query.dtype)
    return (scores.softmax(-1) @ value).flatten(1, 2).unsqueeze(2)


def read(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **options: Any,  # noqa: ANN401 - transformers' signature
) -> tuple[torch.Tensor, None]:
    """Attend as transformers' ``sdpa`` does, by products where they pay; without a gradient."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    # Whatever else an architecture asks for is left to transformers.
    plain = not any(options.get(name) is not None for name in ("softcap", "position_bias", "cache"))
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    if plain and query.shape[2] == 1:
        output = of_one_query(query, key, value, scale, attention_mask)
    elif plain and products_are_faster(query, key):
        causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        causal = causal and attention_mask is None
        output = as_products(query, key, value, scale, causal, mask=attention_mask)
    else:
        options |= {"scaling": scaling, "is_causal": is_causal}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return output.transpose(1, 2).contiguous(), None


@contextmanager
def attending_by_products(model: Any) -> Generator[None]:  # noqa: ANN401 - not typed
    """Let a bfloat16 model on a processor attend by `read`, for as long as it lasts."""
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    config: Any = getattr(model, "config", None)
    fused = getattr(config, "_attn_implementation", None) == "sdpa"
    if not fused or model.device.type != "cpu" or model.dtype != torch.bfloat16:
        yield
        return
    AttentionInterface.register(READING, read)
    AttentionMaskInterface.register(READING, sdpa_mask)
    config._attn_implementation = READING
    try:
        yield
    finally:
        config._attn_implementation = "sdpa"
