"""Speed of the theory against the authors' way of fitting; run: python benchmarks/theory.py.

The baseline minimises -sum(w * log(beta.pdf(x))) with scipy.optimize, as the paper's simulation
does. Both run the same chain (11 generations x 10,000 samples) in the same process; each figure is
the best of several runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize
from scipy.stats import beta

from biasloop.device import cores
from biasloop.theory import run, settings

GENERATIONS, SAMPLES = 11, 10_000


def plain_chain(seed: int) -> np.ndarray:
    """WMLE over generations, written plainly."""
    rng = np.random.default_rng(seed)
    x, previous, path = rng.beta(2, 2, SAMPLES), (3.0, 2.0), []
    for _ in range(GENERATIONS):
        w = beta.pdf(x, *previous)
        result = minimize(
            lambda p, x=x, w=w: -np.sum(w * np.log(beta.pdf(x, p[0], p[1]))),
            x0=previous,
            bounds=[(1e-3, None), (1e-3, None)],
        )
        previous = tuple(result.x)
        path.append(previous)
        x = rng.beta(*previous, SAMPLES)
    return np.array(path)


def seconds(function: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    table = Table("figure", "biasloop", "baseline", "ratio", "asked")
    ours = seconds(lambda: run(settings()), 20)
    plain = seconds(lambda: plain_chain(0), 2)
    table.add_row(
        "one chain, 11 x 10,000 (s)", f"{ours:.4f}", f"{plain:.3f}", f"{plain / ours:.0f}", ">= 30"
    )
    thousand = seconds(lambda: run(settings(replicates=1000)), 1)
    table.add_row(
        f"1,000 replicates on {cores()} cores (s)",
        f"{thousand:.2f}",
        f"{plain * 1000:.0f} (one chain x 1,000)",
        f"{plain * 1000 / thousand:.0f}",
        "< 20 s",
    )
    previous = None
    for samples in (10_000, 100_000, 1_000_000):
        cost = seconds(lambda n=samples: run(settings(samples=n)), 5) / samples / GENERATIONS * 1e9
        table.add_row(
            f"ns per sample and generation, {samples:,} samples",
            f"{cost:.1f}",
            "" if previous is None else f"{previous:.1f} (a tenth of the samples)",
            "" if previous is None else f"{cost / previous:.2f}",
            "near 1",
        )
        previous = cost
    previous = None
    for replicates in (50, 200, 800):
        cost = seconds(lambda r=replicates: run(settings(replicates=r)), 2) / replicates * 1e3
        table.add_row(
            f"ms per replicate, {replicates} replicates",
            f"{cost:.2f}",
            "" if previous is None else f"{previous:.2f} (a quarter of them)",
            "" if previous is None else f"{cost / previous:.2f}",
            "near 1",
        )
        previous = cost
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
