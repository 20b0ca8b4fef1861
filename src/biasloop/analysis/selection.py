"""Which way leans what a regime takes of its own articles? A verifier's bias is imported.

Compares, as the classifier reads them, the articles that a regime chose with all that the
generation before wrote. Knows no rule of choosing: only how often each article was taken.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from biasloop.analysis.grids import source_codes, tables_of
from biasloop.analysis.inference import chain_figure
from biasloop.loop.results import Results

#: ``generation`` wrote the articles, and ``regime`` trained the next one on those that it took.
#: ``of_all`` and ``of_taken`` are the leaning's shares, ``value`` their difference with its 95 %
#: interval, ``taken`` the share of articles that were taken at all.
SELECTIONS = pl.Schema(
    {
        "regime": pl.String,
        "generation": pl.Int64,
        "leaning": pl.String,
        "of_all": pl.Float64,
        "of_taken": pl.Float64,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "taken": pl.Float64,
        "articles": pl.Int64,
        "chains": pl.Int64,
    }
)


def selections(results: Results) -> pl.DataFrame:
    """Estimate the bias of every choice.

    An article counts as often as it was taken. The difference is a ratio of means less a mean, so
    its interval is the jackknife's over sources, with the chains' part (`inference.chain_figure`).

    Returns
    -------
    pl.DataFrame
        `SELECTIONS`, in the order of the config; empty where no regime chooses or leaning was not
        scored.
    """
    if not (results.chosen.height and results.leaning_scores.height):
        return pl.DataFrame(schema=SELECTIONS)
    tables, key = tables_of(results), ["regime", "seed", "generation"]
    scores = results.leaning_scores.sort("probability", descending=True, maintain_order=True)
    read = scores.group_by(*key, "article_id", maintain_order=True).agg(pl.first("leaning"))
    taken = results.chosen.with_columns(pl.col("generation") - 1)
    rows: list[tuple[object, ...]] = []
    for regime in (one.label for one in results.config.regimes):
        mine = taken.filter(regime=regime)
        for generation in mine["generation"].unique().sort():
            chains = mine.filter(generation=generation).partition_by("seed", maintain_order=True)
            own = read.filter(regime=regime, generation=generation)
            ids = own["article_id"].unique(maintain_order=True)
            frame = ids.to_frame()
            times, leanings = [], []
            for chain in chains:
                scored = own.filter(seed=chain["seed"][0])
                both = frame.join(scored, on="article_id", how="left", maintain_order="left")
                both = both.join(chain, on="article_id", how="left", maintain_order="left")
                times.append(both["times"].fill_null(0.0).to_numpy())
                leanings.append(both["leaning"].to_list())
            weights, codes = np.array(times), source_codes(tables, ids.to_list())
            for label in results.labels:
                hits = np.array(leanings) == label
                values = np.stack([weights * hits, weights, hits.astype(float)], axis=1)
                found = chain_figure(values, _difference, codes)
                if found is not None:
                    means = values.mean(axis=2)
                    ends = found.interval()
                    share = float((weights > 0).mean())
                    of_taken = float((means[:, 0] / means[:, 1]).mean())
                    place = (regime, generation, label, float(means[:, 2].mean()), of_taken)
                    rows.append((*place, found.value, *ends, share, found.articles, found.chains))
    return pl.DataFrame(rows, schema=SELECTIONS, orient="row")


def _difference(means: np.ndarray) -> np.ndarray:
    return means[..., 0] / means[..., 1] - means[..., 2]
