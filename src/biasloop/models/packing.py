"""Faster linear layers for a model that is only read. Knows modules, not what they belong to.

On x86 processors torch multiplies float32 matrices with MKL, which keeps its AVX-512 kernels for
Intel's. oneDNN, which torch carries too, does not, and takes weights laid out once for its kernels:
docs/speed.md has what that comes to.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from biasloop.device import keep_freed_memory
from biasloop.models.attention import attending_by_products

if TYPE_CHECKING:
    import torch

#: A packed product of fewer weights than this is not worth its call.
_FEWEST = 4096


@cache
def can_pack() -> bool:
    """Whether torch has oneDNN's packed linear layers for this processor."""
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

    It is of the same formula, with a gradient. The model is left as it was afterwards.
    """
    return replaced(model, _fused_activation)


@contextmanager
def packed(model: torch.nn.Module) -> Generator[None]:
    """Let a model's linear layers use packed copies of their weights, for as long as it lasts.

    Only the ``forward`` of each layer is replaced, so hooks see what they always see. Weights must
    not change inside, and nothing has a gradient. The outputs differ from the unpacked ones by
    rounding. Activations are fused, see `fused_activations`, and attention is by products where
    that is faster, see `models.attention`.

    Parameters
    ----------
    model
        Left as it was afterwards. On a GPU, or where torch has no packed layers, nothing is done.
        Weights of other types than float32, and bfloat16 on a processor that oneDNN has its
        products for, are left alone.
    """
    import torch

    if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
        raise RuntimeError("packed weights have no gradient: use torch.inference_mode()")
    keep_freed_memory()
    with ExitStack() as changes:
        if can_pack():
            changes.enter_context(replaced(model, _packed_linear))
            changes.enter_context(fused_activations(model))
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
    product = torch.ops.mkldnn._linear_pointwise
    return lambda states: product(states, laid_out, bias, "none", [], "")
