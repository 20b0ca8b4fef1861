"""How long something takes. Knows nothing of what it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import TypeVar

T = TypeVar("T")

#: Measuring is repeated up to this often, and not begun again after so many seconds.
_REPEATS = 5
_SECONDS = 3.0


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what the work gives, and the median of the seconds that it takes.

    A short piece of work is done once before, unmeasured, and then up to five times.
    """
    spent: list[float] = []
    while True:
        begun = time.perf_counter()
        result = work()
        _wait()
        spent.append(time.perf_counter() - begun)
        if sum(spent) > _SECONDS or len(spent) > _REPEATS:
            return result, median(spent[1:] or spent)


def _wait() -> None:
    """Wait for a GPU to finish what it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
