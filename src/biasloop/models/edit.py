"""Change single neurons of a model: which, their weights, or what they put out.

To *restore* a neuron is to give it the weights and bias that feed it in another model. To
*mean-ablate* it is to replace its activation by a constant, its mean over real text.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from biasloop.errors import InputError, StoreError, nearest
from biasloop.models.sites import FeedForward, reading
from biasloop.tables import ASSOCIATIONS, read_table

if TYPE_CHECKING:
    import torch

#: Layer -> the places of units in it, sorted.
Units = Mapping[int, np.ndarray]

#: Layer -> a value for each of its units, all of them.
Means = Mapping[int, np.ndarray]


def read_associations(path: Path) -> pl.DataFrame:
    """Read a table of associations of one site and quantity.

    Raises
    ------
    InputError
        If it is not there, is no such table, or is of several sites or quantities.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; 'biasloop neurons RUN' writes it")
    try:
        table = read_table(path, ASSOCIATIONS)
    except StoreError as error:  # a file that a user names
        raise InputError(f"{error}; 'biasloop neurons RUN' writes such a table") from error
    if table.select("site", "quantity").n_unique() != 1:
        raise InputError(f"{path}: has associations of more than one site or quantity, or none")
    return table


def strongest(associations: pl.DataFrame, metric: str, top: int) -> Units:
    """Take the neurons that go most clearly with a metric.

    Parameters
    ----------
    associations
        `tables.ASSOCIATIONS`, of one site and quantity.
    metric
        Which rows.
    top
        How many: those of the smallest p-values, of equal ones the larger correlations.

    Raises
    ------
    InputError
        If the metric is not in the table, or it has fewer neurons with a p-value.
    """
    known = associations["metric"].unique().sort().to_list()
    if metric not in known:
        raise InputError(
            f"the associations have no metric '{metric}'; {nearest(metric, known)} "
            "('biasloop neurons RUN --metric ...' makes them)"
        )
    if top < 1:
        raise InputError(f"--top {top}: at least one neuron")
    rows = associations.filter(pl.col("metric") == metric, pl.col("pvalue").is_not_nan())
    if rows.height < top:
        raise InputError(f"--top {top}: only {rows.height} neurons have a p-value with {metric}")
    best = (
        rows.with_columns(pl.col("pearson").abs().alias("size"))
        .sort("pvalue", "size", "layer", "neuron", descending=[False, True, False, False])
        .head(top)
    )
    return {
        layer: np.sort(own["neuron"].to_numpy())
        for (layer,), own in best.sort("layer").group_by("layer", maintain_order=True)
    }


def of_same_layers(units: Units, sizes: Mapping[int, int], random: np.random.Generator) -> Units:
    """Draw as many neurons of each layer.

    Parameters
    ----------
    units
        What to match.
    sizes
        Layer -> how many units it has; each is as likely, those of ``units`` too, so that under
        the hypothesis that ``units`` are nothing special all draws are alike.
    random
        Their source.
    """
    return {
        layer: np.sort(random.choice(sizes[layer], size=len(own), replace=False))
        for layer, own in units.items()
    }


#: A random neuron is drawn from so many of the nearest in size that are left.
_NEAREST = 5


def of_same_sizes(
    units: Units, sizes: Mapping[int, np.ndarray], random: np.random.Generator
) -> Units:
    """Draw for every neuron another of its layer, none of ``units``, about as large.

    Parameters
    ----------
    units
        What to match, in a random order: each gets one of the `_NEAREST` in the logarithm of
        their sizes that are still left.
    sizes
        Layer -> how far an edit would move each unit, shape (units,).
    random
        Their source.

    Raises
    ------
    InputError
        If a layer has fewer others than are to be matched.
    """
    drawn = {}
    for layer, own in units.items():
        left = np.setdiff1d(np.arange(len(sizes[layer])), own)
        if len(left) < len(own):
            raise InputError(
                f"layer {layer} has {len(sizes[layer])} neurons, and {len(own)} of them are "
                f"edited: there are not as many others to draw from; edit fewer with 'top'"
            )
        size, taken = np.log(np.maximum(sizes[layer], 1e-30)), []
        for unit in random.permutation(own):
            near = left[np.argsort(np.abs(size[left] - size[unit]), kind="stable")[:_NEAREST]]
            taken.append(random.choice(near))
            left = left[left != taken[-1]]
        drawn[layer] = np.sort(np.array(taken))
    return drawn


