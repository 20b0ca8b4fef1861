"""A folder of released files as our tables. Reads and places rows; computes no figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from biasloop.analysis import Tables
from biasloop.errors import InputError
from biasloop.published import paper
from biasloop.published.articles import placed
from biasloop.published.csv_file import read_csv_file
from biasloop.published.formats import (
    CORRELATION,
    FORMATS,
    REGRESSION,
    formats_of,
    is_neuron_table,
    own_name,
)
from biasloop.published.neuron_tables import (
    CORRELATED,
    REGRESSED,
    NeuronTable,
    associations,
    contradictions,
    read_neuron_table,
)
from biasloop.published.numbering import numbered_from, numbering_notes, since_first
from biasloop.published.score_file import Part, read_part
from biasloop.tables import BASE, LEANING_SCORES, SCORES, SET_SCORES


@dataclass(frozen=True)
class Experiment:
    """What a folder holds.

    Attributes
    ----------
    folder
        Where it was read.
    tables
        The scores: one chain (seed 0) per regime, generations numbered from 0, the base model as
        regime ``base``.
    associations, correlations
        `neurons.ASSOCIATIONS` of the regression and of the correlation tables, apart since the
        authors' contradict each other; empty without such tables.
    regimes
        In the paper's order, then by name.
    base_model
        What its file calls the base model; empty where there is none.
    first
        Regime -> the number that its files give to Generation 0: 0 or 1.
    files, absent, ignored
        Names of files: read; of the same formats but not there; not of these formats.
    notes
        How generations were numbered and rows matched, and what in the files does not go together.
    """

    folder: Path
    tables: Tables
    associations: pl.DataFrame
    correlations: pl.DataFrame
    regimes: tuple[str, ...]
    base_model: str
    first: Mapping[str, int]
    files: tuple[str, ...]
    absent: tuple[str, ...]
    ignored: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def is_papers(self) -> bool:
        """Say whether the labels are the paper's, so that its figures are to be met."""
        return _of_paper(self.tables.labels)


def read_published(folder: Path) -> Experiment:
    """Read every CSV file of a folder that has one of the authors' formats.

    ``REGIME_Bias_Performance.csv`` (``Generation, Article_ID, LABEL_Score, ...``; with ``Model``
    in place of ``Generation`` the base model), ``REGIME_Generation_Quality.csv`` (``Generation,
    GibberishLevel``), ``REGIME_Perplexity.csv`` (``Generation, Perplexity``), and neuron tables
    (``neuron_id, layer`` with ``beta_coefficient, p_value`` or ``pearson_correlation``). Regimes
    and labels are whatever the names say, in lower case.

    Raises
    ------
    InputError
        If the folder or a file cannot be read, nothing in it has a known format, or a row is bad.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give the one with the released CSV files")
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".csv" and p.is_file())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from error
    parts: list[Part] = []
    neurons: list[NeuronTable] = []
    ignored: list[str] = []
    for path in paths:
        file = read_csv_file(path)
        formats = formats_of(file)
        if formats:
            parts += [read_part(file, layout) for layout in formats]
        elif is_neuron_table(file):
            neurons.append(read_neuron_table(file))
        else:
            ignored.append(path.name)
    if not parts and not neurons:
        raise InputError(_nothing(folder, ignored))
    first = numbered_from(parts)
    numbered = numbering_notes(parts, first)
    parts = [since_first(part, first) for part in parts]
    frames, notes = placed(parts, first)
    labels = _labels(parts)
    # The paper's corpus has as many articles of each leaning; how its classifier reads them is
    # not among the files.
    even = {label: 1 / len(labels) for label in labels if _of_paper(labels)}
    tables = Tables(labels, *_tables(parts, frames, labels), real_shares=even)
    regimes = _ordered({part.regime for part in parts} - {BASE})
    regressed, correlated = (associations(neurons, f) for f in (REGRESSED, CORRELATED))
    notes = (*numbered, *notes, *contradictions(regressed, correlated))
    read = tuple(path.name for path in paths if path.name not in ignored)
    return Experiment(
        folder,
        tables,
        regressed,
        correlated,
        regimes,
        _base_model(parts),
        first,
        read,
        _absent(parts, neurons, regimes, labels),
        tuple(ignored),
        notes,
    )


def _of_paper(labels: tuple[str, ...]) -> bool:
    """Say whether files with these labels, or with none, can be the paper's."""
    return sorted(labels) in ([], sorted(paper.LABELS))


