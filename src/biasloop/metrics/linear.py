"""Multinomial logistic regression with one temperature. Knows matrices, not text.

Fitting is scikit-learn's; predicting is one product and one softmax, so that a model read back
from its arrays gives the same bits as the one that was fitted.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from threadpoolctl import ThreadpoolController

_ITERATIONS = 2000
_TEMPERATURES = (0.01, 100.0)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, safe for large logits."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def balanced_weights(truth: np.ndarray, labels: int) -> np.ndarray:
    """Weights, shape (n,), mean 1, under which every label counts the same."""
    counts = np.bincount(truth, minlength=labels)
    return len(truth) / (np.count_nonzero(counts) * counts[truth])


@dataclass(frozen=True)
class LinearClassifier:
    """A fitted classifier.

    Attributes
    ----------
    coefficients
        Shape (labels, features).
    intercepts
        Shape (labels,).
    temperature
        Divides the logits (Guo et al. 2017); 1 before calibration.
    """

    coefficients: np.ndarray
    intercepts: np.ndarray
    temperature: float = 1.0

    def logits(self, features: np.ndarray | csr_matrix) -> np.ndarray:
        """Uncalibrated logits, shape (n, labels)."""
        return np.asarray(features @ self.coefficients.T) + self.intercepts

    def probabilities(self, features: np.ndarray | csr_matrix) -> np.ndarray:
        """Calibrated probabilities, shape (n, labels)."""
        return softmax(self.logits(features) / self.temperature)

    def calibrated(self, temperature: float) -> LinearClassifier:
        """Return the same classifier at another temperature."""
        return replace(self, temperature=temperature)

    def arrays(self) -> dict[str, np.ndarray]:
        """Give the arrays to keep; see `from_arrays`."""
        return {
            "coefficients": self.coefficients,
            "intercepts": self.intercepts,
            "temperature": np.array([self.temperature]),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> LinearClassifier:
        """Read back what `arrays` gave."""
        return cls(arrays["coefficients"], arrays["intercepts"], float(arrays["temperature"][0]))


@cache
def _pools() -> ThreadpoolController:
    """Find the loaded libraries' threads, once: to look for them takes as long as a small fit."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _one_thread() -> AbstractContextManager[object]:
    return _pools().limit(limits=1)


def fit_linear(
    features: np.ndarray | csr_matrix, truth: np.ndarray, labels: int, strength: float
) -> LinearClassifier:
    """Fit L2-regularised multinomial logistic regression; every label counts the same.

    Parameters
    ----------
    features
        Shape (n, features), dense or CSR.
    truth
        Label indices, shape (n,); every label in ``range(labels)`` occurs.
    labels
        How many labels there are, at least 2.
    strength
        Inverse regularisation, scikit-learn's ``C``.

    Returns
    -------
    LinearClassifier
        Uncalibrated. Without a single feature it gives every label the same probability.
    """
    from sklearn.linear_model import LogisticRegression

    if not features.shape[1]:
        return LinearClassifier(np.zeros((labels, 0)), np.zeros(labels))
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=_ITERATIONS)
    # Thousands of products with one vector: several threads wait for each other most of the time.
    with _one_thread():
        model.fit(features, truth)
    weights, biases = model.coef_, model.intercept_
    if labels == 2:
        weights = np.vstack([np.zeros_like(weights), weights])
        biases = np.concatenate([np.zeros_like(biases), biases])
    return LinearClassifier(np.ascontiguousarray(weights), np.ascontiguousarray(biases))


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """Find the temperature with the least balanced log-loss on logits that were held out.

    Parameters
    ----------
    logits
        Shape (n, labels), of articles that the classifier was not fitted on.
    truth
        Label indices, shape (n,).

    Returns
    -------
    float
        Between 0.01 and 100. Labels are unchanged: only confidence is.
    """
    from scipy.optimize import minimize_scalar

    weights = balanced_weights(truth, logits.shape[1])
    rows = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        top = scaled.max(axis=1)
        normaliser = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float((weights * (normaliser - scaled[rows, truth])).mean())

    low, high = np.log(_TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))
