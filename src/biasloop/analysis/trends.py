"""Trends: whether a figure drifts over generations.

Every prompt is in every generation, so an article's values are correlated, and tests that take
them for independent are wrong by an unknown amount and in an unknown direction. Here the articles
are the units: however strongly an article's own values hang together, the tests keep their level.
What they cannot see with one seed is luck that all articles of a generation share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from biasloop.analysis.changes import with_holm
from biasloop.analysis.inference import Inference, add_variances, paired_mean, two_sided
from biasloop.analysis.outcomes import Outcomes

#: ``slope`` is per generation, with its 95 % interval (null where no article has a slope of its
#: own, as of shares of 0) and p-value (`linear_trend`); ``holm`` corrects that for the regimes
#: (and, of shares, the leanings). The cross-checks: ``kendall_tau`` and ``kendall_pvalue`` of the
#: generations' means (`mann_kendall`), ``paired_tau`` and ``paired_pvalue`` of the articles' own
#: statistics (`paired_kendall`). ``generations`` counts those that could be read.
TRENDS = pl.Schema(
    {
        "quantity": pl.String,
        "regime": pl.String,
        "slope": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "pvalue": pl.Float64,
        "holm": pl.Float64,
        "kendall_tau": pl.Float64,
        "kendall_pvalue": pl.Float64,
        "paired_tau": pl.Float64,
        "paired_pvalue": pl.Float64,
        "generations": pl.Int64,
        "articles": pl.Int64,
        "chains": pl.Int64,
    }
)


@dataclass(frozen=True)
class Kendall:
    """Mann and Kendall's test of one series.

    Attributes
    ----------
    statistic
        Pairs of generations that rise less pairs that fall.
    tau
        The statistic over its largest value for the ties there are (tau-b); 0 for a constant.
    pvalue
        Two-sided; exact for up to 33 values without ties. With 4 values it is at least 0.083,
        with 5 at least 0.017.
    """

    statistic: int
    tau: float
    pvalue: float


def trends(found: Outcomes) -> pl.DataFrame:
    """Test every quantity of every regime for a drift.

    Returns
    -------
    pl.DataFrame
        `TRENDS`, sorted; a quantity with fewer than three generations has no row.
    """
    rows: list[dict[str, object]] = []
    for quantity in found.values:
        for regime in found.regimes():
            generations = np.array(found.generations(regime))
            cube, sources = found.cube(quantity, regime), found.sources[quantity]
            readable = ~np.isnan(cube).all(axis=(0, 2))
            cube, generations = cube[:, readable], generations[readable]
            slope = linear_trend(cube, generations, sources) if len(generations) > 2 else None
            if slope is None:
                continue
            present = ~np.isnan(cube)
            means = np.where(present, cube, 0.0).sum(axis=(0, 2)) / present.sum(axis=(0, 2))
            kendall, paired = mann_kendall(means), paired_kendall(cube, sources)
            low, high = slope.interval() if slope.error > 0 else (None, None)
            rows.append(
                {
                    "quantity": quantity,
                    "regime": regime,
                    "slope": slope.value,
                    "low": low,
                    "high": high,
                    "pvalue": slope.pvalue,
                    "kendall_tau": kendall and kendall.tau,
                    "kendall_pvalue": kendall and kendall.pvalue,
                    "paired_tau": paired and paired.value,
                    "paired_pvalue": paired and paired.pvalue,
                    "generations": len(generations),
                    "articles": slope.articles,
                    "chains": slope.chains,
                }
            )
    return with_holm(pl.DataFrame(rows, schema=TRENDS), found)


def linear_trend(
    values: np.ndarray, generations: np.ndarray, clusters: np.ndarray | None = None
) -> Inference | None:
    """Fit ``value = level + slope * generation`` and test the slope, by article.

    Ordinary least squares over all rows, with errors clustered by article: the sandwich of Liang
    and Zeger (1986), times ``C / (C - 1) * (N - 1) / (N - 2)`` for C clusters and N rows, held
    against t with C - 1 degrees of freedom. It equals statsmodels'
    ``OLS(...).fit(cov_type="cluster", use_t=True)``, which takes a row per score and has no
    chains. With several chains the same is done by chain, and the two variances are added (see
    `paired_mean`).

    Parameters
    ----------
    values
        Shape (generations, articles) or (chains, generations, articles); NaN where there is none.
    generations
        Their numbers, shape (generations,).
    clusters
        Each article's source as a number, shape (articles,): errors are then clustered by source.

    Returns
    -------
    Inference or None
        The slope per generation; None where there are fewer than two articles or generations.
    """
    cube = np.asarray(values, dtype=float)
    cube = cube[None] if cube.ndim == 2 else cube
    present = ~np.isnan(cube)
    chains = int(present.any(axis=(1, 2)).sum())
    articles = int(present.any(axis=(0, 1)).sum())
    when = np.broadcast_to(np.asarray(generations, dtype=float)[None, :, None], cube.shape)
    rows = int(present.sum())
    if articles < 2 or rows < 3:
        return None
    centred = np.where(present, when - when[present].mean(), 0.0)
    square = float((centred**2).sum())
    if square <= 0:
        return None
    level = cube[present].mean()
    slope = float((centred * np.where(present, cube, 0.0)).sum() / square)
    residual = np.where(present, cube - level - slope * centred, 0.0)
    influence = centred * residual / square
    by_source = influence.sum(axis=(0, 1))
    sources = articles
    if clusters is not None:
        there = present.any(axis=(0, 1))
        _, place = np.unique(np.asarray(clusters)[there], return_inverse=True)
        by_source = np.bincount(place, by_source[there])
        sources = len(by_source)
        if sources < 2:
            return None
    parts = [_clustered(by_source, sources, rows)]
    if chains > 1:
        parts.append(_clustered(influence.sum(axis=(1, 2)), chains, rows))
    error, freedom = add_variances(parts)
    return Inference(
        slope, error, freedom, two_sided(slope, error, freedom), chains, articles, sources
    )


def _clustered(sums: np.ndarray, clusters: int, rows: int) -> tuple[float, int]:
    """Variance of a slope from each cluster's influence on it, and its degrees of freedom."""
    small = clusters / (clusters - 1) * (rows - 1) / (rows - 2)
    return float((sums**2).sum() * small), clusters - 1


