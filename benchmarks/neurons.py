"""Neurons: speed of the vectorised regression, errors of each method, memory of the summaries.

Run: python benchmarks/neurons.py [--null | --published DIR | --memory ARTICLES [--tokens N]]

Without an option, the speed: the baseline is one statsmodels fit per neuron, of all the same
neurons, in the same process, five times in turn with the median of twenty of ours.
--null counts how often each method finds neurons that have nothing to do with the metric.
--published does so for the released bias and quality series of arXiv 2410.15234 in DIR.
--memory summarises a model of GPT-2's size (random weights) over 1/12, 1/4 and all of so many
made-up articles, cut at --tokens (24) so that it takes minutes, and prints the process's peak
memory after each; then over 16 of 512 tokens, as memory goes with a batch's tokens.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import statsmodels.api as sm
from rich.console import Console
from rich.table import Table

from biasloop.neurons import METHODS, hac_regression
from biasloop.neurons.null import false_positive_rates

NEURONS, VERSIONS = 9_216, 66


def speed(console: Console) -> None:
    """Time 9,216 neurons against statsmodels, and a million alone."""
    random = np.random.default_rng(0)
    x = random.normal(size=(NEURONS, VERSIONS)).cumsum(axis=1)
    y = random.normal(size=VERSIONS).cumsum()
    console.print("9,216 neurons x 66 versions:")
    table = Table("statsmodels, s", "hac_regression, s", "ratio")
    ratios = []
    hac_regression(x, y)
    for _ in range(5):
        start = time.perf_counter()
        theirs = [_plain(row, y) for row in x]
        plain = time.perf_counter() - start
        times = []
        for _ in range(20):
            start = time.perf_counter()
            ours = hac_regression(x, y)
            times.append(time.perf_counter() - start)
        took = float(np.median(times))
        ratios.append(plain / took)
        table.add_row(f"{plain:.2f}", f"{took:.4f}", f"{plain / took:,.0f}")
    console.print(table)
    console.print(f"median ratio: {np.median(ratios):,.0f}")
    pairs = zip((ours.coef, ours.stderr, ours.pvalue), np.transpose(theirs), strict=True)
    apart = max(float(np.max(np.abs(mine / other - 1))) for mine, other in pairs)
    console.print(f"largest relative difference of slope, error and p-value: {apart:.1e}")
    million = random.normal(size=(1_000_000, VERSIONS))
    start = time.perf_counter()
    hac_regression(million, y)
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(f"1,000,000 x 66: {took:.1f} s, peak memory of the process {peak:.1f} GiB")


def _plain(row: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    fitted = sm.OLS(y, sm.add_constant(row)).fit(cov_type="HAC", cov_kwds={"maxlags": 1})
    return fitted.params[1], fitted.bse[1], fitted.pvalues[1]


#: What unrelated neurons are made to do over the versions of a chain.
CASES = {
    "noise": {"persistence": 0.0},
    "AR(1), 0.9": {"persistence": 0.9},
    "random walks": {"persistence": 1.0},
    "random walks, one Generation 0": {"persistence": 1.0, "shared_start": True},
}


def errors(console: Console) -> None:
    """Rate of p < 0.05 for neurons that have nothing to do with the metric, by method."""
    console.print("False positives at 5 %, 6 chains of 11 versions:")
    _print_rates(console, {name: false_positive_rates(**case) for name, case in CASES.items()})


def published(console: Console, folder: Path) -> None:
    """The same rates against the series that were released: made-up neurons, real metrics."""
    from biasloop.published import read_published, reproduce, series

    found = series(reproduce(read_published(folder)))
    real = {
        "share right": np.array([own["right"] for own in found["shares"].values()]),
        "quality": np.array(list(found["quality"].values())),
    }
    for metric, values in real.items():
        chains, versions = values.shape
        console.print(f"{metric}, {chains} chains of {versions} versions:")
        _print_rates(
            console,
            {
                name: false_positive_rates(**case, metric=values, metrics=50)
                for name, case in CASES.items()
            },
        )


def _print_rates(console: Console, rates: dict[str, dict[str, tuple[float, float]]]) -> None:
    table = Table("method", *rates)
    for method in METHODS:
        cells = [
            f"{100 * own[method][0]:.1f} ± {100 * own[method][1]:.1f}" for own in rates.values()
        ]
        table.add_row(method, *cells)
    console.print(table)


def memory(console: Console, articles: int, tokens: int) -> None:
    """Peak memory of summarising 12 x 768 and 12 x 3072 neurons, by number of articles."""
    import polars as pl
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from biasloop.device import Device
    from biasloop.models import LoadedModel, train_tokenizer
    from biasloop.stages.neurons import summarise_neurons

    words = [f"word{i}" for i in range(500)]
    tokenizer = train_tokenizer([" ".join(words)], 1000)
    model = GPT2LMHeadModel(GPT2Config()).eval()
    loaded = LoadedModel(model, tokenizer, Device("cpu", torch.float32))
    random = np.random.default_rng(0)
    bodies = pl.DataFrame({"body": [" ".join(random.choice(words, 400)) for _ in range(articles)]})
    cases = [(articles // 12, tokens), (articles // 4, tokens), (articles, tokens), (16, 512)]
    for count, most in cases:
        start = time.perf_counter()
        summarise_neurons(loaded, bodies[:count], ("mlp_out", "mlp_hidden"), max_tokens=most)
        took = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        console.print(
            f"{count:,} articles of {most} tokens: {took:.0f} s, peak memory of the process "
            f"until then {peak:.3f} GiB"
        )


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--null", action="store_true")
    parser.add_argument("--published", type=Path, metavar="DIR")
    parser.add_argument("--memory", type=int, metavar="ARTICLES")
    parser.add_argument("--tokens", type=int, default=24)
    asked = parser.parse_args()
    console = Console()
    if asked.memory:
        memory(console, asked.memory, asked.tokens)
    elif asked.published:
        published(console, asked.published)
    elif asked.null:
        errors(console)
    else:
        speed(console)


if __name__ == "__main__":
    main()
