"""Train on what the generation before wrote, and on nothing else (the field's `replace`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.config import AnyRegimeConfig
from biasloop.regimes.base import Regime, Settings


class OwnText(Regime[Settings]):
    """Whatever trains on all of the previous generation's articles, and on nothing else."""

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return the previous generation's articles."""
        (articles,) = synthetic.values()
        return articles


class Synthetic(OwnText[AnyRegimeConfig]):
    """The previous generation's articles (arXiv 2410.15234, section 4.1)."""
