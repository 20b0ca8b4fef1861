"""Regress one series on each of very many neurons, with standard errors that allow for time.

Knows arrays; not what a version, a neuron or a metric is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from biasloop.errors import InputError, nearest
from biasloop.neurons.covariance import COVARIANCES
from biasloop.neurons.design import Floats, Layout, lay_out

#: Neurons are taken so many at a time that one working array has this many numbers (512 KiB): it
#: stays in the processor's cache, which was three times as fast as 4 MiB.
_CHUNK = 2**16


@dataclass(frozen=True)
class Regression:
    """One regression per neuron; every array has shape (neurons,).

    Attributes
    ----------
    coef
        Slope of y on x, in units of y per unit of x.
    stderr, pvalue
        Its standard error, and the two-sided p-value of a slope of 0.
    pearson
        Correlation of what was regressed: within chains under fixed effects, of the changes
        under differences.
    observations
        How many observations each regression has.
    """

    coef: Floats
    stderr: Floats
    pvalue: Floats
    pearson: Floats
    observations: int


def hac_regression(
    x: np.ndarray,
    y: np.ndarray,
    maxlags: int = 1,
    groups: Sequence[object] | np.ndarray | None = None,
    *,
    time: Sequence[float] | np.ndarray | None = None,
    covariance: str = "hac",
    fixed_effects: bool = False,
    differences: bool = False,
    small_sample: bool = False,
    distribution: str = "normal",
) -> Regression:
    """Regress y on a constant and x, once per neuron, with a sandwich standard error.

    By default this is the published test (arXiv 2410.15234, section 4.5): ordinary least squares
    in levels, Newey-West with a Bartlett kernel and lag 1, p-values from the normal; equal to
    statsmodels' ``OLS(y, add_constant(x)).fit(cov_type="HAC", cov_kwds={"maxlags": maxlags})``.

    Parameters
    ----------
    x
        Shape (neurons, versions).
    y
        Shape (versions,).
    maxlags
        Lags of the Bartlett kernel; 0 is White's. ``cluster`` does not use it.
    groups
        The chain of each version. Lags then stay within chains. None makes one series of all, in
        the order given, so that a lag crosses from each chain into the next.
    time
        The generation of each version; None takes the order given.
    covariance
        ``hac`` (within chains where ``groups`` says which: ``cov_nw_panel``), ``hac-groupsum``
        (``cov_nw_groupsum``) or ``cluster`` (``cov_cluster``).
    fixed_effects
        Give every chain a constant of its own.
    differences
        Regress changes on changes, within chains.
    small_sample
        Multiply variances by n / (n - k), as statsmodels' ``use_correction="hac"``; for clusters
        by G / (G - 1) * (n - 1) / (n - k).
    distribution
        ``normal``, or ``t`` with n - k degrees of freedom (for clusters G - 1).

    Returns
    -------
    Regression
        A neuron that does not vary has no regression: NaN throughout. A y that does not vary has
        slope 0 and neither p-value nor correlation.

    Raises
    ------
    InputError
        If shapes do not match, there are too few versions, a number is not finite, or an option
        is unknown.
    """
    x, y = np.asarray(x), np.asarray(y, dtype=float)
    if x.ndim != 2 or y.ndim != 1 or x.shape[1] != len(y):
        raise InputError(
            f"x must be (neurons, versions) and y (versions,), not {x.shape} and {y.shape}"
        )
    if covariance not in COVARIANCES:
        raise InputError(f"unknown covariance '{covariance}'; {nearest(covariance, COVARIANCES)}")
    if distribution not in ("normal", "t"):
        raise InputError(f"unknown distribution '{distribution}'; known: normal, t")
    if maxlags < 0:
        raise InputError(f"maxlags is {maxlags}; it cannot be negative")
    if groups is None and (covariance != "hac" or fixed_effects):
        what = "fixed effects" if covariance == "hac" else f"covariance '{covariance}'"
        raise InputError(f"{what} needs groups: the chain of each version")
    if not np.isfinite(y).all():
        raise InputError(f"y: version {int(np.argmin(np.isfinite(y)))} is not a number")
    layout = lay_out(len(y), groups, time, differences, fixed_effects)
    if covariance == "cluster" and len(layout.spans) < 2:
        raise InputError("covariance 'cluster' needs at least two chains")
    target = layout.take(y)
    if not np.isfinite(layout.center(target)):
        raise InputError(f"y: reaches {np.abs(y).max():.0e}, which is too large to use")
    coef, stderr, pearson = (np.empty(len(x)) for _ in range(3))
    step = max(1, _CHUNK // max(1, len(y)))
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        coef[part], stderr[part], pearson[part] = _fit(
            x[part], target, layout, covariance, maxlags, start
        )
    scale, freedom = _small_sample(layout, covariance)
    if small_sample:
        stderr *= np.sqrt(scale)
    pvalue = _pvalues(coef, stderr, freedom if distribution == "t" else None)
    return Regression(coef, stderr, pvalue, pearson, layout.size)


def _fit(
    x: np.ndarray, target: Floats, layout: Layout, covariance: str, maxlags: int, first: int
) -> tuple[Floats, Floats, Floats]:
    # Versions first: sums over few versions of many neurons are then over whole rows.
    centred = layout.take(x.T)
    squares = layout.center(centred)
    if not np.isfinite(squares).all():
        row = first + int(np.argmin(np.isfinite(squares)))
        raise InputError(f"x: neuron {row} has a value that is not a number, or too large to use")
    squares = np.where(squares > 0, squares, np.nan)
    coef = target @ centred / squares
    # By Frisch, Waugh and Lovell the slope is a regression on x without its mean(s), so the
    # slope's corner of the sandwich needs the scores of that one column only.
    scores = centred * coef
    np.subtract(target[:, None], scores, out=scores)
    scores *= centred
    middle = np.maximum(COVARIANCES[covariance](scores, layout, maxlags), 0.0)
    spread = np.sqrt(target @ target) or np.nan
    pearson = np.clip(coef * np.sqrt(squares) / spread, -1.0, 1.0)
    return coef, np.sqrt(middle) / squares, pearson


def _small_sample(layout: Layout, covariance: str) -> tuple[float, int]:
    freedom = layout.size - layout.parameters
    chains = len(layout.spans)
    if covariance == "cluster":
        return chains / (chains - 1) * (layout.size - 1) / freedom, chains - 1
    return layout.size / freedom, freedom


def _pvalues(coef: Floats, stderr: Floats, freedom: int | None) -> Floats:
    from scipy import special

    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.abs(coef / stderr)
    return 2 * (special.ndtr(-ratio) if freedom is None else special.stdtr(freedom, -ratio))
