"""How long something takes. Knows nothing of what it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Work is measured twice unless the first time took longer than this (seconds), and up to five
#: times while all of them together took no longer than that.
_TWICE, _AGAIN = 16.0, 4.0
_REPEATS = 5


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what the work gives, and the shortest time that it took, in seconds.

    What else the machine does only ever adds to a time, so the shortest is nearest to the work's
    own. Baselines are timed the same way.
    """
    spent: list[float] = []
    while True:
        begun = time.perf_counter()
        result = work()
        _wait()
        spent.append(time.perf_counter() - begun)
        limit = _TWICE if len(spent) == 1 else _AGAIN
        if sum(spent) > limit or len(spent) == _REPEATS:
            return result, min(spent)


def _wait() -> None:
    """Wait for a GPU to finish what it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
