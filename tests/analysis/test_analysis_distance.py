from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from biasloop.analysis import jensen_shannon, total_variation


@st.composite
def distributions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    size = draw(st.integers(2, 6))
    counts = st.lists(st.integers(0, 50), min_size=size, max_size=size).filter(any)
    left, right = (np.array(draw(counts), dtype=float) for _ in range(2))
    return left / left.sum(), right / right.sum()


@given(distributions())
def test_distances_equal_scipy_and_brute_force(pair: tuple[np.ndarray, np.ndarray]) -> None:
    left, right = pair
    # The largest difference in probability over all events.
    events = ((np.arange(2 ** len(left))[:, None] >> np.arange(len(left))) & 1).astype(bool)
    largest = max(abs(left[event].sum() - right[event].sum()) for event in events)
    assert total_variation(left, right) == pytest.approx(largest, abs=1e-12)
    assert jensen_shannon(left, right) == pytest.approx(
        np.nan_to_num(jensenshannon(left, right, base=2)), abs=1e-7
    )


@given(distributions())
def test_distances_are_symmetric_and_within_one(pair: tuple[np.ndarray, np.ndarray]) -> None:
    for distance in (total_variation, jensen_shannon):
        there, back = distance(*pair), distance(*pair[::-1])
        assert there == pytest.approx(back, abs=1e-7)
        assert -1e-12 <= there <= 1 + 1e-12


def test_extremes_and_broadcasting() -> None:
    corners = np.eye(3)
    for distance in (total_variation, jensen_shannon):
        assert distance(corners[:, None], corners[None]) == pytest.approx(1 - np.eye(3))
    assert np.isnan(jensen_shannon(np.array([np.nan, 0.5]), np.array([0.5, 0.5])))
