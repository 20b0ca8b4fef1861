"""Float32 matrix products that a model is trained with, by oneDNN. Knows tensors and modules.

On x86 processors torch multiplies float32 matrices with MKL, which keeps its AVX-512 kernels for
Intel's. oneDNN, which torch carries too, does not, but torch gives its products no gradient:
docs/speed.md has what that comes to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, Any

from biasloop.device import multiplies_better_by_onednn
from biasloop.models.packing import can_pack, replaced

if TYPE_CHECKING:
    import torch


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Multiply two matrices, by oneDNN where it is the faster; without a gradient."""
    return linear(left, right.t(), None)


def linear(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Apply a linear layer as ``torch.nn.functional.linear`` does; without a gradient."""
    import torch

    if not _pays(weight):
        return torch.nn.functional.linear(states, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")


def _pays(weight: Any) -> bool:  # noqa: ANN401 - a tensor, of a module whose attributes have no types
    import torch

    return (
        weight.dtype == torch.float32
        and weight.device.type == "cpu"
        and can_pack()
        and multiplies_better_by_onednn()
    )


def trained_by_onednn(model: torch.nn.Module) -> AbstractContextManager[None]:
    """Let a model's float32 linear layers, and their gradients, be oneDNN's for a while.

    Outputs and gradients differ from torch's by rounding. Not for use under autocast, which
    chooses the type of a product itself. The model is left as it was afterwards.
    """
    return replaced(model, _trained)


def _trained(module: torch.nn.Module) -> Callable[..., Any] | None:
    import torch
    from transformers.pytorch_utils import Conv1D

    if type(module) not in {torch.nn.Linear, Conv1D} or not _pays(module.weight):
        return None
    return functools.partial(_apply, module, type(module) is Conv1D)


def _apply(module: Any, transposed: bool, states: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    # Conv1D keeps its weight as (inputs, outputs).
    weight = module.weight.t() if transposed else module.weight
    output = _function().apply(states.flatten(0, -2), weight, module.bias)
    return output.unflatten(0, states.shape[:-1])


@cache
def _function() -> Any:  # noqa: ANN401 - a class of torch's, which is imported late
    """Make the operation that autograd knows."""
    import torch

    class Linear(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any,  # noqa: ANN401
            states: torch.Tensor,
            weight: torch.Tensor,
            bias: torch.Tensor | None,
        ) -> torch.Tensor:
            ctx.save_for_backward(states, weight)
            return linear(states, weight, bias)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: ANN401
            (gradient,) = gradients
            states, weight = ctx.saved_tensors
            wanted = ctx.needs_input_grad
            towards = product(gradient, weight) if wanted[0] else None
            change = shift = None
            if wanted[1] and weight.is_contiguous():
                change = product(gradient.t(), states)
            elif wanted[1]:  # laid out as the weight is, or it would be copied
                change = product(states.t(), gradient).t()
            if wanted[2]:
                shift = gradient.sum(0)
            return towards, change, shift

    return Linear
