"""Did one regime change less than another? Paired by article and seed. Judges no single regime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from biasloop.analysis.outcomes import Outcomes
from biasloop.analysis.paired import holm, paired_mean

#: ``value`` is the change from Generation 0 to ``generation`` in ``regime`` less that in
#: ``against``: of the share (0 to 1), or of quality (0 to 3); its interval is null where every
#: article changed by the same. ``holm`` corrects for every row of
#: the table. ``joint_pvalue`` tests both quantities at once (Hotelling); it is the same in both
#: rows of a pair of regimes, null with several chains.
COMPARISONS = pl.Schema(
    {
        "quantity": pl.String,
        "regime": pl.String,
        "against": pl.String,
        "generation": pl.Int64,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "pvalue": pl.Float64,
        "holm": pl.Float64,
        "joint_pvalue": pl.Float64,
        "articles": pl.Int64,
        "chains": pl.Int64,
    }
)


def compare(found: Outcomes, leaning: str, regimes: Sequence[str], against: str) -> pl.DataFrame:
    """Compare regimes with one of them, at the last generation that both can show.

    Parameters
    ----------
    found
        The outcomes.
    leaning
        The leaning whose share is compared; empty for none.
    regimes
        The regimes, in the order to show.
    against
        The regime that they are compared with, such as ``synthetic``.

    Returns
    -------
    pl.DataFrame
        `COMPARISONS`; only seeds that both regimes have count, and only articles that all four
        sets have.
    """
    names = [name for name in (f"share:{leaning}", "quality") if name in found.values]
    rows: list[tuple[object, ...]] = []
    for regime in regimes:
        if regime == against:
            continue
        seeds = [s for s in found.seeds(regime) if s in found.seeds(against)]
        kept: list[tuple[str, int, np.ndarray]] = []
        for quantity in names:
            last = _last(found, quantity, regime, against, seeds)
            if last is not None:
                moved = _moved(found, quantity, regime, seeds, last)
                kept.append((quantity, last, moved - _moved(found, quantity, against, seeds, last)))
        joint = _joint([values for _, _, values in kept])
        for quantity, last, values in kept:
            inference = paired_mean(values)
            if inference is not None:
                ends = inference.interval() if inference.error > 0 else (None, None)
                figures = (inference.value, *ends, inference.pvalue)
                counts = (inference.articles, inference.chains)
                rows.append((quantity, regime, against, last, *figures, None, joint, *counts))
    frame = pl.DataFrame(rows, schema=COMPARISONS, orient="row")
    corrected = holm(frame["pvalue"].to_numpy())
    return frame.with_columns(pl.Series("holm", corrected, dtype=pl.Float64))


def _last(
    found: Outcomes, quantity: str, regime: str, against: str, seeds: Sequence[int]
) -> int | None:
    """Find the last generation at which every chain of both regimes can be read."""
    common = set(found.generations(regime)) & set(found.generations(against)) - {0}
    for generation in sorted(common, reverse=True):
        readable = (
            not np.isnan(_moved(found, quantity, name, seeds, generation)).all(axis=1).any()
            for name in (regime, against)
        )
        if seeds and all(readable):
            return generation
    return None


def _moved(
    found: Outcomes, quantity: str, regime: str, seeds: Sequence[int], generation: int
) -> np.ndarray:
    """Change of each article since Generation 0, shape (chains, articles)."""
    width = found.values[quantity].shape[1]
    rows = [
        found.row(quantity, (regime, seed, generation)) - found.row(quantity, (regime, seed, 0))
        for seed in seeds
    ]
    return np.stack(rows) if rows else np.empty((0, width))


def _joint(pair: Sequence[np.ndarray]) -> float | None:
    """P-value of no difference in either quantity; None with several chains or one quantity."""
    if len(pair) != 2 or any(values.shape[0] != 1 for values in pair):
        return None
    return hotelling(np.stack([values[0] for values in pair], axis=1))


def hotelling(values: np.ndarray) -> float | None:
    """Test whether a vector of means is zero (Hotelling 1931).

    Parameters
    ----------
    values
        Shape (articles, quantities); rows with NaN are left out.

    Returns
    -------
    float or None
        The p-value; None where there are too few articles or a quantity does not vary.
    """
    from scipy import stats

    values = values[~np.isnan(values).any(axis=1)]
    n, size = values.shape
    if n <= size + 1:
        return None
    covariance = np.atleast_2d(np.cov(values, rowvar=False))
    if np.linalg.matrix_rank(covariance) < size:
        return None
    mean = values.mean(axis=0)
    square = n * float(mean @ np.linalg.solve(covariance, mean))
    return float(stats.f.sf(square * (n - size) / (size * (n - 1)), size, n - size))
