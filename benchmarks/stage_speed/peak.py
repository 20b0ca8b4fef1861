"""The fastest that this machine multiplies matrices: what every stage's speed is held against."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: Rows, inner width and columns: those of a large model's linear layers and square ones.
_SHAPES = (
    (2048, 2048, 2048),
    (256, 768, 3072),
    (256, 3072, 768),
    (2048, 768, 3072),
    (2048, 3072, 768),
    (1024, 4096, 4096),
)
#: What keeps a GPU busy.
_OF_A_GPU = ((8192, 8192, 8192),)
#: A shape is multiplied again and again for so long; the shortest time counts.
_SECONDS = 0.25


@cache
def peak(precision: str, threads: int) -> float:
    """Floating-point operations per second of the fastest matrix product found.

    Parameters
    ----------
    precision
        ``float32`` or ``bfloat16``.
    threads
        That torch is set to use: part of the key under which the figure is kept.

    Returns
    -------
    float
        2 m n k over the shortest time, the best over shapes and ways to multiply.
    """
    import torch

    from biasloop.device import choose
    from biasloop.models.fast.linear import prepacked

    del threads
    device = choose(precision)
    place = torch.device(device.name)
    best = 0.0
    for rows, inner, columns in _SHAPES + (_OF_A_GPU if device.name == "cuda" else ()):
        states = torch.randn(rows, inner, dtype=device.dtype, device=place)
        layer = torch.nn.Linear(inner, columns, device=place, dtype=device.dtype)
        with torch.inference_mode():
            best = max(best, _fastest(layer, states))
            with prepacked(layer):
                best = max(best, _fastest(layer, states))
    return best


def _fastest(layer: torch.nn.Linear, states: torch.Tensor) -> float:
    import torch

    shortest = float("inf")
    started = time.perf_counter()
    while time.perf_counter() - started < _SECONDS:
        begun = time.perf_counter()
        layer(states)
        if states.device.type == "cuda":
            torch.cuda.synchronize()
        shortest = min(shortest, time.perf_counter() - begun)
    return 2 * states.shape[0] * layer.weight.numel() / shortest
