"""Which rows are held out together, and how far held-out probabilities are from the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from biasloop import seeds

#: Held-out parts, as index arrays; together they are all rows, each once.
Folds = list[np.ndarray]

#: Articles of each label that must stay on the training side; enough for folds within it.
LEAST_TRAINING = 4


def group_ids(sources: Sequence[str | None]) -> np.ndarray:
    """Give each article its source's number, shape (n,); one without a source is its own."""
    names = [source or f"\0{row}" for row, source in enumerate(sources)]
    return np.unique(names, return_inverse=True)[1]


def by_article(truth: np.ndarray, folds: int, seed: int) -> Folds:
    """Stratified folds; fewer where a label has fewer articles than folds."""
    from sklearn.model_selection import StratifiedKFold

    folds = min(folds, int(np.bincount(truth).min()))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seeds.integer(seed, "folds"))
    return [test for _, test in splitter.split(np.zeros(len(truth)), truth)]


def by_source(truth: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> Folds | None:
    """Folds that keep a source's articles together and the labels as balanced as they can be.

    Returns
    -------
    Folds or None
        None where it cannot be done: a label with one source only, or folds that would leave
        fewer than four articles of a label to train on.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    sources = [len(np.unique(groups[truth == label])) for label in np.unique(truth)]
    folds = min([folds, *sources])
    if folds < 2:
        return None
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seeds.integer(seed, "folds"))
    parts = [test for _, test in splitter.split(np.zeros(len(truth)), truth, groups)]
    labels = truth.max() + 1
    for part in parts:
        left = np.bincount(np.delete(truth, part), minlength=labels)
        if len(part) == 0 or left.min() < LEAST_TRAINING:
            return None
    return parts


#: Bins of equal width over the confidence, as in Guo et al. 2017.
BINS = 10

#: Below this 2.5 % point of the smallest singular value no share can be recovered: the noise of
#: what is read would come back at least tenfold.
TELLS_APART = 0.1

_MISTAKEN = 0.001
_PRIOR = 0.5


def macro_f1(
    truth: np.ndarray, predicted: np.ndarray, labels: int, counts: np.ndarray | None = None
) -> float:
    """Mean F1 over labels, 0 for one neither there nor predicted; ``counts`` weigh the pairs."""
    from sklearn.metrics import f1_score

    places = range(labels)
    return f1_score(
        truth, predicted, labels=places, average="macro", sample_weight=counts, zero_division=0
    )


def tells_apart(drawn: np.ndarray) -> float:
    """How well the labels are told apart, at the worst that the counts leave likely.

    Parameters
    ----------
    drawn
        Error rates that the counts leave possible, shape (draws, labels, labels).

    Returns
    -------
    float
        The 2.5 % point of the smallest singular value over the drawn error rates: 1 for a perfect
        classifier, 0 for one that does not tell two of the labels apart; see `TELLS_APART`.
    """
    return float(np.quantile(np.linalg.svd(drawn, compute_uv=False)[:, -1], 0.025))


def reliability(truth: np.ndarray, probabilities: np.ndarray) -> tuple[float, list[dict[str, Any]]]:
    """Compute the expected calibration error and its bins (Guo et al. 2017, equation 3).

    scikit-learn's `calibration_curve` gives no count of a bin, which the error needs.

    Parameters
    ----------
    truth
        Label indices, shape (n,).
    probabilities
        Shape (n, labels), rows sum to 1.

    Returns
    -------
    tuple
        The mean over articles of ``|accuracy - confidence|`` of their bin, and for each bin that
        has articles its mean ``confidence``, its ``accuracy`` and ``n``.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = []
    error = 0.0
    for index in np.unique(place):
        inside = place == index
        mean, accuracy = float(confidence[inside].mean()), float(right[inside].mean())
        count = int(inside.sum())
        error += abs(accuracy - mean) * count / len(truth)
        bins.append({"confidence": mean, "accuracy": accuracy, "n": count})
    return error, bins


def evaluate(
    labels: Sequence[str],
    truth: np.ndarray,
    probabilities: np.ndarray,
    sources: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Compute every held-out figure of a card.

    Parameters
    ----------
    labels
        The label set, in the order of the columns.
    truth
        Label indices, shape (n,), n > 0.
    probabilities
        Shape (n, labels), rows sum to 1.
    sources
        Each article's source, shape (n,); empty where it is not known.

    Returns
    -------
    dict
        ``n, macro_f1, accuracy, labels, confusion`` (rows true, columns predicted),
        ``log_loss`` (nats), ``brier`` (mean squared distance from the one-hot truth, 0 to 2),
        ``expected_calibration_error`` and its ``bins``, and ``design_effects``: of each true
        label, how many times larger the variance of its error rates is than if articles of one
        source erred independently (`design_effect`).
    """
    from sklearn import metrics

    predicted, places = probabilities.argmax(axis=1), range(len(labels))
    confusion = metrics.confusion_matrix(truth, predicted, labels=places)
    known = np.array([*(sources or [""] * len(truth))], dtype=str)
    names = np.where(known == "", [f"{row} " for row in range(len(truth))], known)
    error, bins = reliability(truth, probabilities)
    return {
        "n": len(truth),
        "macro_f1": macro_f1(truth, predicted, len(labels)),
        "accuracy": metrics.accuracy_score(truth, predicted),
        "labels": list(labels),
        "confusion": confusion.tolist(),
        "log_loss": metrics.log_loss(truth, probabilities, labels=places),
        "brier": metrics.brier_score_loss(truth, probabilities, labels=places, scale_by_half=False),
        "expected_calibration_error": error,
        "bins": bins,
        "design_effects": [
            design_effect(predicted[truth == index], names[truth == index])
            for index in range(len(labels))
        ],
    }


def exchanged(confusion: np.ndarray) -> list[int] | None:
    """Find out whether a classifier's labels seem to be mistaken for each other.

    Parameters
    ----------
    confusion
        Counts, shape (labels, labels); rows are the truth, columns the prediction.

    Returns
    -------
    list of int or None
        For each label of the classifier the label that it should stand for: the assignment with
        the highest mean recall, where that is above the recall of the labels as they are by more
        than chance (a normal test of the difference, at 0.001 over all assignments); else None.
    """
    from math import factorial

    from scipy.optimize import linear_sum_assignment
    from scipy.stats import norm

    smooth = confusion + _PRIOR
    totals = smooth.sum(axis=1)
    rates = smooth / totals[:, None]
    best = linear_sum_assignment(rates.T, maximize=True)[1]
    theirs = np.flatnonzero(best != np.arange(len(best)))
    if not len(theirs):
        return None
    ours = best[theirs]
    exchanged_hits, hits = rates[ours, theirs], rates[ours, ours]
    gain = exchanged_hits - hits
    variance = ((exchanged_hits + hits - gain**2) / totals[ours]).sum()
    chance = norm.sf(gain.sum() / np.sqrt(variance)) * factorial(len(best))
    return best.tolist() if chance < _MISTAKEN else None


def design_effect(predicted: np.ndarray, sources: np.ndarray) -> float:
    """Compare the variance of rates by sources with that of independent articles.

    Parameters
    ----------
    predicted
        Label indices of articles of one true label, shape (n,).
    sources
        Their sources, shape (n,).

    Returns
    -------
    float
        Variance of the rates by the jackknife over sources, summed over labels, over the binomial
        one; at least 1. It is n for a single source, which shows nothing of others, and 1 without
        an error.
    """
    names, place = np.unique(sources, return_inverse=True)
    n = len(predicted)
    if n < 2 or len(names) == n:
        return 1.0
    if len(names) == 1:
        return float(n)
    hits = predicted[:, None] == np.unique(predicted)
    sums = np.stack([np.bincount(place, column) for column in hits.T], axis=1)
    without = (sums.sum(axis=0) - sums) / (n - np.bincount(place))[:, None]
    rates = hits.mean(axis=0)
    size = len(names)
    clustered = ((without - rates) ** 2).sum() * (size - 1) / size
    binomial = (rates * (1 - rates)).sum() / (n - 1)
    return max(1.0, float(clustered / binomial)) if binomial > 0 else 1.0
