"""Fixtures of the analysis tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(20240817)


@pytest.fixture
def get() -> Callable[..., dict]:
    """Fetch the one row of a quantity."""

    def fetch(summary: pl.DataFrame, quantity: str, regime: str, generation: int, seed=None):
        rows = summary.filter(
            (pl.col("quantity") == quantity)
            & (pl.col("regime") == regime)
            & (pl.col("generation") == generation)
            & pl.col("seed").eq_missing(seed)
        )
        assert rows.height == 1, (quantity, regime, generation, seed, rows.height)
        return rows.row(0, named=True)

    return fetch
