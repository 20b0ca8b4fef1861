"""Is a mean difference over pairs other than zero? Knows arrays of differences, not of what.

The rows are chains (seeds), the columns articles: every prompt is in every chain, so articles and
seeds are crossed, and the variance of the mean has a part from each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Up to this many changed pairs of one chain the exact test is used; beyond, t and it agree.
_EXACT = 25


@dataclass(frozen=True)
class Inference:
    """An estimate and how sure it is.

    Attributes
    ----------
    value, error
        The estimate and its standard error.
    freedom
        Degrees of freedom of the t distribution that it is held against.
    pvalue
        Two-sided, of no difference.
    chains, articles
        What it rests on.
    """

    value: float
    error: float
    freedom: float
    pvalue: float
    chains: int
    articles: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Give the t interval at a level."""
        from scipy import stats

        half = float(stats.t.ppf(0.5 + level / 2, self.freedom)) * self.error
        return self.value - half, self.value + half


def paired_mean(differences: np.ndarray) -> Inference | None:
    """Estimate the mean of paired differences.

    The variance is that between article means plus that between chain means, each over its
    number: the crossed two-way variance without the (subtracted) interaction, so never too small
    for want of it (Owen 2007; Cameron, Gelbach and Miller 2011). Degrees of freedom after
    Satterthwaite (1946). One chain gives the paired t test.

    Parameters
    ----------
    differences
        Shape (chains, articles) or (articles,); an article that lacks a value (NaN) in any chain
        is left out.

    Returns
    -------
    Inference or None
        None where fewer than two articles are left. With one chain and differences of -1, 0 and 1
        only, of which at most 25 are not 0, the p-value is McNemar's exact one.
    """
    from scipy import stats

    values = np.atleast_2d(np.asarray(differences, dtype=float))
    values = values[:, ~np.isnan(values).any(axis=0)]
    chains, articles = values.shape
    if articles < 2 or not chains:
        return None
    mean = float(values.mean())
    parts = [(float(values.mean(axis=0).var(ddof=1)) / articles, articles - 1)]
    if chains > 1:
        parts.append((float(values.mean(axis=1).var(ddof=1)) / chains, chains - 1))
    error, freedom = add_variances(parts)
    pvalue = two_sided(mean, error, freedom)
    moved = int(np.count_nonzero(values))
    if chains == 1 and moved <= _EXACT and np.isin(values, (-1.0, 0.0, 1.0)).all():
        up = int((values > 0).sum())
        pvalue = float(stats.binomtest(up, moved).pvalue) if moved else 1.0
    return Inference(mean, error, freedom, pvalue, chains, articles)


def add_variances(parts: list[tuple[float, int]]) -> tuple[float, float]:
    """Add (variance, degrees of freedom); Satterthwaite's degrees of freedom of the sum."""
    total = sum(variance for variance, _ in parts)
    if total <= 0:
        return 0.0, float(parts[0][1])
    spread = sum(variance**2 / freedom for variance, freedom in parts)
    return float(np.sqrt(total)), float(total**2 / spread)


def two_sided(value: float, error: float, freedom: float) -> float:
    """Two-sided p-value of no difference, against t; without any error 1 or 0."""
    from scipy import stats

    if error <= 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * stats.t.sf(abs(value) / error, freedom))


def holm(pvalues: np.ndarray) -> np.ndarray:
    """Correct p-values for their number, stepping down (Holm 1979).

    Parameters
    ----------
    pvalues
        Shape (tests,); NaN is no test and stays NaN.

    Returns
    -------
    np.ndarray
        Shape (tests,), at most 1: rejecting those below 5 % errs at all in at most 5 % of
        families, whatever the dependence.
    """
    given = np.asarray(pvalues, dtype=float)
    result = np.full(given.shape, np.nan)
    real = np.flatnonzero(~np.isnan(given))
    order = real[np.argsort(given[real], kind="stable")]
    scaled = given[order] * np.arange(len(order), 0, -1)
    result[order] = np.minimum(np.maximum.accumulate(scaled), 1.0) if len(order) else scaled
    return result
