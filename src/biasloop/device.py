"""The one place that asks what hardware there is. Knows devices and precisions, not models."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Device:
    """Where tensors live and in which precision models train and generate.

    Attributes
    ----------
    name
        ``"cuda"``, ``"mps"`` or ``"cpu"``.
    precision
        ``"float32"`` or ``"bfloat16"``.
    """

    name: str
    precision: str

    @property
    def dtype(self) -> torch.dtype:
        """The torch dtype of `precision`."""
        import torch

        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[self.precision]


def choose(precision: str = "auto") -> Device:
    """Choose the device, and the precision where it is ``auto``.

    ``auto`` is bfloat16 on a GPU that has it and float32 elsewhere, also on a CPU with bfloat16
    instructions: it is faster there, but other tokens are written (docs/speed.md has how many), so
    it is for the user to choose.
    """
    import torch

    if torch.cuda.is_available():
        name = "cuda"
        # Read once, at the first product: later it is too late for `make_deterministic`.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        native = "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    elif torch.backends.mps.is_available():
        name, native = "mps", "float32"
    else:
        name, native = "cpu", "float32"
    return Device(name, native if precision == "auto" else precision)


def choose_for_training(precision: str = "auto") -> Device:
    """Choose as `choose` does; ``auto`` is bfloat16 on a processor that multiplies in it, too.

    Weights and sums stay in float32 there: only the factors of matrix products are rounded.
    """
    device = choose(precision)
    if precision == "auto" and device.name == "cpu" and multiplies_bfloat16("cpu"):
        return Device("cpu", "bfloat16")
    return device


def multiplies_bfloat16(device: str) -> bool:
    """Whether a device, by its torch name, has instructions for it: else it is slow there."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    found = _capabilities() if device == "cpu" else {}
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def multiplies_better_by_onednn() -> bool:
    """Whether float32 matrices are trained faster by oneDNN than by torch's own products.

    Those are MKL's, which keeps its AVX-512 kernels for Intel's processors. With AVX2 it is the
    faster one on any: docs/speed.md.
    """
    found = _capabilities()
    return bool(found.get("avx512_f")) and "intel" not in str(found.get("cpu_name", "")).lower()


def _capabilities() -> dict[str, Any]:
    """List what instructions the processor has; none, where torch is too old to say."""
    import torch

    return getattr(torch.cpu, "get_capabilities", dict)()


#: Kernels that oneDNN keeps, and torch beside it. One is compiled for every shape of every
#: operation, half a MB in these two together, and batches have many: reading 8,000 articles filled
#: both to their 1,024. With 256 it is as fast; with 128, a few per cent slower.
_KERNELS = "256"
_KERNELS_KEPT_BY = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


def _of_glibc(name: str) -> Any:  # noqa: ANN401 - a C function
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def keep_freed_memory() -> None:
    """Let the C library keep large blocks of memory that are freed, and hand them out again.

    By default it returns them to the system, which clears them page by page at the next
    allocation: a fifth of the time of a training step on a processor. And what little is cut off
    to align a tensor is joined again with the block beside it when that is freed, not set aside
    for small requests: else no block fits where one of its size has been, and memory grows.
    Does nothing where the C library is not glibc. What would only grow is kept small: compiled
    kernels, unless ``ONEDNN_PRIMITIVE_CACHE_CAPACITY`` (oneDNN's) or ``LRU_CACHE_CAPACITY``
    (torch's) says otherwise, or the first has been compiled.
    """
    for name in _KERNELS_KEPT_BY:
        os.environ.setdefault(name, _KERNELS)
    mallopt = _of_glibc("mallopt")
    if mallopt:
        trim_threshold, mmap_threshold, set_aside = -1, -3, 1
        mallopt(mmap_threshold, 2**30)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(set_aside, 0)


def return_freed_memory() -> None:
    """Give the system back the memory that the C library keeps, see `keep_freed_memory`.

    Between two kinds of work: what one has freed lies where the other, which may have an allocator
    of its own (Python's, polars'), cannot always take it from. Does nothing without glibc.
    """
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim:
        malloc_trim(0)


def cores() -> int:
    """Count the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


#: Steps of 1 in which `running_sums` adds up on a GPU; whole numbers of float64.
_STEPS = 2**52


def running_sums(shares: torch.Tensor) -> torch.Tensor:
    """Add up along the last axis what is between 0 and 1, and adds up to about 1 there.

    On a GPU torch has no deterministic sum of this kind for fractions, and refuses one once
    `make_deterministic` has been called; whole numbers it adds up in any order to the same.

    Parameters
    ----------
    shares
        Of any shape, float32 or float64.

    Returns
    -------
    torch.Tensor
        Of the same shape and type.
    """
    return _in_steps(shares) if shares.device.type == "cuda" else shares.cumsum(-1)


def _in_steps(shares: torch.Tensor) -> torch.Tensor:
    whole = (shares.double() * _STEPS).round().long()
    return (whole.cumsum(-1).double() / _STEPS).to(shares.dtype)


def make_deterministic(seed: int) -> None:
    """Seed every generator of torch and transformers; on a GPU, use deterministic kernels only.

    The kernels that training and generation use on a CPU are deterministic for a fixed number of
    threads.
    """
    import torch
    from transformers import set_seed

    if torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)
    set_seed(seed)
