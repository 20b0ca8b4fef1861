"""Regress one series on each of very many neurons, with standard errors that allow for time.

The sandwich covariance is computed for all neurons at once. Conventions are those of statsmodels'
``sandwich_covariance``, which is the tests' oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biasloop.errors import InputError, nearest

Floats = np.ndarray[Any, np.dtype[np.float64]]

#: A series that moves, per version, by fewer roundings of its size than this and the number of
#: versions together, has not moved.
_STILL = 64
#: Neither has one whose squares add up to less: they would underflow.
_LEAST = 1e-290


@dataclass(frozen=True)
class Panel:
    """Versions in the order in which they are computed on: chain by chain, in time.

    Attributes
    ----------
    order
        The rows, in that order.
    spans
        Where each chain begins in that order, and the place after its end.
    period
        The time of each version, in that order: 0, 1, ... within its chain.
    parameters
        What a regression fits: the slope, and one constant or one per chain.
    differences, fixed_effects
        What `center` takes out.
    """

    order: np.ndarray
    spans: tuple[tuple[int, int], ...]
    period: np.ndarray
    differences: bool
    fixed_effects: bool

    @property
    def size(self) -> int:
        """How many observations a regression has."""
        return self.spans[-1][1]

    @property
    def parameters(self) -> int:
        """How many parameters a regression has, constants included."""
        return 1 + (len(self.spans) if self.fixed_effects else 1)

    def take(self, values: np.ndarray) -> Floats:
        """Copy values of shape (versions, ...) in order, differenced where that is asked."""
        given = np.array(values, dtype=float, order="C")
        ordered = given[self.order] if (np.diff(self.order) != 1).any() else given
        if not self.differences:
            return ordered
        starts = _starts(self.spans, 1)
        return np.concatenate([ordered[a + 1 : b] - ordered[a : b - 1] for a, b in starts])

    def center(self, values: Floats) -> Floats:
        """Take out the mean, or each chain's, in place; return the sum of squares of what is left.

        Returns
        -------
        np.ndarray
            Without the axis of versions: 0 for a series that stands still, whose values are then
            all 0; not finite for one with a value that is not finite, or too large to be squared.
        """
        spans = self.spans if self.fixed_effects else ((0, self.size),)
        level = np.zeros(values.shape[1:])
        with np.errstate(invalid="ignore", over="ignore"):
            for a, b in spans:
                mean = values[a:b].mean(axis=0)
                values[a:b] -= mean
                np.maximum(level, np.abs(mean), out=level)
            squares = np.einsum("i...,i...->...", values, values)
            # A mean over many versions is itself rounded at every addition.
            rounding = (_STILL + self.size) * np.finfo(float).eps * level
            still = squares <= np.maximum(self.size * rounding**2, _LEAST)
            still &= np.isfinite(squares)
        if still.any():
            values[..., still] = 0.0
            squares = np.where(still, 0.0, squares)
        return squares


def _starts(spans: Sequence[tuple[int, int]], shift: int) -> list[tuple[int, int]]:
    """Give the spans of the undifferenced series."""
    return [(a + shift * i, b + shift * (i + 1)) for i, (a, b) in enumerate(spans)]


def make_panel(
    versions: int,
    groups: Sequence[object] | np.ndarray | None = None,
    time: Sequence[float] | np.ndarray | None = None,
    differences: bool = False,
    fixed_effects: bool = False,
) -> Panel:
    """Lay versions out chain by chain.

    Parameters
    ----------
    versions
        How many there are.
    groups
        The chain of each; None makes one of all.
    time
        The time of each, distinct within a chain; None takes the order in which they come.
    differences
        Work on changes from one version of a chain to its next.
    fixed_effects
        Give every chain a constant of its own.

    Raises
    ------
    InputError
        If lengths differ, a time stands twice in a chain, or too few versions are left.
    """
    labels = ["" for _ in range(versions)] if groups is None else [str(g) for g in groups]
    times = np.arange(versions, dtype=float) if time is None else np.asarray(time, dtype=float)
    if len(labels) != versions or len(times) != versions:
        raise InputError(
            f"x has {versions} versions, groups {len(labels)} and time {len(times)}: they must be "
            "as many"
        )
    place = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    chain = np.array([place[label] for label in labels], dtype=int)
    order = np.lexsort((times, chain))
    chain = chain[order]
    if time is not None and np.any((np.diff(times[order]) == 0) & (np.diff(chain) == 0)):
        raise InputError("two versions of one chain have the same time")
    lengths = np.bincount(chain, minlength=len(place)) - int(differences)
    if (lengths < 1).any():
        short = list(place)[int(np.argmin(lengths))]
        raise InputError(f"chain '{short}' has too few versions to take differences of")
    ends = np.cumsum(lengths)
    spans = tuple(zip((ends - lengths).tolist(), ends.tolist(), strict=True))
    period = np.concatenate([np.arange(length) for length in lengths])
    if groups is not None and time is not None:
        kept = np.concatenate(
            [np.arange(b - a) >= int(differences) for a, b in _starts(spans, int(differences))]
        )
        period = np.unique(times[order][kept], return_inverse=True)[1]
    panel = Panel(order, spans, period, differences, fixed_effects)
    if panel.size <= panel.parameters:
        raise InputError(
            f"a regression with {panel.parameters} parameters needs more than {panel.size} "
            "observations"
        )
    return panel


Kernel = Callable[[Floats, Panel, int], Floats]


def _bartlett(scores: Floats, maxlags: int) -> Floats:
    """Long-run variance of one series, by Newey and West (1987, Econometrica 55(3))."""
    total = np.einsum("ij,ij->j", scores, scores)
    for lag in range(1, min(maxlags, len(scores) - 1) + 1):
        weight = 1 - lag / (maxlags + 1)
        total += 2 * weight * np.einsum("ij,ij->j", scores[lag:], scores[:-lag])
    return total


def newey_west(scores: Floats, panel: Panel, maxlags: int) -> Floats:
    """Newey-West within chains: no lag crosses from one into the next (``cov_nw_panel``).

    With one chain it is the ordinary Newey-West (``cov_hac``).
    """
    return np.sum([_bartlett(scores[a:b], maxlags) for a, b in panel.spans], axis=0)


def driscoll_kraay(scores: Floats, panel: Panel, maxlags: int) -> Floats:
    """Newey-West on the sums over chains at each time (``cov_nw_groupsum``).

    Driscoll and Kraay (1998, Review of Economics and Statistics 80(4)): chains may be correlated
    with each other, as those that share Generation 0 are; needs many times.
    """
    sums = np.zeros((int(panel.period.max()) + 1, scores.shape[1]))
    for a, b in panel.spans:
        sums[panel.period[a:b]] += scores[a:b]
    return _bartlett(sums, maxlags)


def cluster(scores: Floats, panel: Panel, maxlags: int) -> Floats:
    """Any correlation within a chain, none between chains (``cov_cluster``); needs many chains."""
    return np.sum([scores[a:b].sum(axis=0) ** 2 for a, b in panel.spans], axis=0)


#: Every covariance by its name. One line adds one.
COVARIANCES: Mapping[str, Kernel] = {
    "hac": newey_west,
    "hac-groupsum": driscoll_kraay,
    "cluster": cluster,
}


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
    panel = make_panel(len(y), groups, time, differences, fixed_effects)
    if covariance == "cluster" and len(panel.spans) < 2:
        raise InputError("covariance 'cluster' needs at least two chains")
    target = panel.take(y)
    if not np.isfinite(panel.center(target)):
        raise InputError(f"y: reaches {np.abs(y).max():.0e}, which is too large to use")
    coef, stderr, pearson = (np.empty(len(x)) for _ in range(3))
    step = max(1, _CHUNK // max(1, len(y)))
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        coef[part], stderr[part], pearson[part] = _regress_chunk(
            x[part], target, panel, covariance, maxlags, start
        )
    scale, freedom = _small_sample(panel, covariance)
    if small_sample:
        stderr *= np.sqrt(scale)
    pvalue = _pvalues(coef, stderr, freedom if distribution == "t" else None)
    return Regression(coef, stderr, pvalue, pearson, panel.size)


def _regress_chunk(
    x: np.ndarray, target: Floats, panel: Panel, covariance: str, maxlags: int, first: int
) -> tuple[Floats, Floats, Floats]:
    # Versions first: sums over few versions of many neurons are then over whole rows.
    centred = panel.take(x.T)
    squares = panel.center(centred)
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
    middle = np.maximum(COVARIANCES[covariance](scores, panel, maxlags), 0.0)
    spread = np.sqrt(target @ target) or np.nan
    pearson = np.clip(coef * np.sqrt(squares) / spread, -1.0, 1.0)
    return coef, np.sqrt(middle) / squares, pearson


def _small_sample(panel: Panel, covariance: str) -> tuple[float, int]:
    freedom = panel.size - panel.parameters
    chains = len(panel.spans)
    if covariance == "cluster":
        return chains / (chains - 1) * (panel.size - 1) / freedom, chains - 1
    return panel.size / freedom, freedom


def _pvalues(coef: Floats, stderr: Floats, freedom: int | None) -> Floats:
    from scipy import special

    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.abs(coef / stderr)
    return 2 * (special.ndtr(-ratio) if freedom is None else special.stdtr(freedom, -ratio))
