"""Linear layers by oneDNN: of a model that is only read, and of one that is trained.

On x86 processors torch multiplies float32 matrices with MKL, which keeps its AVX-512 kernels for
Intel's. oneDNN, which torch carries too, does not, and takes weights laid out once for its kernels;
torch gives its products no gradient. docs/speed.md has what that comes to.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from biasloop.device import keep_freed_memory, multiplies_better_by_onednn
from biasloop.models.fast import enabled
from biasloop.models.fast.attention import attending_by_products

if TYPE_CHECKING:
    import torch

#: A packed product of fewer weights than this is not worth its call.
_FEWEST = 4096


@cache
def has_onednn() -> bool:
    """Whether torch has oneDNN's linear layers for this processor."""
    import torch

    return (
        platform.machine() in {"x86_64", "AMD64"}
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _packs_bfloat16() -> bool:
    import torch

    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


@contextmanager
def replaced(
    model: torch.nn.Module,
    replacement: Callable[[torch.nn.Module], Callable[..., Any] | None],
) -> Generator[None]:
    """Give modules another ``forward`` for a while; None leaves one as it is."""
    changed = []
    try:
        for module in model.modules():
            forward = replacement(module)
            # An instance's own forward is somebody else's doing; leave it.
            if forward is not None and "forward" not in vars(module):
                module.forward = forward
                changed.append(module)
        yield
    finally:
        for module in changed:
            del module.forward


def fused_activations(model: torch.nn.Module) -> AbstractContextManager[None]:
    """Let GPT-2's activation, which transformers writes as eight operations, be torch's one.

    It is of the same formula, with a gradient.
    """
    return replaced(model, _fused_activation)


@contextmanager
def prepacked(model: torch.nn.Module) -> Generator[None]:
    """Let a model that is only read use packed copies of its weights, for as long as it lasts.

    Only the ``forward`` of each linear layer is replaced, so hooks see what they always see.
    Weights must not change inside, and nothing has a gradient. Outputs differ by rounding.
    Activations are fused, and attention is by products where that is faster. Weights that oneDNN
    has no products for are left alone, as is everything on a GPU.
    """
    import torch

    if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
        raise RuntimeError("packed weights have no gradient: use torch.inference_mode()")
    keep_freed_memory()
    with ExitStack() as changes:
        if enabled() and has_onednn():
            changes.enter_context(replaced(model, _packed_linear))
            changes.enter_context(fused_activations(model))
        if enabled():
            changes.enter_context(attending_by_products(model))
        yield


def _fused_activation(module: torch.nn.Module) -> Callable[..., Any] | None:
    from torch.nn import functional
    from transformers.activations import NewGELUActivation

    if type(module) is not NewGELUActivation:
        return None
    return functools.partial(functional.gelu, approximate="tanh")


def _packed_linear(module: torch.nn.Module) -> Callable[..., Any] | None:
    import torch
    from transformers.pytorch_utils import Conv1D

    if type(module) is torch.nn.Linear:
        weight = module.weight
    elif type(module) is Conv1D:  # keeps its weight as (inputs, outputs)
        weight = module.weight.t().contiguous()
    else:
        return None
    types = {torch.float32, torch.bfloat16} if _packs_bfloat16() else {torch.float32}
    if weight.device.type != "cpu" or weight.dtype not in types or weight.numel() < _FEWEST:
        return None
    laid_out = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
    bias = None if module.bias is None else module.bias.detach()
    multiply = torch.ops.mkldnn._linear_pointwise
    return lambda states: multiply(states, laid_out, bias, "none", [], "")


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
        and enabled()
        and has_onednn()
        and multiplies_better_by_onednn()
    )


def trained_by_onednn(model: torch.nn.Module) -> AbstractContextManager[None]:
    """Let a model's float32 linear layers, and their gradients, be oneDNN's for a while.

    Outputs and gradients differ from torch's by rounding. Not for use under autocast, which
    chooses the type of a product itself.
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
