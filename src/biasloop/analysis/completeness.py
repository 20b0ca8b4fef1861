"""What a config asked for that a run does not have (yet). Knows sets, not figures."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from biasloop.loop.results import Results
from biasloop.tables import CHAIN

#: One row per set and metric that the config asks for and the tables lack.
MISSING = pl.Schema({**CHAIN, "metric": pl.String})

#: A row of ``scores`` that a finished metric has; ``leaning`` has a table of its own.
_SIGN: Mapping[str, str] = {
    "quality": "quality",
    "perplexity": "perplexity",
    "diversity": "distinct_1",
}


def missing_sets(results: Results) -> pl.DataFrame:
    """List what is missing from a part-finished run.

    Returns
    -------
    pl.DataFrame
        `MISSING`, in the order of the config.
    """
    config = results.config
    scores = results.scores
    found: dict[str, set[tuple[str, int, int]]] = {
        name: _sets(scores.filter(pl.col("metric") == sign)) for name, sign in _SIGN.items()
    }
    found["leaning"] = _sets(results.leaning_scores)
    rows = [
        (regime.label, seed, generation, metric)
        for regime in config.regimes
        for seed in config.loop.seeds
        for generation in range(config.loop.generations + 1)
        for metric in config.metrics.names
        if metric in found and (regime.label, seed, generation) not in found[metric]
    ]
    return pl.DataFrame(rows, schema=MISSING, orient="row")


def _sets(frame: pl.DataFrame) -> set[tuple[str, int, int]]:
    return set(frame.select(list(CHAIN)).unique().iter_rows())
