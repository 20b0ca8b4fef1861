"""The loss of predicted tokens from the last layer's outputs, with no table of log-probabilities.

A table of (tokens, vocabulary) is the largest thing in a training step. transformers makes one
of logits, one in float32, one of log-probabilities and two of gradients, and reads each from
memory again. Here there is one: a piece of it that fits the processor's cache at a time, logits
become the gradient where they lie. Knows tensors, not what they belong to.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

#: Numbers of the table that are worked on at a time: of a processor, what its cache holds; of a
#: GPU, enough to keep it busy.
_IN_CACHE, _ON_GPU = 2**19, 2**26


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
    rounding.

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
            with torch.autocast(on, enabled=False):
                states, rows = hidden.to(of), weight.to(of)
                shift = None if bias is None else bias.to(of)
                table = torch.nn.functional.linear(states, rows, shift)
                loss = _to_gradient(table, targets, divisor)
            ctx.save_for_backward(states, rows, table)
            ctx.of_hidden, ctx.of_weight = hidden.dtype, weight.dtype
            ctx.of_bias = None if bias is None else bias.dtype
            return loss

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: ANN401
            (outer,) = gradients
            states, rows, table = ctx.saved_tensors
            with torch.autocast(table.device.type, enabled=False):
                # The narrow factors are scaled, not the wide table.
                towards = (table @ rows).to(ctx.of_hidden) * outer
                change = (table.t() @ (states * outer)).to(ctx.of_weight)
                shift = None if ctx.of_bias is None else table.sum(0, dtype=ctx.of_bias) * outer
            return towards, change, shift, None, None

    return CrossEntropy


def _to_gradient(
    table: torch.Tensor, targets: torch.Tensor, divisor: float | torch.Tensor
) -> torch.Tensor:
    """Turn logits into the gradient of the loss, in place; return the loss."""
    import torch

    at_once = _IN_CACHE if table.device.type == "cpu" else _ON_GPU
    count = max(1, at_once // table.shape[1])
    loss = torch.zeros((), dtype=torch.float32, device=table.device)
    for logits, wanted in zip(table.split(count), targets.split(count), strict=True):
        counted = (wanted >= 0).float()[:, None]
        places = wanted.clamp(min=0)[:, None]
        logarithms = logits.float().log_softmax(-1)
        loss -= (logarithms.gather(-1, places) * counted).sum()
        shares = logarithms.exp_()
        shares.scatter_add_(-1, places, -counted)
        logits.copy_(shares.mul_(counted / divisor))
    return loss / divisor
