"""The authors' neuron tables as our associations, and what is left of them after corrections.

Knows tables of neurons, no score.
"""

from __future__ import annotations

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
from biasloop.published.csv_file import CsvFile
from biasloop.published.formats import CORRELATION, NEURON, REGRESSION, neuron_names, require

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
        require(file, column)
    if CORRELATION not in file.columns:
        require(file, REGRESSION[1])
    layer, neuron = file.whole_numbers("layer"), file.whole_numbers("neuron_id")
    seen: dict[tuple[int, int], int] = {}
    for index, place in enumerate(zip(layer.tolist(), neuron.tolist(), strict=True)):
        if place in seen:
            problem = (
                f"neuron {place[1]} of layer {place[0]} stands in row {file.rows[seen[place]]}"
            )
            raise file.error(index, "neuron_id", f"{problem} already")
        seen[place] = index
    figures: dict[str, np.ndarray] = {}
    if CORRELATION in file.columns:
        figures["pearson"] = file.numbers(CORRELATION, -1, 1)
    if REGRESSION[1] in file.columns:
        figures["pvalue"] = file.numbers(REGRESSION[1], 0, 1)
    if REGRESSION[0] in file.columns:
        figures["coef"] = file.numbers(REGRESSION[0])
    quantity, metric = neuron_names(file.path.stem)
    names = {"quantity": full_quantity(quantity), "metric": metric}
    frame = pl.DataFrame({"layer": layer, "neuron": neuron, **figures})
    frame = frame.with_columns(pl.lit(text).alias(name) for name, text in names.items())
    return NeuronTable(file, names["quantity"], metric, frame)


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
        parts = []
        for table in tables:
            if figure not in table.frame.columns:
                continue
            key = (table.quantity, table.metric, figure)
            if key in held:
                raise InputError(
                    f"{table.file.path}: holds the {figure} of {table.quantity} and "
                    f"{table.metric}, as {held[key].path.name} does: keep one of them"
                )
            held[key] = table.file
            parts.append(table.frame.select(*_KEY, figure))
        if parts:
            found = pl.concat(parts)
            merged = (
                found
                if merged is None
                else merged.join(found, on=_KEY, how="full", coalesce=True, nulls_equal=True)
            )
    if merged is None:
        return pl.DataFrame(schema=ASSOCIATIONS)
    shifts = [(pl.col(n) - int(merged[n].min() == 1)).alias(n) for n in ("layer", "neuron")]
    whole = merged.with_columns(*shifts, pl.lit(SITE).alias("site"))
    absent = [name for name in ASSOCIATIONS if name not in whole.columns]
    whole = whole.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in absent).sort(
        "quantity", "metric", "layer", "neuron"
    )
    corrected = [
        part.with_columns(pl.Series("qvalue", _corrected(part), dtype=pl.Float64))
        for part in whole.partition_by("quantity", "metric", maintain_order=True)
    ]
    found = pl.concat(corrected).with_columns(pl.col("qvalue").fill_nan(None))
    return found.select(pl.col(name).cast(kind) for name, kind in ASSOCIATIONS.items())


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


def _corrected(part: pl.DataFrame) -> np.ndarray:
    return benjamini_hochberg(_pvalues(part))


def _pvalues(part: pl.DataFrame) -> np.ndarray:
    return part["pvalue"].fill_null(float("nan")).to_numpy()


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
        if quantity != other:
            continue
        of_quantity = tested.filter(pl.col("quantity") == quantity)
        sides = [
            of_quantity.filter(pl.col("metric") == metric).select("layer", "neuron", "pvalue")
            for metric in (first, second)
        ]
        both = sides[0].join(sides[1], on=["layer", "neuron"])
        hits = [(both[name] < LEVEL).to_numpy() for name in ("pvalue", "pvalue_right")]
        overlaps[quantity, first, second] = overlap(*hits)
    return NeuronFindings(counts, overlaps)
