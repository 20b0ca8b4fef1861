"""The linear classifier against scikit-learn, and its temperature against known truth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from biasloop.metrics.classifier import (
    LinearClassifier,
    fit_linear,
    fit_temperature,
)


@pytest.mark.parametrize("labels", [2, 3])
def test_probabilities_are_scikit_learns(labels):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 5)), rng.integers(labels, size=90)
    oracle = LogisticRegression(C=0.7, class_weight="balanced", max_iter=2000).fit(X, y)
    found = fit_linear(X, y, labels, 0.7).probabilities(X)
    np.testing.assert_allclose(found, oracle.predict_proba(X), atol=1e-12)


def test_arrays_bring_it_back_to_the_bit():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, 4)), rng.integers(3, size=60)
    fitted = replace(fit_linear(X, y, 3, 1.0), temperature=1.7)
    again = LinearClassifier.from_arrays(fitted.arrays())
    assert np.array_equal(again.probabilities(X), fitted.probabilities(X))


@given(hnp.arrays(float, (5, 3), elements=st.floats(-1e6, 1e6)), st.floats(0.05, 20.0))
def test_probabilities_sum_to_one_whatever_the_logits(logits, temperature):
    np.testing.assert_allclose(softmax(logits / temperature, axis=1).sum(axis=1), 1.0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_found_where_the_truth_is_drawn_from_it(temperature):
    rng = np.random.default_rng(2)
    logits = rng.normal(scale=3.0, size=(40_000, 3))
    uniform = rng.random((40_000, 1))
    truth = (softmax(logits / temperature, axis=1).cumsum(axis=1) < uniform).sum(axis=1)
    assert fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.05)


def test_logits_that_know_nothing_get_the_highest_temperature():
    rng = np.random.default_rng(3)
    assert fit_temperature(rng.normal(size=(4000, 2)), rng.integers(2, size=4000)) > 15