def distances(
    blocks: Sequence[FeedForward], reference: Sequence[FeedForward], site: str
) -> dict[int, np.ndarray]:
    """Say how far the weights and bias that feed each unit are from those of another model.

    Returns
    -------
    dict
        Layer -> the Euclidean distance, shape (units,).
    """
    units = {block.layer: np.arange(block.units(site)) for block in blocks}
    squares = {layer: np.zeros(len(own)) for layer, own in units.items()}
    for block, other in zip(blocks, reference, strict=True):
        here = _fed_by([block], site, units)
        for (view, _), (before, _) in zip(here, _fed_by([other], site, units), strict=True):
            moved = (view - before.to(view)).double().square().reshape(len(view), -1).sum(1)
            squares[block.layer] += moved.cpu().numpy()
    return {layer: np.sqrt(own) for layer, own in squares.items()}


def _fed_by(
    blocks: Sequence[FeedForward], site: str, units: Units
) -> list[tuple[torch.Tensor, np.ndarray]]:
    """View every parameter that feeds the units, with their places in it."""
    return [
        (row.units(block.units(site)), units[block.layer])
        for block in blocks
        if block.layer in units
        for row in (*block.weights(site), *block.biases(site))
    ]


@dataclass(frozen=True)
class Restoration:
    """Give neurons the weights and biases that feed them in another model, ``reference``.

    Both ways to edit have ``during``, for as long as a context lasts, and ``for_good``, which
    changes the weights in place. They take the feed-forward parts of the model to change, the site
    (`models.sites.SITES`), and which neurons.
    """

    reference: Sequence[FeedForward]

    @contextmanager
    def during(self, blocks: Sequence[FeedForward], site: str, units: Units) -> Generator[None]:
        """Edit for as long as the context lasts."""
        before = _fed_by(blocks, site, units)
        kept = [(view, index, view[index].clone()) for view, index in before]
        try:
            self.for_good(blocks, site, units)
            yield
        finally:
            for view, index, values in kept:
                view[index] = values

    def for_good(self, blocks: Sequence[FeedForward], site: str, units: Units) -> None:
        """Edit the weights, in place.

        Raises
        ------
        InputError
            If the two models are not of one architecture.
        """
        here, there = ([(x.layer, x.units(site)) for x in of] for of in (blocks, self.reference))
        if here != there:
            raise InputError("neurons can be restored only from a model of the same architecture")
        ours, theirs = _fed_by(blocks, site, units), _fed_by(self.reference, site, units)
        for (view, index), (other, _) in zip(ours, theirs, strict=True):
            view[index] = other[index].to(view.dtype)


@dataclass(frozen=True)
class MeanAblation:
    """Hold neurons at ``means``, whatever the model reads: of every unit of the layers edited."""

    means: Means

    @contextmanager
    def during(self, blocks: Sequence[FeedForward], site: str, units: Units) -> Generator[None]:
        """See `Restoration`."""
        import torch

        def hold(layer: int, values: torch.Tensor) -> torch.Tensor:
            held = values.clone()
            constant = torch.as_tensor(self.means[layer][units[layer]])
            held[..., units[layer]] = constant.to(device=values.device, dtype=values.dtype)
            return held

        with reading([block for block in blocks if block.layer in units], site, hold):
            yield

    def for_good(self, blocks: Sequence[FeedForward], site: str, units: Units) -> None:
        """Edit the weights, in place; the model needs no hook afterwards.

        An ``mlp_out`` unit loses its weights and gets its mean as bias; what an ``mlp_hidden`` unit
        contributes at its mean moves into the biases of the projection that reads it.

        Raises
        ------
        InputError
            If that projection has no bias to hold a constant, as in Llama.
        """
        import torch

        for block in blocks:
            if block.layer not in units:
                continue
            biases = block.biases("mlp_out")
            if not biases:
                raise InputError(
                    "this architecture's feed-forward blocks have no bias that could hold the "
                    "means, so a mean-ablated model cannot be written; --intervention restore can"
                )
            size = block.units("mlp_out")
            [last_weights], [last_biases] = block.weights("mlp_out"), biases
            weight, bias = last_weights.units(size), last_biases.units(size)
            index = torch.as_tensor(units[block.layer])
            constant = torch.as_tensor(self.means[block.layer])[index].to(bias.dtype)
            if site == "mlp_out":
                weight[index] = 0
                bias[index] = constant
            else:
                bias += weight[:, index] @ constant
                weight[:, index] = 0


#: A way to edit neurons of a model, for a while or for good.
Intervention = Restoration | MeanAblation
