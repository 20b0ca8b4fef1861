"""Quantification: the shares of the leanings among articles, from how a classifier read them.

A classifier that takes some of each leaning for another reports shares that are pulled towards
its errors, and a *change* of share that is too small by the same factor. Two corrections, both on
the assumption that only the mix of leanings differs between the validation articles and those
read ("prior probability shift"), not how an article of a leaning looks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biasloop.errors import InputError

#: Added to every cell of a drawn confusion matrix (Jeffreys): no error is known to be impossible.
_PRIOR = 0.5


def error_rates(confusion: np.ndarray) -> np.ndarray:
    """Turn counts into P(read as j | is i).

    Parameters
    ----------
    confusion
        Counts, shape (labels, labels): rows are the truth, columns the reading.

    Raises
    ------
    InputError
        If it is not square, has a negative count, or a label has no article.
    """
    counts = np.asarray(confusion, dtype=float)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not np.all(counts >= 0):
        raise InputError(
            f"a confusion matrix is a square of counts, not of shape {counts.shape} "
            "or with negative numbers"
        )
    totals = counts.sum(axis=1, keepdims=True)
    if np.any(totals == 0):
        raise InputError(
            f"confusion matrix: row {int(np.argmin(totals[:, 0])) + 1} has no article, so how the "
            "classifier reads that leaning is not known"
        )
    return counts / totals


def drawn_error_rates(
    confusion: np.ndarray,
    draws: int,
    random: np.random.Generator,
    design_effects: Sequence[float] | None = None,
) -> np.ndarray:
    """Draw the error rates that the validation counts leave possible.

    Each row is a multinomial of its own, so its rates have a Dirichlet posterior under Jeffreys'
    prior. Where articles of one source err alike, a row counts for fewer articles: its count over
    its design effect.

    Returns
    -------
    np.ndarray
        Shape (draws, labels, labels); rows sum to 1.
    """
    rates = error_rates(confusion)
    effects = np.ones(len(rates)) if design_effects is None else np.asarray(design_effects, float)
    counts = np.asarray(confusion, dtype=float) / effects[:, None]
    rows = [random.dirichlet(row + _PRIOR, size=draws) for row in counts]
    return np.stack(rows, axis=1)


def adjusted_shares(read: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Find the shares whose readings would be those found: adjusted classify-and-count.

    Solves ``rates.T @ share = read`` (Forman 2008; for two labels Rogan and Gladen 1978) and
    takes the nearest distribution where the solution is none.

    Parameters
    ----------
    read
        Shares as read, shape (labels,).
    rates
        P(read | is), shape (labels, labels).

    Returns
    -------
    np.ndarray
        Shape (labels,); NaN where the rates are singular.
    """
    if not np.linalg.svd(rates, compute_uv=False)[-1] > 1e-9:
        return np.full(len(read), np.nan)
    return nearest_distribution(np.einsum("ij,j->i", np.linalg.inv(rates.T), read))


def nearest_distribution(values: np.ndarray) -> np.ndarray:
    """Project onto the distributions, by Euclidean distance (Duchi et al. 2008).

    Parameters
    ----------
    values
        Shape (..., labels); NaN stays.
    """
    ordered = -np.sort(-values, axis=-1)
    excess = np.cumsum(ordered, axis=-1) - 1
    count = np.arange(1, values.shape[-1] + 1)
    kept = np.maximum((ordered - excess / count > 0).sum(axis=-1, keepdims=True), 1)
    shift = np.take_along_axis(excess, kept - 1, axis=-1) / kept
    return np.where(np.isnan(values), np.nan, np.maximum(values - shift, 0.0))


def saerens_shares(
    probabilities: np.ndarray,
    prior: np.ndarray,
    weights: np.ndarray | None = None,
    steps: int = 1000,
    tolerance: float = 1e-8,
) -> np.ndarray:
    """Shares by maximum likelihood from probabilities (Saerens, Latinne and Decaestecker 2002).

    Expectation-maximisation: probabilities are reweighted by shares over prior, and their means
    are the next shares, until none moves. By hand, as no library does it for all resamples at once.

    Parameters
    ----------
    probabilities
        The classifier's, shape (articles, labels); rows sum to 1.
    prior
        The mix of labels that the classifier takes for granted, shape (labels,): that of its
        training, or even where every label counted the same.
    weights
        Resamples as counts, shape (resamples, articles); None is one resample with every article
        once.
    steps, tolerance
        When to stop.

    Returns
    -------
    np.ndarray
        Shape (labels,), or (resamples, labels) where weights were given.

    Raises
    ------
    InputError
        If a prior is 0.
    """
    if np.any(np.asarray(prior) <= 0):
        raise InputError("a label whose prior is 0 can never be read: every prior must be above 0")
    likelihood = np.asarray(probabilities, dtype=float) / prior
    drawn = np.ones((1, len(likelihood))) if weights is None else weights
    drawn = drawn / drawn.sum(axis=1, keepdims=True)
    shares = np.tile(np.asarray(prior, dtype=float) / np.sum(prior), (len(drawn), 1))
    for _ in range(steps):
        mixture = shares @ likelihood.T
        ratio = np.divide(drawn, mixture, out=np.zeros_like(mixture), where=mixture > 0)
        moved = shares * (ratio @ likelihood)
        done = float(np.abs(moved - shares).max()) < tolerance
        shares = moved
        if done:
            break
    return shares[0] if weights is None else shares
