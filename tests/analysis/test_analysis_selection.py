"""The interval of what a verifier imports, on articles whose acceptance is planted."""

import numpy as np
import pytest

from biasloop.analysis.inference import chain_figure
from biasloop.analysis.selection import _difference


@pytest.mark.parametrize(("chains", "per_source"), [(1, 1), (1, 5), (3, 5)])
def test_the_interval_holds_the_planted_bias_of_a_choice(chains, per_source):
    runs, n, random = 200, 200, np.random.default_rng(0)
    spread = 0.6 * (per_source > 1)
    sources = np.repeat(np.arange(n // per_source), per_source)
    normal = np.random.default_rng(1).normal(0, spread, 100_000)
    share = (1 / (1 + np.exp(-0.2 - normal))).mean()
    truth = share * 0.6 / (share * 0.6 + (1 - share) * 0.4) - share
    held = 0
    for _ in range(runs):
        lean = 0.2 + random.normal(0, spread, len(set(sources)))[sources]
        hits = random.random((chains, n)) < 1 / (1 + np.exp(-lean))
        taken = random.random((chains, n)) < np.where(hits, 0.6, 0.4)
        weights = taken * random.integers(1, 3, (chains, n))
        found = chain_figure(
            np.stack([weights * hits, weights, hits], axis=1).astype(float), _difference, sources
        )
        low, high = found.interval()
        held += low <= truth <= high
    assert held / runs >= 0.92
