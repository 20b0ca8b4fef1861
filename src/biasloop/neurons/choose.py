"""Which neurons to edit: the most strongly associated, or as many others by chance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.errors import InputError, nearest

#: Layer -> the places of units in it, sorted.
Units = Mapping[int, np.ndarray]


def strongest(associations: pl.DataFrame, metric: str, top: int) -> Units:
    """Take the neurons that go most clearly with a metric.

    Parameters
    ----------
    associations
        `associate.ASSOCIATIONS`, of one site and quantity.
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


def count(units: Units) -> int:
    """Count units over layers."""
    return sum(len(own) for own in units.values())
