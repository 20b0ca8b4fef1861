"""Train on what the generation before wrote, and on nothing else (the field's `replace`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.config import AnyRegimeConfig
from biasloop.regimes.base import Regime


class Synthetic(Regime[AnyRegimeConfig]):
    """The previous generation's articles (arXiv 2410.15234, section 4.1)."""

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return the previous generation's articles."""
        (articles,) = synthetic.values()
        return articles


class Overfitting(Synthetic):
    """As synthetic, trained far longer and without weight decay (section 4.4).

    The config's defaults for this kind are the paper's 25 epochs and no weight decay.
    """
