"""Kernels of the sandwich covariance: how uncertain a slope is when errors are not independent.

Each takes the scores of many regressions, shape (observations, neurons), and the layout of their
chains, and returns the middle of the sandwich for the slope, shape (neurons,). Knows no regression.

Conventions are those of statsmodels' ``sandwich_covariance``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from biasloop.neurons.design import Floats, Layout

Kernel = Callable[[Floats, Layout, int], Floats]


def _bartlett(scores: Floats, maxlags: int) -> Floats:
    """Long-run variance of one series, by Newey and West (1987, Econometrica 55(3))."""
    total = np.einsum("ij,ij->j", scores, scores)
    for lag in range(1, min(maxlags, len(scores) - 1) + 1):
        weight = 1 - lag / (maxlags + 1)
        total += 2 * weight * np.einsum("ij,ij->j", scores[lag:], scores[:-lag])
    return total


def newey_west(scores: Floats, layout: Layout, maxlags: int) -> Floats:
    """Newey-West within chains: no lag crosses from one into the next (``cov_nw_panel``).

    With one chain it is the ordinary Newey-West (``cov_hac``).
    """
    return np.sum([_bartlett(scores[a:b], maxlags) for a, b in layout.spans], axis=0)


def driscoll_kraay(scores: Floats, layout: Layout, maxlags: int) -> Floats:
    """Newey-West on the sums over chains at each time (``cov_nw_groupsum``).

    Driscoll and Kraay (1998, Review of Economics and Statistics 80(4)): chains may be correlated
    with each other, as those that share Generation 0 are; needs many times.
    """
    sums = np.zeros((int(layout.period.max()) + 1, scores.shape[1]))
    for a, b in layout.spans:
        sums[layout.period[a:b]] += scores[a:b]
    return _bartlett(sums, maxlags)


def cluster(scores: Floats, layout: Layout, maxlags: int) -> Floats:
    """Any correlation within a chain, none between chains (``cov_cluster``); needs many chains."""
    return np.sum([scores[a:b].sum(axis=0) ** 2 for a, b in layout.spans], axis=0)


#: Every covariance by its name. One line adds one.
COVARIANCES: Mapping[str, Kernel] = {
    "hac": newey_west,
    "hac-groupsum": driscoll_kraay,
    "cluster": cluster,
}