def _nothing(folder: Path, ignored: Sequence[str]) -> str:
    wanted = ", ".join(f"REGIME_{layout.ending}.csv" for layout in FORMATS)
    there = f" (not of these formats: {', '.join(ignored[:5])})" if ignored else ""
    return (
        f"{folder}: no released results there{there}; wanted: {wanted}, the base model's "
        f"MODEL_{FORMATS[0].ending}.csv or neuron tables"
    )


def _labels(parts: Sequence[Part]) -> tuple[str, ...]:
    """Find the label set, in the order of the first file; all files must have the same."""
    found = [part for part in parts if part.layout.kind == "bias"]
    for part in found[1:]:
        if set(part.values) != set(found[0].values):
            raise InputError(
                f"{part.file.path}: row 1: its labels are {', '.join(part.values)}, but those of "
                f"{found[0].file.path.name} are {', '.join(found[0].values)}: one folder holds one "
                "experiment"
            )
    return tuple(found[0].values) if found else ()


def _tables(
    parts: Sequence[Part], frames: Sequence[pl.DataFrame], labels: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    scores = [pl.DataFrame(schema=SCORES)]
    leanings = [pl.DataFrame(schema=LEANING_SCORES)]
    held: dict[tuple[str, str], str] = {}
    for part, frame in zip(parts, frames, strict=True):
        key = (part.regime, part.layout.kind)
        if key in held:
            what = "the base model" if part.regime == BASE else f"regime '{part.regime}'"
            raise InputError(
                f"{part.file.path}: holds the {part.layout.kind} of {what}, as {held[key]} does: "
                "keep one of them"
            )
        held[key] = part.file.path.name
        names = labels if part.layout.kind == "bias" else [part.layout.kind]
        schema, target = (LEANING_SCORES, leanings) if names is labels else (SCORES, scores)
        kind, value = list(schema)[-2:]
        for name in names:
            column = pl.Series(value, part.values[name])
            rows = frame.with_columns(pl.lit(name).alias(kind), column)
            target.append(rows.select(pl.col(c).cast(t) for c, t in schema.items()))
    return pl.concat(scores), pl.concat(leanings), pl.DataFrame(schema=SET_SCORES)


def _ordered(regimes: set[str]) -> tuple[str, ...]:
    known = [regime for regime in paper.REGIMES if regime in regimes]
    return (*known, *sorted(regimes - set(known)))


def _base_model(parts: Sequence[Part]) -> str:
    return next((part.model for part in parts if part.regime == BASE), "")


def _absent(
    parts: Sequence[Part],
    neurons: Sequence[NeuronTable],
    regimes: Sequence[str],
    labels: tuple[str, ...],
) -> tuple[str, ...]:
    """Name the files that the same formats would have, for the regimes and metrics there are."""
    written = {part.regime: own_name(part.file.path.stem, part.layout) for part in parts}
    wanted = list(regimes)
    if _of_paper(labels):
        wanted = list(_ordered(set(regimes) | set(paper.REGIMES)))
    there = {(part.regime, part.layout.kind) for part in parts}
    names = [
        f"{written.get(regime, regime.capitalize())}_{layout.ending}.csv"
        for regime in wanted
        for layout in FORMATS
        if (regime, layout.kind) not in there
    ]
    if not any(part.regime == BASE for part in parts):
        names.append(f"MODEL_{FORMATS[0].ending}.csv (the base model's)")
    held = {
        (column, table.metric)
        for table in neurons
        for column in (CORRELATION, REGRESSION[1])
        if column in table.file.columns
    }
    for column, title, of_quality in (
        (
            REGRESSION[1],
            "Regression and Statistical Tests for Relationship",
            "Generation Quality",
        ),
        (CORRELATION, "Pearson Correlation", "Text Quality Index"),
    ):
        for metric, name in (("bias", "Bias Performance"), ("quality", of_quality)):
            if (column, metric) not in held:
                names.append(f"{title} Between Neuron Weight and {name}.csv")
    return tuple(names)
