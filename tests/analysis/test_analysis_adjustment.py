from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize

from biasloop.analysis.classifier_errors import (
    Confusion,
    Corrections,
    instrument_confusion,
)
from biasloop.errors import InputError
from biasloop.metrics.evaluation import tells_apart
from biasloop.metrics.quantification import (
    drawn_error_rates,
    error_rates,
    nearest_distribution,
    saerens_shares,
)

RATES = np.array([[0.8, 0.12, 0.08], [0.1, 0.75, 0.15], [0.07, 0.15, 0.78]])

shares = hnp.arrays(float, 3, elements=st.floats(0.01, 1)).map(lambda x: x / x.sum())


def _corrections(rates: np.ndarray, draws: int = 5) -> Corrections:
    """Of counts with these error rates."""
    return Confusion(1000 * rates, "articles").corrections(draws, np.random.default_rng(0))


@given(shares)
def test_a_share_comes_back_from_its_reading(share: np.ndarray) -> None:
    point = _corrections(RATES).point[0]
    np.testing.assert_allclose(share @ RATES @ point, share, atol=1e-12)


def test_two_labels_are_rogan_and_gladen() -> None:
    sensitivity, specificity, read = 0.8, 0.9, 0.3
    rates = np.array([[specificity, 1 - specificity], [1 - sensitivity, sensitivity]])
    expected = (read + specificity - 1) / (sensitivity + specificity - 1)
    found = np.array([1 - read, read]) @ _corrections(rates).point[0]
    assert found[1] == pytest.approx(expected)


@given(hnp.arrays(float, st.integers(2, 5), elements=st.floats(-2, 2)))
def test_the_nearest_distribution_is_the_nearest(values: np.ndarray) -> None:
    found = nearest_distribution(values)
    assert found.sum() == pytest.approx(1)
    assert found.min() >= 0
    solved = optimize.minimize(
        lambda x: ((x - values) ** 2).sum(),
        np.full(len(values), 1 / len(values)),
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
        bounds=[(0, 1)] * len(values),
    )
    assert ((found - values) ** 2).sum() <= solved.fun + 1e-6


def test_many_at_once_are_one_after_the_other(random: np.random.Generator) -> None:
    read = random.dirichlet(np.ones(3), size=2)
    expected = _corrections(RATES).expected(read[:, None])
    rates = drawn_error_rates(1000 * RATES, 5, np.random.default_rng(0))
    for i in range(5):
        for j in range(2):
            np.testing.assert_allclose(expected[i, j], np.linalg.solve(rates[i].T, read[j]))


def test_drawn_rates_have_the_posterior_s_mean_and_spread(random: np.random.Generator) -> None:
    counts = np.array([[40, 10], [5, 45]])
    drawn = drawn_error_rates(counts, 20_000, random)
    np.testing.assert_allclose(drawn.sum(axis=-1), 1)
    mean = 40.5 / 51
    assert drawn[:, 0, 0].mean() == pytest.approx(mean, abs=0.002)
    assert drawn[:, 0, 0].var() == pytest.approx(mean * (1 - mean) / 52, rel=0.05)
    assert tells_apart(drawn) > 0.4
    assert tells_apart(drawn_error_rates(np.full((2, 2), 30), 2000, random)) < 0.1


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([[1, 2, 3]], "square of counts"),
        ([[1, -1], [0, 1]], "square of counts"),
        ([[1, 1], [0, 0]], "row 2 has no article"),
    ],
)
def test_bad_counts_are_refused(counts: list[list[int]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        error_rates(np.array(counts))


def test_em_maximises_the_likelihood(random: np.random.Generator) -> None:
    probabilities = random.dirichlet([1, 1, 1], 80)
    prior = np.array([0.5, 0.3, 0.2])
    found = saerens_shares(probabilities, prior, steps=20_000, tolerance=1e-12)
    likelihood = probabilities / prior

    def loss(x: np.ndarray) -> float:
        share = np.exp(x) / np.exp(x).sum()
        return -np.log(likelihood @ share).sum()

    best = optimize.minimize(loss, np.zeros(3), method="BFGS").fun
    assert -np.log(likelihood @ found).sum() == pytest.approx(best, abs=1e-4)


def test_em_under_weights_is_em_of_repeated_articles(random: np.random.Generator) -> None:
    probabilities = random.dirichlet([1, 1], 20)
    counts = random.integers(0, 3, 20)
    prior = np.array([0.5, 0.5])
    together = saerens_shares(probabilities, prior, counts[None].astype(float))
    repeated = saerens_shares(np.repeat(probabilities, counts, axis=0), prior)
    np.testing.assert_allclose(together[0], repeated, atol=1e-9)


def test_em_of_a_sure_classifier_counts() -> None:
    sure = np.eye(2)[[0, 0, 0, 1]]
    np.testing.assert_allclose(saerens_shares(sure, np.array([0.5, 0.5])), [0.75, 0.25])
    with pytest.raises(InputError, match="prior"):
        saerens_shares(sure, np.array([1.0, 0.0]))


def test_the_card_s_counts_are_put_into_the_order_of_the_labels() -> None:
    counts = [[30, 2], [5, 40]]
    held_out = {"labels": ["right", "left"], "confusion": counts}
    card = {"metric": "leaning", "held_out": {"articles": held_out, "sources": None}}
    found = instrument_confusion([{"metric": "quality"}, card], ("left", "right"))
    np.testing.assert_array_equal(found.counts, [[40, 5], [2, 30]])
    assert (found.part, found.problem) == ("articles", "")
    blind = {"labels": ["left", "right"], "confusion": [[20, 20], [19, 21]]}
    card["held_out"]["sources"] = blind
    found = instrument_confusion([card], ("left", "right"))
    assert found.part == "sources"
    assert "too little" in found.problem
    assert instrument_confusion([], ("left", "right")) is None
