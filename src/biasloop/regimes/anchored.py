"""Hold every trained model to another one. Knows models, no articles."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from biasloop.config.regimes import AnchoredConfig
from biasloop.models.load import LoadedModel
from biasloop.regimes.synthetic import OwnText


class Anchored(OwnText[AnchoredConfig]):
    """Penalise the divergence from an anchor, mix its weights in, or both.

    The penalty is the mean over predicted tokens of KL(anchor || model), as in learning without
    forgetting (Li and Hoiem 2016, arXiv 1606.09282); mixing is the interpolation of Wortsman et
    al. 2022 (arXiv 2109.01903), after training.
    """

    def __init__(self, config: AnchoredConfig) -> None:
        super().__init__(config)
        self.kl, self.changes_model = config.kl, config.interpolate > 0

    @property
    def anchor(self) -> str | None:
        """Name the anchor."""
        return self.config.to

    def change_model(
        self, trained: LoadedModel, others: Mapping[str, LoadedModel], real: pl.DataFrame, seed: int
    ) -> list[tuple[int, int, float]]:
        """Mix the anchor's weights in, in place."""
        weights = dict(others["anchor"].model.named_parameters())
        for name, parameter in trained.model.named_parameters():
            parameter.data.lerp_(weights[name].data, self.config.interpolate)
        return []
