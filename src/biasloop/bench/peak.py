"""The fastest that this machine multiplies matrices: what every stage's speed is held against."""

from __future__ import annotations

import time
from functools import cache

#: Rows, inner width and columns: those of a large model's linear layers and square ones.
_SHAPES = ((2048, 2048, 2048), (4096, 768, 3072), (4096, 3072, 768), (1024, 4096, 4096))
_REPEATS = 5


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

    del threads
    device = choose(precision)
    place = torch.device(device.name)
    best = 0.0
    for rows, inner, columns in _SHAPES:
        left = torch.randn(rows, inner, dtype=device.dtype, device=place)
        right = torch.randn(columns, inner, dtype=device.dtype, device=place)
        for _ in range(_REPEATS):
            begun = time.perf_counter()
            torch.nn.functional.linear(left, right)
            if place.type == "cuda":
                torch.cuda.synchronize()
            took = time.perf_counter() - begun
            best = max(best, 2 * rows * inner * columns / took)
    return best
