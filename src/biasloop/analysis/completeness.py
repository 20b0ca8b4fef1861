"""What a config asked for that a run does not have (yet). Knows sets, not figures."""

from __future__ import annotations

import polars as pl

from biasloop import quantities
from biasloop.loop.results import Results
from biasloop.tables import CHAIN

#: One row per set and metric that the config asks for and the tables lack.
MISSING = pl.Schema({**CHAIN, "metric": pl.String})


def missing_sets(results: Results) -> pl.DataFrame:
    """List what is missing from a part-finished run.

    Returns
    -------
    pl.DataFrame
        `MISSING`, in the order of the config.
    """
    config = results.config
    found = {"leaning": _sets(results.leaning_scores)}
    for name, record in quantities.QUANTITIES.items():  # the first quantity of a metric tells
        if record.metric and record.metric not in found:
            frames = (results.scores, results.set_scores)
            found[record.metric] = set().union(*(_sets(f.filter(metric=name)) for f in frames))
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
