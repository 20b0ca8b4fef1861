"""Keep every earlier set, and train on a sample of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.regimes.accumulation import Accumulation
from biasloop.regimes.base import sample


class AccumulateSubsample(Accumulation):
    """As accumulation, with a sample of it of the real set's size: a constant training cost."""

    def expected_size(self, generation: int, real: int, samples: int = 1) -> float:
        """Stay at the real set's size."""
        return float(real)

    def real_articles(self, generation: int, real: int, samples: int = 1) -> float:
        """Expect their part of everything so far."""
        return real / (1 + generation * samples)

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return a fresh sample of everything so far."""
        everything = super().training_set(real, synthetic, random)
        return sample(everything, real.height, random)
