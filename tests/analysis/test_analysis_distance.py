from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop.analysis.inference import debiased_distance, total_variation


@st.composite
def distributions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    size = draw(st.integers(2, 6))
    counts = st.lists(st.integers(0, 50), min_size=size, max_size=size).filter(any)
    left, right = (np.array(draw(counts), dtype=float) for _ in range(2))
    return left / left.sum(), right / right.sum()


@given(distributions())
def test_total_variation_is_the_largest_difference_of_an_event(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    left, right = pair
    events = ((np.arange(2 ** len(left))[:, None] >> np.arange(len(left))) & 1).astype(bool)
    largest = max(abs(left[event].sum() - right[event].sum()) for event in events)
    assert total_variation(left, right) == pytest.approx(largest, abs=1e-12)
    without_noise = debiased_distance(left - right, np.zeros((len(left), len(left))), 50)
    assert without_noise == pytest.approx((largest, largest, largest), abs=1e-9)


def test_extremes_and_broadcasting() -> None:
    corners = np.eye(3)
    assert total_variation(corners[:, None], corners[None]) == pytest.approx(1 - np.eye(3))


def test_of_two_leanings_it_is_the_shares_interval_folded_at_0() -> None:
    for difference, low in ((0.1, 0.1 - 1.984 * 0.03), (0.02, 0.0)):
        covariance = 0.03**2 * np.array([[1.0, -1.0], [-1.0, 1.0]])
        value, below, above = debiased_distance(
            np.array([difference, -difference]), covariance, 100
        )
        assert below == pytest.approx(low, abs=1e-4)
        assert above == pytest.approx(difference + 1.984 * 0.03, abs=1e-4)
        assert value == pytest.approx(np.sqrt(max(difference**2 - 0.03**2, 0)))


@pytest.mark.parametrize("labels", [2, 3, 5])
@pytest.mark.parametrize("away", [0.0, 0.05])
def test_its_interval_covers_and_none_is_nearer_to_none(
    random: np.random.Generator, labels: int, away: float
) -> None:
    """At a true distance of 0, too, where the plain figure is never 0."""
    real = np.full(labels, 1 / labels)
    shares = real.copy()
    shares[0] += away
    shares[1] -= away
    n, covered, errors = 300, 0, []
    for _ in range(400):
        counts = random.multinomial(n, shares) / n
        covariance = (np.diag(counts) - np.outer(counts, counts)) / (n - 1)
        value, low, high = debiased_distance(counts - real, covariance, n - 1)
        covered += low <= away + 1e-12 and away - 1e-12 <= high
        errors.append((value - away, total_variation(counts, real) - away))
    assert covered / 400 > 0.92  # of 0.95, and chance
    ours, plain = np.abs(np.mean(errors, axis=0))
    assert ours < plain or away
