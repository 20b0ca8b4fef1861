"""Held-out figures against scikit-learn, and calibration against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss

from biasloop.metrics.evaluation import BINS, evaluate, reliability


def _case(seed, labels, n=200):
    rng = np.random.default_rng(seed)
    truth = rng.integers(labels, size=n)
    probabilities = rng.dirichlet(np.full(labels, 0.7), size=n)
    return truth, probabilities


@pytest.mark.parametrize("labels", [2, 3, 5])
def test_every_figure_against_scikit_learn(labels):
    truth, probabilities = _case(labels, labels)
    names = [f"l{i}" for i in range(labels)]
    found = evaluate(names, truth, probabilities)
    predicted = probabilities.argmax(axis=1)
    order = list(range(labels))
    assert found["n"] == 200
    assert found["labels"] == names
    assert found["confusion"] == confusion_matrix(truth, predicted, labels=order).tolist()
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert found["macro_f1"] == pytest.approx(
        f1_score(truth, predicted, average="macro", labels=order)
    )
    assert found["log_loss"] == pytest.approx(log_loss(truth, probabilities, labels=order))


def test_two_class_brier_is_twice_scikit_learns():
    from sklearn.metrics import brier_score_loss

    truth, probabilities = _case(0, 2)
    # Summed over both labels, so twice the one-label score.
    assert evaluate(["a", "b"], truth, probabilities)["brier"] == pytest.approx(
        2 * brier_score_loss(truth, probabilities[:, 1])
    )


@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(1, 60))
def test_calibration_error_by_plain_loop(seed, labels, n):
    truth, probabilities = _case(seed, labels, n)
    total = 0.0
    for index in range(BINS):
        inside = [i for i in range(n) if min(int(probabilities[i].max() * BINS), BINS - 1) == index]
        if inside:
            confidence = np.mean([probabilities[i].max() for i in inside])
            accuracy = np.mean([probabilities[i].argmax() == truth[i] for i in inside])
            total += len(inside) / n * abs(confidence - accuracy)
    error, bins = reliability(truth, probabilities)
    assert error == pytest.approx(total)
    assert sum(own["n"] for own in bins) == n


def test_a_label_that_never_occurs_counts_as_zero():
    truth = np.array([0, 1, 0])
    probabilities = np.array([[0.8, 0.2, 0.0], [0.1, 0.9, 0.0], [0.7, 0.3, 0.0]])
    assert evaluate("abc", truth, probabilities)["macro_f1"] == pytest.approx(2 / 3)
