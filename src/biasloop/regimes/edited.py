"""Edit the neurons of every trained model. Knows a table of neurons and models, no articles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from biasloop.config.regimes import EditedConfig, SyntheticConfig
from biasloop.errors import InputError
from biasloop.models.edit import (
    Intervention,
    MeanAblation,
    Restoration,
    Units,
    distances,
    of_same_sizes,
    read_associations,
    strongest,
)
from biasloop.models.load import LoadedModel
from biasloop.models.sites import feed_forwards
from biasloop.regimes.base import Regime
from biasloop.regimes.synthetic import OwnText, Synthetic
from biasloop.seeds import generator

#: What is read of each real article for a neuron's mean activation, and at once.
_TOKENS, _BATCH = 512, 8


class Edited(OwnText[EditedConfig]):
    """The edit of `biasloop export`, made at every generation from ``first`` to ``last``.

    Wang et al. 2024 (arXiv 2410.15234) find such neurons; that editing them over and
    over holds bias is this project's question. The edited model writes, and the next generation
    starts from it. With a ``draw`` random neurons are edited: the control, drawn for every chain
    anew, the same in all its generations. They match the others in how far they have moved at the
    first edit, since neurons that hardly move are no fair control.
    """

    @property
    def anchor(self) -> str | None:
        """Restore from Generation 0; a mean needs no other model."""
        return "generation_0" if self.config.intervention == "restore" else None

    @property
    def unedited(self) -> int | None:
        """The first edit's generation, by which random neurons are matched."""
        return None if self.config.draw is None else self.config.first

    def at(self, generation: int) -> Regime[Any]:
        """Return a regime of its own text alone before the first edit, and after the last."""
        own = self.config
        if own.first <= generation <= (generation if own.last is None else own.last):
            return self
        shared = own.model_dump(include={"epochs", "weight_decay"})
        return Synthetic(
            SyntheticConfig.model_validate({"kind": "synthetic", "name": own.label} | shared)
        )

    def settings(self) -> dict[str, Any]:
        """Leave out when it edits, which its models' inputs say, and what is not drawn."""
        own = super().settings()
        unsaid = {"first", "last"} | ({"draw"} if own["draw"] is None else set())
        return {name: value for name, value in own.items() if name not in unsaid}

    def read_input(self) -> tuple[str, Units]:
        """Read the site, and the neurons to edit.

        Raises
        ------
        InputError
            If the file is no table of associations, or has no such neurons.
        """
        table = read_associations(Path(self.config.file))
        metric = self.config.metric
        if metric is None:
            found = table["metric"].unique().sort().to_list()
            leanings = [name for name in found if name.startswith("leaning:")]
            if len(leanings) != 1:
                raise InputError(
                    f"regime '{self.config.label}': metric: name one of those that "
                    f"{self.config.file} has: {', '.join(found)}"
                )
            metric = leanings[0]
        return str(table["site"][0]), strongest(table, metric, self.config.top)

    def change_model(
        self, trained: LoadedModel, others: Mapping[str, LoadedModel], real: pl.DataFrame, seed: int
    ) -> list[tuple[int, int, float]]:
        """Edit the neurons, in place."""
        site, units = self.read_input()
        blocks = feed_forwards(trained.model)
        counts = {block.layer: block.units(site) for block in blocks}
        for layer, own in units.items():
            if own.max() >= counts.get(layer, 0):
                raise InputError(
                    f"regime '{self.config.label}': {self.config.file} has neuron {own.max()} of "
                    f"layer {layer}, and the model has no such one: it is of another model"
                )
        anchor = others.get("anchor")
        if "unedited" in others:
            by, _ = _sizes(others["unedited"], anchor, real, site)
            units = of_same_sizes(units, by, generator(seed, "draw", self.config.draw or 0))
        sizes, how = _sizes(trained, anchor, real, site)
        how.for_good(blocks, site, units)
        return [
            (layer, int(unit), float(sizes[layer][unit]))
            for layer, own in units.items()
            for unit in own
        ]


def _sizes(
    trained: LoadedModel, anchor: LoadedModel | None, real: pl.DataFrame, site: str
) -> tuple[dict[int, np.ndarray], Intervention]:
    """Say how far an edit moves each unit of a model, and what edits it; see `tables.EDITS`."""
    from biasloop.stages.neurons import summarise_neurons

    if anchor is not None:
        reference = feed_forwards(anchor.model)
        return distances(feed_forwards(trained.model), reference, site), Restoration(reference)
    table = summarise_neurons(trained, real, (site,), _TOKENS, _BATCH).sort("layer", "neuron")
    mean, variance = (
        {
            layer: own["value"].to_numpy()
            for (layer,), own in table.filter(quantity=f"activation_{name}").group_by(
                "layer", maintain_order=True
            )
        }
        for name in ("mean", "variance")
    )
    return {layer: np.sqrt(own) for layer, own in variance.items()}, MeanAblation(mean)
