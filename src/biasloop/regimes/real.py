"""Train on real articles, generation after generation: the loop without its own output."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.config.regimes import RealConfig
from biasloop.corpus.split import fresh_part
from biasloop.regimes.base import Regime


class Real(Regime[RealConfig]):
    """Real articles, as many as Generation 0 has: the same ones, or with ``fresh`` others."""

    def reads(self, generation: int) -> tuple[int, ...]:
        """Need no generation's articles."""
        return ()

    def part(self, generation: int) -> str:
        """Take fresh articles from the generation's own part."""
        return fresh_part(generation) if self.config.fresh else "real"

    def expected_size(self, generation: int, real: int, samples: int = 1) -> float:
        """Stay at the real set's size."""
        return float(real)

    def real_articles(self, generation: int, real: int, samples: int = 1) -> float:
        """Count all."""
        return float(real)

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return the real articles."""
        return real
