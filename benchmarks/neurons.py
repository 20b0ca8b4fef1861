"""Neurons: speed of the vectorised regression, and how often each method errs.

Run: python benchmarks/neurons.py [--null | --memory ARTICLES]. The baseline is one statsmodels fit
per neuron, of all the same neurons, in the same process; ours is the best of five. --memory
summarises a model of GPT-2's size (random weights) over so many made-up articles of 512 tokens, and
prints the process's peak memory after each of 1/8, 1/2 and all of them.
"""

from __future__ import annotations

import resource
import sys
import time

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
    start = time.perf_counter()
    for row in x:
        sm.OLS(y, sm.add_constant(row)).fit(cov_type="HAC", cov_kwds={"maxlags": 1}).pvalues  # noqa: B018
    plain = time.perf_counter() - start
    times = []
    for _ in range(5):
        start = time.perf_counter()
        hac_regression(x, y)
        times.append(time.perf_counter() - start)
    table = Table("9,216 neurons x 66 versions", "seconds", "ratio")
    table.add_row("statsmodels, one fit per neuron", f"{plain:.2f}", "1")
    table.add_row("hac_regression", f"{min(times):.4f}", f"{plain / min(times):,.0f}")
    console.print(table)
    million = random.normal(size=(1_000_000, VERSIONS))
    start = time.perf_counter()
    hac_regression(million, y)
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(f"1,000,000 x 66: {took:.1f} s, peak memory of the process {peak:.1f} GiB")


def errors(console: Console) -> None:
    """Rate of p < 0.05 for neurons that have nothing to do with the metric, by method."""
    cases = {
        "noise": {"persistence": 0.0},
        "AR(1), 0.9": {"persistence": 0.9},
        "random walks": {"persistence": 1.0},
    }
    table = Table("method", *cases)
    rates = {name: false_positive_rates(**case) for name, case in cases.items()}
    for method in METHODS:
        table.add_row(method, *(f"{100 * rates[name][method][0]:.1f} %" for name in cases))
    console.print("False positives at 5 %, 6 chains of 11 versions:")
    console.print(table)


def memory(console: Console, articles: int) -> None:
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
    bodies = [" ".join(random.choice(words, 400)) for _ in range(articles)]
    table = Table("articles", "seconds", "peak memory of the process, GiB")
    for count in (articles // 8, articles // 2, articles):
        start = time.perf_counter()
        summarise_neurons(loaded, pl.DataFrame({"body": bodies[:count]}), ("mlp_out", "mlp_hidden"))
        took = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        table.add_row(f"{count:,}", f"{took:.0f}", f"{peak:.2f}")
    console.print(table)


if __name__ == "__main__":
    if "--memory" in sys.argv[1:]:
        memory(Console(), int(sys.argv[sys.argv.index("--memory") + 1]))
    else:
        (errors if "--null" in sys.argv[1:] else speed)(Console())
