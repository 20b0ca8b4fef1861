"""Add a fresh sample of real articles to every generation's training set."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.config.regimes import PreservationConfig
from biasloop.regimes.base import Regime, sample


class Preservation(Regime[PreservationConfig]):
    """The previous generation's articles and a fresh ``fraction`` of the real ones."""

    def _fresh(self, real: int) -> int:
        # The paper's 10 % of 1,518 is 152: rounded, and never none.
        return max(1, round(self.config.fraction * real))

    def expected_size(self, generation: int, real: int, samples: int = 1) -> float:
        """Count the real sample, too."""
        return float(real * samples + self._fresh(real) if generation else real)

    def real_articles(self, generation: int, real: int, samples: int = 1) -> float:
        """Count the fresh ones."""
        return float(self._fresh(real) if generation else real)

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return the previous generation's articles, then the fresh sample."""
        (articles,) = synthetic.values()
        return pl.concat([articles, sample(real, self._fresh(real.height), random)])
