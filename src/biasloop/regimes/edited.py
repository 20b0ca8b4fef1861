"""Edit the neurons of every trained model. Knows a table of neurons and models, no articles."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from biasloop.config.regimes import EditedConfig
from biasloop.errors import InputError
from biasloop.models import LoadedModel
from biasloop.models.edit import (
    Intervention,
    MeanAblation,
    Restoration,
    Units,
    read_associations,
    strongest,
)
from biasloop.models.sites import feed_forwards
from biasloop.regimes.synthetic import OwnText

#: What is read of each real article for a neuron's mean activation, and at once.
_TOKENS, _BATCH = 512, 8


class Edited(OwnText[EditedConfig]):
    """The edit of `biasloop export`, made at every generation after Generation 0.

    Wang et al. 2024 (arXiv 2410.15234) find such neurons; that editing them over and
    over holds bias is this project's question. The edited model writes, and the next generation
    starts from it.
    """

    @property
    def anchor(self) -> str | None:
        """Restore from Generation 0; a mean needs no other model."""
        return "generation_0" if self.config.intervention == "restore" else None

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
        self, trained: LoadedModel, anchor: LoadedModel | None, real: pl.DataFrame
    ) -> None:
        """Edit the neurons, in place."""
        from biasloop.stages.neurons import summarise_neurons

        site, units = self.read_input()
        blocks = feed_forwards(trained.model)
        sizes = {block.layer: block.units(site) for block in blocks}
        for layer, own in units.items():
            if own.max() >= sizes.get(layer, 0):
                raise InputError(
                    f"regime '{self.config.label}': {self.config.file} has neuron {own.max()} of "
                    f"layer {layer}, and the model has no such one: it is of another model"
                )
        how: Intervention
        if anchor is not None:
            how = Restoration(feed_forwards(anchor.model))
        else:
            table = summarise_neurons(trained, real, (site,), _TOKENS, _BATCH)
            table = table.filter(quantity="activation_mean").sort("layer", "neuron")
            parts = table.partition_by("layer", as_dict=True, maintain_order=True)
            how = MeanAblation({layer: own["value"].to_numpy() for (layer,), own in parts.items()})
        how.for_good(blocks, site, units)
