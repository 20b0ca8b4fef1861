"""How often each method finds something where there is nothing. Knows no model and no run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biasloop import seeds
from biasloop.neurons.corrections import LEVEL
from biasloop.neurons.design import Floats
from biasloop.neurons.methods import METHODS, apply


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
