"""Keep those of the previous generation's articles that a verifier accepts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from biasloop.config.regimes import VerifiedConfig
from biasloop.errors import InputError
from biasloop.regimes.base import Regime


class Verified(Regime[VerifiedConfig]):
    """Keep the articles that a verifier accepts (Feng et al. 2024, arXiv 2406.07515)."""

    def settings(self) -> dict[str, Any]:
        """Name the bounds that are set."""
        return {name: value for name, value in super().settings().items() if value is not None}

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return those of at least that quality and within that band of perplexity.

        Raises
        ------
        InputError
            If none is accepted.
        """
        (articles,) = synthetic.values()
        accepted = pl.lit(True)
        if self.config.quality is not None:
            accepted &= pl.col("quality") >= self.config.quality
        if self.config.perplexity is not None:
            accepted &= pl.col("perplexity").is_between(*self.config.perplexity)
        kept = articles.filter(accepted)
        if not kept.height:
            found = ", ".join(
                f"{name} {articles[name].min()} to {articles[name].max()}"
                for name in self.metrics()
            )
            raise InputError(
                f"regime '{self.config.label}': of the {articles.height} articles of the "
                f"generation before none is accepted ({found}): widen its bounds. What is "
                "finished is kept"
            )
        return kept
