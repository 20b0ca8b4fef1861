"""What every regime answers. Knows tables of articles, and models only to hand them on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import numpy as np
import polars as pl

from biasloop.config import AnyRegimeConfig, TrainingConfig
from biasloop.models.load import LoadedModel

Settings = TypeVar("Settings", bound=AnyRegimeConfig)


class Regime(Generic[Settings]):
    """How the training set of each generation is put together.

    Every regime trains Generation 0 on the real articles, so chains whose training settings agree
    share it.

    Attributes
    ----------
    changes_model
        Whether `change_model` does anything: where a regime has one of its own, unless it says no.
    kl
        What the divergence from the `anchor` weighs in the training loss.
    """

    changes_model: bool
    kl: float = 0.0

    def __init__(self, config: Settings) -> None:
        self.config = config
        self.changes_model = type(self).change_model is not Regime.change_model

    @property
    def anchor(self) -> str | None:
        """Name another model that it needs: ``base``, or ``generation_0`` of the same chain."""
        return None

    @property
    def unedited(self) -> int | None:
        """Name a generation whose model, as it would be unchanged, `change_model` needs, too."""
        return None

    def at(self, generation: int) -> Regime[Any]:
        """Return what trains a generation: another regime where this one has not begun, or ended.

        Models that it trains are that regime's, and are shared with it.
        """
        return self

    def reads(self, generation: int) -> tuple[int, ...]:
        """Say which generations' articles the training set of ``generation`` needs."""
        return (generation - 1,)

    def metrics(self) -> tuple[str, ...]:
        """Name the metrics whose readings it chooses articles by.

        In `training_set` the real articles and those of the generation before then have a column
        for each: ``leaning`` is the likeliest one, else the metric's value, null where there is
        none.
        """
        return self.config.metrics

    def settings(self) -> dict[str, Any]:
        """Name the settings, beside the kind, that decide a model: all that only its kind has.

        Of a file the content is named elsewhere.
        """
        own = {*type(self.config).model_fields} - {*AnyRegimeConfig.model_fields, "file"}
        return self.config.model_dump(mode="json", include=own)

    def part(self, generation: int) -> str:
        """Say which part of the corpus ``generation`` has its real articles from."""
        return "real"

    def read_input(self) -> Any:  # noqa: ANN401
        """Read and check the config's file, before anything is computed.

        Raises
        ------
        InputError
            If it is not what it has to be.
        """

    def change_model(
        self, trained: LoadedModel, others: Mapping[str, LoadedModel], real: pl.DataFrame, seed: int
    ) -> list[tuple[int, int, float]]:
        """Change a model that was just trained, in place, before it writes.

        Parameters
        ----------
        trained
            Of a generation after Generation 0.
        others
            The models that ``anchor`` and ``unedited`` name, by these names.
        real
            The real articles.
        seed
            Of what it draws; the chain's.

        Returns
        -------
        list
            Layer and place of each neuron that was edited, and how far: see `tables.EDITS`.
        """
        return []

    def check(self, corpus: pl.DataFrame) -> None:
        """Refuse a corpus (`tables.ARTICLES`, all parts) for which the settings make no sense."""

    def expected_size(self, generation: int, real: int, samples: int = 1) -> float:
        """Say how many articles ``generation`` trains on.

        Parameters
        ----------
        generation
            0 trains on the real articles.
        real
            How many real articles there are.
        samples
            How many articles a generation writes for each.
        """
        return float(real * samples if generation else real)

    def real_articles(self, generation: int, real: int, samples: int = 1) -> float:
        """Say how many articles of that training set are real, on average."""
        return 0.0 if generation else float(real)

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Put a training set together for a generation after Generation 0.

        Parameters
        ----------
        real
            The real articles of `part` (`tables.ARTICLES`).
        synthetic
            What the generations of `reads` wrote, by generation.
        random
            For regimes that sample; each generation has its own stream.

        Returns
        -------
        polars.DataFrame
            `tables.ARTICLES`, and the columns of `metrics`; ``weight``, of mean 1, where articles
            count for more or less in the loss.
        """
        raise NotImplementedError

    def training(self, training: TrainingConfig) -> TrainingConfig:
        """Return the training settings, with what the regime changes of them."""
        changes = {
            key: value
            for key in ("epochs", "weight_decay")
            if (value := getattr(self.config, key)) is not None
        }
        return training.model_copy(update=changes)


def sample(articles: pl.DataFrame, size: int, random: np.random.Generator) -> pl.DataFrame:
    """Draw ``size`` articles without replacement, kept in their order."""
    rows = np.sort(random.choice(articles.height, size=size, replace=False))
    return articles[rows.tolist()]
