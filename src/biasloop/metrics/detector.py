"""How likely generated articles are human text, by a detector made for them.

The detector is a word TF-IDF and a logistic regression between real articles and the generated
ones. It is cross-fitted: no article is read by a detector that was trained on it, or on another
that the same real article prompted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biasloop.errors import InputError
from biasloop.metrics.classifier import CANDIDATES, fit_linear, fit_temperature
from biasloop.metrics.evaluation import by_source
from biasloop.metrics.tokenization import WORD

_FOLDS = 5
_CANDIDATE = CANDIDATES["word-tfidf"]


@dataclass(frozen=True)
class Detected:
    """What the detector says of articles that it has not seen.

    Attributes
    ----------
    human
        Probability that each generated article is human text, were both as frequent; shape
        (articles,).
    auc
        Area under the ROC curve between the real and the generated articles.
    taken_for_human, taken_for_generated
        Of generated articles, and of real ones, the share on the wrong side of 1/2.
    real, generated
        How many real, and how many generated ones.
    """

    human: np.ndarray
    auc: float
    taken_for_human: float
    taken_for_generated: float
    real: int
    generated: int

    @property
    def errors(self) -> dict[str, Any]:
        """The measured error, as JSON."""
        return {name: value for name, value in vars(self).items() if name != "human"}


def detect(
    real: Sequence[str], generated: Sequence[str], groups: Sequence[str], seed: int
) -> Detected:
    """Train a detector on real and generated articles, and read the generated ones.

    Real articles are cut to as many words as the longest generated one has, since length tells
    nothing but the protocol. The probabilities are calibrated by one temperature (Guo et al. 2017),
    fitted on the held-out readings.

    Parameters
    ----------
    real
        Real articles that are neither scored nor trained on by a language model.
    generated
        The articles to read.
    groups
        Of each generated article, what it is held out together with: its prompt.
    seed
        Of the folds.

    Raises
    ------
    InputError
        If there are too few articles to hold any out.
    """
    from scipy.special import softmax
    from sklearn.metrics import roc_auc_score

    longest = max((len(WORD.findall(text)) for text in generated), default=0)
    texts = [*(_cut(text, longest) for text in real), *generated]
    truth = np.repeat([1, 0], [len(real), len(generated)])
    names = [*(f"real {place}" for place in range(len(real))), *groups]
    _, codes = np.unique(names, return_inverse=True)
    folds = by_source(truth, codes, _FOLDS, seed) if min(np.bincount(truth, minlength=2)) else None
    if folds is None:
        raise InputError(
            f"a detector of generated text needs more articles: there are {len(real)} real ones in "
            f"the instrument part and {len(generated)} generated ones"
        )
    prepared = _CANDIDATE.prepare(texts)
    logits = np.empty((len(texts), 2))
    for fold in folds:
        train = np.delete(np.arange(len(texts)), fold)
        features, held_out = prepared.encode(train, fold)
        fitted = fit_linear(features, truth[train], 2, _CANDIDATE.strength)
        logits[fold] = fitted.logits(held_out)  # ty: ignore[invalid-argument-type]
    human = softmax(logits / fit_temperature(logits, truth), axis=1)[:, 1]
    return Detected(
        human[truth == 0],
        float(roc_auc_score(truth, human)),
        float((human[truth == 0] > 0.5).mean()),
        float((human[truth == 1] < 0.5).mean()),
        len(real),
        len(generated),
    )


def _cut(text: str, words: int) -> str:
    """Cut a text after so many words."""
    ends = [match.end() for match in WORD.finditer(text)]
    return text if len(ends) <= words else text[: ends[words - 1] if words else 0]
