"""Which rows are held out together: by article, or by whole source. Knows labels, not text."""

from __future__ import annotations

from collections.abc import Sequence

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
    splitter = StratifiedKFold(folds, shuffle=True, random_state=_state(seed))
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
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=_state(seed))
    parts = [test for _, test in splitter.split(np.zeros(len(truth)), truth, groups)]
    labels = truth.max() + 1
    for part in parts:
        left = np.bincount(np.delete(truth, part), minlength=labels)
        if len(part) == 0 or left.min() < LEAST_TRAINING:
            return None
    return parts


def _state(seed: int) -> int:
    return seeds.integer(seed, "folds")
