"""Leave out those of the previous generation's articles that surprise the base model least."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.config.regimes import SurpriseConfig
from biasloop.regimes.base import Regime


class Surprise(Regime[SurpriseConfig]):
    """Leave out the articles that surprise the base model least.

    Gambetta et al. 2024 (arXiv 2410.12341) train on the documents of the highest perplexity; here
    ``drop`` says how large a part, of the lowest, is left out. An article without a perplexity
    goes first.
    """

    def expected_size(self, generation: int, real: int, samples: int = 1) -> float:
        """Count those that stay; one at least."""
        if not generation:
            return float(real)
        return float(self._kept(real * samples))

    def _kept(self, written: int) -> int:
        return max(1, written - int(self.config.drop * written))

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return the others, in order; of equal perplexities the first stay."""
        (articles,) = synthetic.values()
        surprise = articles["perplexity"].fill_null(-np.inf).to_numpy()
        kept = np.sort(np.argsort(-surprise, kind="stable")[: self._kept(articles.height)])
        return articles[kept.tolist()]