def mann_kendall(series: np.ndarray) -> Kendall | None:
    """Test one series, a value per generation, for a monotone trend (Mann 1945, Kendall 1975).

    NaN is left out; None where fewer than three values are left.
    """
    from scipy import stats

    kept = np.asarray(series, dtype=float)
    kept = kept[~np.isnan(kept)]
    if len(kept) < 3:
        return None
    if np.all(kept == kept[0]):
        return Kendall(0, 0.0, 1.0)
    found = stats.kendalltau(np.arange(len(kept)), kept)
    statistic = int(kendall_sums(kept[:, None])[0])
    return Kendall(statistic, float(found.statistic), float(found.pvalue))


def paired_kendall(values: np.ndarray, clusters: np.ndarray | None = None) -> Inference | None:
    """Test for a monotone trend within articles.

    Each article's own Kendall statistic, over its number of pairs of generations, is one
    observation; their mean is held against their spread between articles (the regional Kendall
    test with its variance estimated: van Belle and Hughes 1984; Dietz and Killeen 1981).

    Parameters
    ----------
    values
        Shape (generations, articles) or (chains, generations, articles), generations in order;
        NaN where there is none: such pairs do not count.
    clusters
        Each article's source as a number, shape (articles,).

    Returns
    -------
    Inference or None
        Of the mean, between -1 (all fall) and 1 (all rise); None where fewer than two articles
        have a pair of generations.
    """
    cube = np.asarray(values, dtype=float)
    cube = cube[None] if cube.ndim == 2 else cube
    present = (~np.isnan(cube)).sum(axis=1)
    pairs = present * (present - 1) / 2
    sums = np.stack([kendall_sums(chain) for chain in cube])
    scores = np.divide(sums, pairs, out=np.full(sums.shape, np.nan), where=pairs > 0)
    return paired_mean(scores, clusters)


def kendall_sums(values: np.ndarray) -> np.ndarray:
    """Count rising less falling pairs of rows in each column, leaving out NaN."""
    total = np.zeros(values.shape[1])
    for later in range(1, len(values)):
        total += np.nansum(np.sign(values[later] - values[:later]), axis=0)
    return total
