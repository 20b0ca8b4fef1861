"""Resample the previous generation's articles by a detector of generated text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.config.regimes import DetectorConfig
from biasloop.regimes.base import Regime

#: No detector is taken to be surer than this, so that no article has all the weight.
_SUREST = 0.99


class Detector(Regime[DetectorConfig]):
    """Resample the articles by a detector of generated text.

    Drayson, Yilmaz and Lampos 2025 (arXiv 2502.15654) resample a mixture of human and generated
    text; here every article is generated, and the odds that it is human text, by a detector whose
    classes weigh the same, are the density ratio of real to generated text as the detector sees
    it. The set keeps its size; a weight is the odds to the power of ``strength``. Resampling is
    systematic (Kitagawa 1996): an article of weight w among n of mean weight 1 is there floor(w)
    or ceil(w) times, so equal weights leave the set as it is.
    """

    def metrics(self) -> tuple[str, ...]:
        """Read the detector, which is no metric of the config."""
        return ("human",)

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return the resampled articles, in order."""
        (articles,) = synthetic.values()
        human = np.clip(articles["human"].to_numpy(), 1 - _SUREST, _SUREST)
        weights = (human / (1 - human)) ** self.config.strength
        ends = np.cumsum(weights) / weights.sum() * articles.height
        marks = random.random() + np.arange(articles.height)
        rows = np.minimum(np.searchsorted(ends, marks, side="right"), articles.height - 1)
        return articles[rows.tolist()]
