"""A batch as one row of tokens without padding, and the attention that keeps samples apart.

Every layer but attention works token by token, so it may as well read the samples joined end to
end. Attention puts them side by side again, one sample a row: what pads a row comes after its
last token, where causal attention does not look, so no mask is needed. Loss and gradients are
those of the same samples padded.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from biasloop.models.batches import few_lengths
from biasloop.models.fast import enabled
from biasloop.models.fast.attention import as_products, products_are_faster
from biasloop.models.fast.linear import fused_activations
from biasloop.models.fast.loss import cross_entropy

if TYPE_CHECKING:
    import torch

#: The label of a position that has no loss. The first token of a sample is one: nothing predicts
#: it, and the Trainer, which divides by the number of labels, would count it for some models.
NO_LOSS = -100

#: The name under which transformers knows the attention below.
ATTENTION = "biasloop_packed"

#: Architectures whose attention is plain causal attention over all earlier tokens, and passes on
#: what it is given: each is tested against the padded batch.
ARCHITECTURES = frozenset({"gpt2", "gpt_neox", "llama", "qwen2", "qwen3"})


def can_pack(model: Any) -> bool:  # noqa: ANN401 - a transformers model
    """Whether a model's batches may be packed: a known architecture, attending to all.

    Its output layer has to be a plain one, without an adapter: the loss reads its weights.
    """
    import torch

    config = model.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        enabled()
        and config.model_type in ARCHITECTURES
        and kinds == {"full_attention"}
        and getattr(config, "_attn_implementation", None) == "sdpa"
        and type(model.get_output_embeddings()) is torch.nn.Linear
    )


@contextlib.contextmanager
def packed(model: Any) -> Generator[None]:  # noqa: ANN401
    """Let a model read packed batches for a while; see `can_pack`."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, attend)
    before = model.config._attn_implementation
    model.set_attn_implementation(ATTENTION)
    model.forward = functools.partial(_loss, model)
    try:
        with fused_activations(model):
            yield
    finally:
        del model.forward
        # Else the next Trainer takes the model for wrapped, and leaves it in float32.
        vars(model).pop("_is_accelerate_prepared", None)
        model.set_attn_implementation(before)


def _loss(
    model: Any,  # noqa: ANN401
    labels: torch.Tensor,
    num_items_in_batch: float | torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    **inputs: Any,  # noqa: ANN401
) -> dict[str, torch.Tensor]:
    """Read a batch as the model's own ``forward`` would, for its loss only."""
    import torch

    del attention_mask  # attention goes by ``places``
    hidden = model.base_model(**inputs, use_cache=False).last_hidden_state
    targets = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=NO_LOSS)
    head = model.get_output_embeddings()
    loss = cross_entropy(
        hidden.flatten(0, 1), head.weight, head.bias, targets.flatten(), num_items_in_batch
    )
    return {"loss": loss}


def pack(
    samples: Sequence[Sequence[int]], unlearned: Sequence[int] | None = None
) -> dict[str, Any]:
    """Join a batch's samples as one row, without padding.

    Parameters
    ----------
    samples
        Token ids of each sample.
    unlearned
        How many of a sample's first tokens have no loss; None: one, which nothing predicts.

    Returns
    -------
    dict
        ``input_ids``, ``position_ids`` (from 0 in each sample) and ``labels`` (none for a
        sample's unlearned tokens), each of shape (1, tokens); the samples'
        tokens are followed by a few without a label, up to a length of `few_lengths`, which
        ``attention_mask`` leaves out for those who count.
        ``places``, of shape (samples' tokens,), is where each token lies in the table of samples
        that attention makes, and ``table`` that table's shape (samples, longest). Samples of one
        length need no joining: they are returned as rows, with ``input_ids`` and ``labels`` only.
    """
    import torch

    lengths = torch.as_tensor([len(sample) for sample in samples])
    longest = int(lengths.max())
    first = torch.as_tensor(unlearned or [1] * len(samples))
    if bool((lengths == longest).all()):
        input_ids = torch.as_tensor([list(sample) for sample in samples])
        labels = input_ids.masked_fill(torch.arange(longest) < first[:, None], NO_LOSS)
        return {"input_ids": input_ids, "labels": labels}
    input_ids = torch.cat([torch.as_tensor(sample, dtype=torch.long) for sample in samples])
    starts = lengths.cumsum(0) - lengths
    rows = torch.repeat_interleave(torch.arange(len(samples)), lengths)
    columns = torch.arange(len(input_ids)) - starts[rows]
    labels = input_ids.masked_fill(columns < first[rows], NO_LOSS)
    longest = few_lengths(longest)
    more = (0, few_lengths(len(input_ids)) - len(input_ids))
    pad = torch.nn.functional.pad
    return {
        "input_ids": pad(input_ids, more)[None],
        "position_ids": pad(columns, more)[None],
        "labels": pad(labels, more, value=NO_LOSS)[None],
        "attention_mask": pad(torch.ones_like(input_ids), more)[None],
        "places": rows * longest + columns,
        "table": (len(samples), longest),
    }


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    places: torch.Tensor | None = None,
    table: tuple[int, int] | None = None,
    **_: Any,  # noqa: ANN401
) -> tuple[torch.Tensor, None]:
    """Causal attention of each sample to itself: an attention function of transformers.

    Parameters
    ----------
    query, key, value
        Of shape (1, heads, tokens, width), or (samples, heads, length, width) where every sample
        has the same length.
    places, table
        As from `pack`; None where every sample has the same length.

    Returns
    -------
    tuple
        The outputs, of shape (1, tokens, heads, width) or (samples, length, heads, width), and
        no weights.
    """
    from torch.nn.functional import pad, scaled_dot_product_attention

    del attention_mask
    tokens = query.shape[2]
    if places is not None and table is not None:

        def side_by_side(joined: torch.Tensor) -> torch.Tensor:
            rows = joined[0].transpose(0, 1)[: len(places)]
            empty = rows.new_zeros(table[0] * table[1], *rows.shape[1:])
            return empty.index_copy(0, places, rows).unflatten(0, table).transpose(1, 2)

        query, key, value = side_by_side(query), side_by_side(key), side_by_side(value)
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    if products_are_faster(query, key):
        out = as_products(query, key, value, scale, causal=True, dropout=dropout)
    else:
        out = scaled_dot_product_attention(
            query,
            key,
            value,
            dropout_p=dropout,
            scale=scale,
            is_causal=True,
            enable_gqa=query.shape[1] != key.shape[1],
        )
    out = out.transpose(1, 2)
    if places is not None:
        out = out.flatten(0, 1).index_select(0, places)
        out = pad(out, (0, 0, 0, 0, 0, tokens - len(places)))[None]
    return out.contiguous(), None
