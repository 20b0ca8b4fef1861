"""The authors' neuron tables as our associations, and what is left of them after corrections.

Knows tables of neurons, no score.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from biasloop.errors import InputError
from biasloop.neurons import (
    ASSOCIATIONS,
    LEVEL,
    Counts,
    Overlap,
    benjamini_hochberg,
    count_significant,
    full_quantity,
    overlap,
)
from biasloop.published.released_file import CORRELATION, NEURON, REGRESSION, CsvFile
from biasloop.tables import conform

#: Where the authors read their neurons.
SITE = "mlp_out"
#: The figures of a regression table and of a correlation table, as our columns.
REGRESSED = ("coef", "pvalue")
CORRELATED = ("pearson",)
_KEY = ["quantity", "metric", "layer", "neuron"]
#: Below so many neurons a rank correlation says nothing.
_FEWEST = 3
#: With Newey-West errors and 66 versions the rank correlation was 0.97 to 0.99 where both tables
#: were made of the same figures.
_LOWEST_RANK = 0.9


@dataclass(frozen=True)
class NeuronTable:
    """One file: ``quantity, metric, layer, neuron`` as they number them, and its figures."""

    file: CsvFile
    quantity: str
    metric: str
    frame: pl.DataFrame


def read_neuron_table(file: CsvFile) -> NeuronTable:
    """Read one neuron table.

    Raises
    ------
    InputError
        If a column is missing, a cell is bad, or a neuron stands twice.
    """
    for column in NEURON:
        file.require(column)
    if CORRELATION not in file.columns:
        file.require(REGRESSION[1])
    layer, neuron = file.whole_numbers("layer"), file.whole_numbers("neuron_id")
    file.refuse_twice(
        zip(layer.tolist(), neuron.tolist(), strict=True),
        "neuron_id",
        lambda layer, neuron: f"neuron {neuron} of layer {layer}",
    )
    figures: dict[str, np.ndarray] = {}
    if CORRELATION in file.columns:
        figures["pearson"] = file.numbers(CORRELATION, -1, 1)
    if REGRESSION[1] in file.columns:
        figures["pvalue"] = file.numbers(REGRESSION[1], 0, 1)
    if REGRESSION[0] in file.columns:
        figures["coef"] = file.numbers(REGRESSION[0])
    named, metric = _names(file.path.stem)
    quantity = full_quantity(named)
    frame = pl.DataFrame({"layer": layer, "neuron": neuron, **figures})
    frame = frame.with_columns(quantity=pl.lit(quantity), metric=pl.lit(metric))
    return NeuronTable(file, quantity, metric, frame)


_NEURON_NAME = re.compile(r"\bneuron[\s_]+(\w+?)[\s_]+and[\s_]+(.+)$", re.IGNORECASE)
_SAID_ANYWAY = ("performance", "generation", "text", "index")


def _names(stem: str) -> tuple[str, str]:
    """Take quantity and metric from a neuron table's name.

    ``... Between Neuron Weight and Bias Performance`` -> ``weight``, ``bias``. A name that is not
    built so is itself the metric, of the quantity ``unnamed``.
    """
    match = _NEURON_NAME.search(stem)
    if match is None:
        return "unnamed", stem.lower()
    words = [word for word in re.split(r"[\s_]+", match[2].lower()) if word]
    metric = " ".join(word for word in words if word not in _SAID_ANYWAY)
    return match[1].lower(), metric or match[2].lower()


def associations(tables: Sequence[NeuronTable], figures: Sequence[str]) -> pl.DataFrame:
    """Put neuron tables together as `neurons.ASSOCIATIONS`.

    Layers and neurons that are numbered from 1 are numbered from 0. ``qvalue`` is Benjamini and
    Hochberg's over all neurons of a metric; what no file holds is null.

    Parameters
    ----------
    tables
        As read.
    figures
        Which columns to take: `REGRESSED` or `CORRELATED`. The released tables of the two
        contradict each other (`contradictions`), so no row is to hold figures of both.

    Raises
    ------
    InputError
        If two files hold the same figures of the same metric.
    """
    held: dict[tuple[str, str, str], CsvFile] = {}
    merged: pl.DataFrame | None = None
    for figure in figures:
        of_figure = [table for table in tables if figure in table.frame.columns]
        for table in of_figure:
            before = held.setdefault((table.quantity, table.metric, figure), table.file)
            if before is not table.file:
                raise InputError(
                    f"{table.file.path}: holds the {figure} of {table.quantity} and "
                    f"{table.metric}, as {before.path.name} does: keep one of them"
                )
        if of_figure:
            found = pl.concat([table.frame.select(*_KEY, figure) for table in of_figure])
            merged = (
                found
                if merged is None
                else merged.join(found, on=_KEY, how="full", coalesce=True, nulls_equal=True)
            )
    if merged is None:
        return pl.DataFrame(schema=ASSOCIATIONS)
    absent = ASSOCIATIONS.keys() - set(merged.columns)
    shifts = [pl.col(name) - int(merged[name].min() == 1) for name in ("layer", "neuron")]
    whole = merged.with_columns(*shifts, *(pl.lit(None).alias(name) for name in absent))
    whole = whole.with_columns(site=pl.lit(SITE)).sort(_KEY)
    corrected = [
        part.with_columns(qvalue=pl.Series(benjamini_hochberg(_pvalues(part))).fill_nan(None))
        for part in whole.partition_by("quantity", "metric", maintain_order=True)
    ]
    return conform(pl.concat(corrected), ASSOCIATIONS)


def contradictions(regressed: pl.DataFrame, correlated: pl.DataFrame) -> tuple[str, ...]:
    """Say how far slopes and correlations of the same neurons can be of the same figures.

    In a regression on one regressor the slope has the sign of the correlation, and the larger the
    correlation the smaller, nearly, its p-value.

    Parameters
    ----------
    regressed, correlated
        As from `associations`, of `REGRESSED` and of `CORRELATED`.
    """
    from scipy.stats import spearmanr

    notes = []
    both = regressed.drop("pearson").join(correlated.select(*_KEY, "pearson"), on=_KEY)
    both = both.drop_nulls(["pearson", "coef", "pvalue"]).sort(_KEY)
    for (quantity, metric), rows in both.group_by("quantity", "metric", maintain_order=True):
        if rows.height < _FEWEST:
            continue
        differ = int((rows["pearson"] * rows["coef"] < 0).sum())
        rank = float(spearmanr(rows["pearson"].abs(), -rows["pvalue"]).statistic)
        told = (
            f"Neuron tables of {quantity} and {metric}: {differ:,} of {rows.height:,} slopes have "
            "another sign than the correlation, and the rank correlation of |r| with significance "
            f"is {round(rank, 2) + 0.0:.2f}."
        )
        if differ or rank < _LOWEST_RANK:
            told += (
                " In a regression on one regressor no sign differs and it is near 1: the p-values "
                "do not come from regressing the figures that these correlations are of, or rows "
                "are in another order. No figure here rests on both tables."
            )
        notes.append(told)
    return tuple(notes)


def _pvalues(part: pl.DataFrame) -> np.ndarray:
    return part["pvalue"].cast(pl.Float64).fill_null(float("nan")).to_numpy()


@dataclass(frozen=True)
class NeuronFindings:
    """What neuron tables show.

    Attributes
    ----------
    counts
        (quantity, metric) -> its counts at p < `neurons.LEVEL`, raw and corrected.
    overlaps
        (quantity, metric, metric) -> how the neurons with p < `neurons.LEVEL` meet.
    """

    counts: Mapping[tuple[str, str], Counts]
    overlaps: Mapping[tuple[str, str, str], Overlap]


def findings(table: pl.DataFrame) -> NeuronFindings:
    """Count, correct and overlap the associations that have p-values."""
    tested = table.filter(pl.col("pvalue").is_not_null())
    counts: dict[tuple[str, str], Counts] = {}
    overlaps: dict[tuple[str, str, str], Overlap] = {}
    for part in tested.partition_by("quantity", "metric", maintain_order=True):
        counts[part["quantity"][0], part["metric"][0]] = count_significant(_pvalues(part))
    for (quantity, first), (other, second) in combinations(counts, 2):
        if quantity == other:
            sides = [
                tested.filter(quantity=quantity, metric=metric).select("layer", "neuron", "pvalue")
                for metric in (first, second)
            ]
            both = sides[0].join(sides[1], on=["layer", "neuron"])
            hits = [(both[name] < LEVEL).to_numpy() for name in ("pvalue", "pvalue_right")]
            overlaps[quantity, first, second] = overlap(*hits)
    return NeuronFindings(counts, overlaps)
