"""The one place that asks what hardware there is. Knows devices and precisions, not models."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
        native = "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    elif torch.backends.mps.is_available():
        name, native = "mps", "float32"
    else:
        name, native = "cpu", "float32"
    return Device(name, native if precision == "auto" else precision)


def cores() -> int:
    """Count the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_deterministic(seed: int) -> None:
    """Seed every generator of torch and transformers; on a GPU, use deterministic kernels only.

    The kernels that training and generation use on a CPU are deterministic for a fixed number of
    threads.
    """
    import torch
    from transformers import set_seed

    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    set_seed(seed)
