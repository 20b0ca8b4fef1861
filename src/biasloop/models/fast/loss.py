"""The loss of predicted tokens from the last layer's outputs, and its gradient, piece by piece.

A table of (tokens, vocabulary) is the largest thing in a training step. transformers makes one
of logits, one in float32, one of log-probabilities and two of gradients, and reads each from
memory again. Here a piece of one exists at a time: its logits become the gradient where they lie,
and what the layers before and the weights get of it is added up at once.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from biasloop.models.batches import rows_at_once
from biasloop.models.fast.linear import linear, product

if TYPE_CHECKING:
    import torch

#: Tokens of a piece: enough for a product to pay for adding its part to the weights' gradient.
_TOKENS = 1024


def cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    divisor: float | torch.Tensor,
) -> torch.Tensor:
    """Cross-entropy of an output layer's softmax, summed over tokens and divided.

    Under autocast the products are made in its type, the softmax and the sum in float32; the
    gradients are those of ``torch.nn.functional.cross_entropy`` on the layer's outputs, up to
    rounding. They are worked out on the way forward (as in Liger Kernel, Hsu et al. 2024,
    arXiv 2410.10989), and can be had once.

    Parameters
    ----------
    hidden
        The outputs of the last layer, of shape (tokens, width).
    weight, bias
        Of the output layer: (vocabulary, width), and (vocabulary,) or None.
    targets
        The token that each is to predict, of shape (tokens,); one below 0 is left out.
    divisor
        What the sum is divided by: the number of tokens, for a mean.

    Returns
    -------
    torch.Tensor
        A number in nats, float32.
    """
    return _function().apply(hidden, weight, bias, targets, divisor)


@cache
def _function() -> Any:  # noqa: ANN401 - a class of torch's, which is imported late
    """Make the operation that autograd knows."""
    import torch

    class CrossEntropy(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any,  # noqa: ANN401
            hidden: torch.Tensor,
            weight: torch.Tensor,
            bias: torch.Tensor | None,
            targets: torch.Tensor,
            divisor: float | torch.Tensor,
        ) -> torch.Tensor:
            on = hidden.device.type
            of = torch.get_autocast_dtype(on) if torch.is_autocast_enabled(on) else hidden.dtype
            counted = (targets >= 0).float()[:, None] / divisor
            loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
            towards = torch.empty_like(hidden)
            change = shift = None
            with torch.autocast(on, enabled=False):
                rows, added = weight.to(of), None if bias is None else bias.to(of)
                for at in range(0, len(hidden), _TOKENS):
                    piece = slice(at, at + _TOKENS)
                    states, share = hidden[piece].to(of), counted[piece]
                    table = linear(states, rows, added)
                    loss += _to_gradient(table, targets[piece]) @ share[:, 0]
                    # The narrow factors are scaled, not the wide table.
                    towards[piece] = product(table, rows) * share
                    if ctx.needs_input_grad[1]:
                        own = product(table.t(), (states * share).to(of))
                        change = _sum(change, own, weight.dtype)
                    if bias is not None and ctx.needs_input_grad[2]:
                        shift = _sum(shift, table.t() @ share[:, 0].to(of), bias.dtype)
            ctx.gradients = towards, change, shift
            return loss

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: ANN401
            (outer,) = gradients
            kept, ctx.gradients = ctx.gradients, None
            if kept is None:
                raise RuntimeError("the gradient of this loss has been taken: it is not kept")
            return *(None if g is None else g.mul_(outer) for g in kept), None, None

    return CrossEntropy


def _sum(so_far: torch.Tensor | None, part: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return part.to(dtype) if so_far is None else so_far.add_(part)


def _to_gradient(table: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Turn logits into the gradient of each token's loss, in place; return the losses."""
    import torch

    count = rows_at_once(table)
    losses = []
    for part, wanted in zip(table.split(count), targets.split(count), strict=True):
        places = wanted.clamp(min=0)[:, None]
        logits = part.float()
        shares = logits.softmax(-1)
        # The likeliest token's share is one over the sum that every share is divided by.
        losses.append(logits.amax(-1) - shares.amax(-1).log() - logits.gather(-1, places)[:, 0])
        part.copy_(shares.scatter_add_(-1, places, torch.full_like(places, -1, dtype=shares.dtype)))
    return torch.cat(losses)
