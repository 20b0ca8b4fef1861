"""Do bias and quality move together over a regime's generations? Knows series, not causes.

Two drifts correlate whatever drives them, so beside the correlation of the levels stands that of
the changes from each generation to the next, which a shared drift does not make.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from biasloop.analysis.bootstrap import weighted_means
from biasloop.analysis.outcomes import Outcomes

#: Pearson correlations over a regime's generations of the leaning's share with mean quality:
#: of the ``levels`` and of the ``steps`` between generations, with 95 % intervals over articles
#: (not over generations: for these few generations as they are), by the jackknife on Fisher's z.
#: A bootstrap would not do: each resample adds noise to the means, which draws it towards 0.
CORRELATIONS = pl.Schema(
    {
        "regime": pl.String,
        "levels": pl.Float64,
        "levels_low": pl.Float64,
        "levels_high": pl.Float64,
        "steps": pl.Float64,
        "steps_low": pl.Float64,
        "steps_high": pl.Float64,
        "generations": pl.Int64,
    }
)

_FEWEST = 4


def correlations(found: Outcomes, leaning: str) -> pl.DataFrame:
    """Correlate the share of a leaning with quality over each regime's generations.

    Returns
    -------
    pl.DataFrame
        `CORRELATIONS`; a regime with fewer than four readable generations has no row.
    """
    names = (f"share:{leaning}", "quality")
    rows: list[tuple[object, ...]] = []
    width = found.values[names[0]].shape[1] if names[0] in found.values else 0
    if width > 1 and names[1] in found.values:
        weights = np.vstack([np.ones((1, width)), 1 - np.eye(width)])
        for regime in found.regimes():
            series = [_series(found, name, regime, weights) for name in names]
            whole = ~np.isnan(series[0]).any(axis=0) & ~np.isnan(series[1]).any(axis=0)
            if whole.sum() < _FEWEST:
                continue
            bias, quality = (values[:, whole] for values in series)
            levels = pearson(bias, quality)
            steps = pearson(np.diff(bias, axis=1), np.diff(quality, axis=1))
            figures = [levels[0], *_jackknife(levels), steps[0], *_jackknife(steps)]
            shown = [float(number) if np.isfinite(number) else None for number in figures]
            rows.append((regime, *shown, int(whole.sum())))
    return pl.DataFrame(rows, schema=CORRELATIONS, orient="row")


def _jackknife(correlation: np.ndarray) -> tuple[float, float]:
    """95 % interval from the correlation with every article and without each in turn."""
    from scipy import stats

    transformed = np.arctanh(np.clip(correlation, -1 + 1e-12, 1 - 1e-12))
    whole, without = transformed[0], transformed[1:]
    n = len(without)
    if n < 2 or np.isnan(transformed).any():
        return float("nan"), float("nan")
    error = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    half = stats.t.ppf(0.975, n - 1) * error
    return float(np.tanh(whole - half)), float(np.tanh(whole + half))


def _series(found: Outcomes, name: str, regime: str, weights: np.ndarray) -> np.ndarray:
    """Means of each generation over chains under every resample, shape (resamples, generations)."""
    cube = found.cube(name, regime)
    means = np.stack([weighted_means(chain, weights) for chain in cube])
    return means.mean(axis=0)


def pearson(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Correlate along the last axis; NaN where either does not vary."""
    left = left - left.mean(axis=-1, keepdims=True)
    right = right - right.mean(axis=-1, keepdims=True)
    scale = np.sqrt((left**2).sum(axis=-1) * (right**2).sum(axis=-1))
    product = (left * right).sum(axis=-1)
    return np.divide(product, scale, out=np.full_like(scale, np.nan), where=scale > 1e-12)
