"""Keep every earlier set, the real one included."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.config import AnyRegimeConfig
from biasloop.regimes.base import Regime


class Accumulation(Regime[AnyRegimeConfig]):
    """The real articles and those of every earlier generation."""

    def reads(self, generation: int) -> tuple[int, ...]:
        """Need all earlier generations."""
        return tuple(range(generation))

    def expected_size(self, generation: int, real: int, samples: int = 1) -> float:
        """Grow by one set per generation."""
        return float(real * (1 + generation * samples))

    def real_articles(self, generation: int, real: int, samples: int = 1) -> float:
        """Count all of them."""
        return float(real)

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return the real articles, then each generation's, oldest first."""
        return pl.concat([real, *(synthetic[g] for g in sorted(synthetic))])
