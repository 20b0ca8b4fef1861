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
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import statsmodels.api as sm
from rich.console import Console
from rich.table import Table

from biasloop import seeds
from biasloop.neurons import LEVEL
from biasloop.neurons.methods import METHODS, apply
from biasloop.neurons.regression import Floats, hac_regression

NEURONS, VERSIONS = 9_216, 66


def simulate_chains(
    series: int,
    chains: int,
    versions: int,
    persistence: float,
    random: np.random.Generator,
    shared_trend: float = 0.0,
    shared_start: bool = False,
) -> Floats:
    """Draw series of chains that have nothing to do with each other.

    Parameters
    ----------
    series, chains, versions
        How many series, chains in each, versions in each chain.
    persistence
        Of an AR(1) process: 0 is noise, 1 a random walk. Below 1 a chain starts from the
        stationary distribution.
    shared_trend
        A drift of the series, the same in all its chains: its size per version, in innovations'
        standard deviations, is drawn for each series with this standard deviation.
    shared_start
        All chains of a series start from one value, as regimes that share Generation 0 do.

    Returns
    -------
    np.ndarray
        Shape (series, chains * versions), chain by chain.
    """
    shocks = random.normal(size=(series, chains, versions))
    if shared_start:
        shocks[:, :, 0] = shocks[:, :1, 0]
    path = np.empty_like(shocks)
    path[..., 0] = shocks[..., 0] / np.sqrt(1 - persistence**2 if persistence < 1 else 1)
    for t in range(1, versions):
        path[..., t] = persistence * path[..., t - 1] + shocks[..., t]
    drift = shared_trend * random.normal(size=(series, 1, 1))
    return (path + drift * np.arange(versions)).reshape(series, -1)


def false_positive_rates(
    persistence: float,
    *,
    chains: int = 6,
    versions: int = 11,
    neurons: int = 200,
    metrics: int = 200,
    shared_trend: float = 0.0,
    shared_start: bool = False,
    metric: Floats | None = None,
    maxlags: int = 1,
    seed: int = 0,
    methods: Sequence[str] = tuple(METHODS),
    level: float = LEVEL,
) -> dict[str, tuple[float, float]]:
    """Measure how often unrelated neurons are called significant.

    Parameters
    ----------
    persistence, chains, versions, shared_trend, shared_start
        See `simulate_chains`; 6 chains of 11 are as many versions as were published.
    neurons, metrics
        Neurons per metric, and metrics that are drawn anew.
    metric
        Shape (chains, versions): a metric as it was measured, against which neurons are drawn
        ``metrics`` times. It stands in place of drawn metrics, and gives chains and versions.
    maxlags, methods, level
        Of the tests.

    Returns
    -------
    dict
        Method -> its rate, and the rate's standard error over the ``metrics`` draws.
    """
    if metric is not None:
        chains, versions = metric.shape
    random = seeds.generator(seed, "neurons", "null")
    group = np.repeat(np.arange(chains), versions)
    time = np.tile(np.arange(versions), chains)
    rates = {name: np.empty(metrics) for name in methods}
    for draw in range(metrics):
        x = simulate_chains(
            neurons, chains, versions, persistence, random, shared_trend, shared_start
        )
        y = (
            simulate_chains(1, chains, versions, persistence, random, shared_trend, shared_start)[0]
            if metric is None
            else metric.ravel()
        )
        for name in methods:
            pvalues = apply(name, x, y, group, time, maxlags, random).pvalue
            rates[name][draw] = (pvalues < level).mean()
    return {
        name: (float(rate.mean()), float(rate.std() / np.sqrt(metrics)))
        for name, rate in rates.items()
    }


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
    from biasloop.models.load import LoadedModel, train_tokenizer
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
