"""An exact share of real articles in a training set of fixed size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.config.regimes import RealShareConfig
from biasloop.regimes.base import Regime, sample


class RealShare(Regime[RealShareConfig]):
    """As many articles as the real set has, of which ``share`` are real and the rest synthetic.

    Both parts are drawn afresh for every generation, without replacement (Bertrand et al. 2023,
    arXiv 2310.00429, mix the two in this way): unlike preservation, more real articles cost no
    more training.
    """

    def expected_size(self, generation: int, real: int, samples: int = 1) -> float:
        """Stay at the real set's size."""
        return float(real)

    def real_articles(self, generation: int, real: int, samples: int = 1) -> float:
        """Round the share to articles; one at least."""
        return float(max(1, round(self.config.share * real)) if generation else real)

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return the sample of the previous generation's articles, then the real one."""
        (articles,) = synthetic.values()
        fresh = int(self.real_articles(1, real.height))
        drawn = sample(articles, real.height - fresh, random)
        return pl.concat([drawn, sample(real, fresh, random)])
