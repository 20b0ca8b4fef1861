"""A folder of released files as our tables. Reads and places rows; computes no figure.

The authors number Generation 0 as 1. One of their chains also holds a number 0: articles of the
untouched model, by their plotting scripts. Others may number Generation 0 as 0. Chains are decided
one by one, since they need not be numbered alike.

The authors' quality and perplexity files name no article: a row's article is its place within its
generation, which can be relied on only where every generation has as many rows. What cannot be
relied on is not paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from biasloop.analysis import Tables
from biasloop.errors import InputError
from biasloop.published import paper
from biasloop.published.neuron_tables import (
    CORRELATED,
    REGRESSED,
    NeuronTable,
    associations,
    contradictions,
    read_neuron_table,
)
from biasloop.published.released_file import (
    CORRELATION,
    FORMATS,
    GENERATION,
    REGRESSION,
    Part,
    formats_of,
    is_neuron_table,
    read_csv_file,
    read_part,
)
from biasloop.tables import BASE, LEANING_SCORES, SCORES, SET_SCORES, conform

#: To which scores are compared. Files round differently, and a score here and there falls on the
#: border of two roundings, so most of a set must agree, not all.
_DECIMALS = 6


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
        wanted = ", ".join(f"REGIME_{layout.ending}.csv" for layout in FORMATS)
        there = f" (not of these formats: {', '.join(ignored[:5])})" if ignored else ""
        raise InputError(
            f"{folder}: no released results there{there}; wanted: {wanted}, the base model's "
            f"MODEL_{FORMATS[0].ending}.csv or neuron tables"
        )
    first = _numbered_from(parts)
    numbered = _numbering_notes(parts, first)
    parts = [_since_first(part, first) for part in parts]
    frames, matched = _placed(parts, first)
    labels = _labels(parts)
    # The paper's corpus has as many articles of each leaning; how its classifier reads them is
    # not among the files.
    even = {label: 1 / len(labels) for label in labels if _of_paper(labels)}
    regimes = _ordered({part.regime for part in parts} - {BASE})
    regressed, correlated = (associations(neurons, f) for f in (REGRESSED, CORRELATED))
    return Experiment(
        folder,
        Tables(labels, *_tables(parts, frames, labels), real_shares=even),
        regressed,
        correlated,
        regimes,
        first,
        tuple(path.name for path in paths if path.name not in ignored),
        _absent(parts, neurons, regimes, labels),
        tuple(ignored),
        (*numbered, *matched, *contradictions(regressed, correlated)),
    )


def _of_paper(labels: tuple[str, ...]) -> bool:
    """Say whether files with these labels, or with none, can be the paper's."""
    return sorted(labels) in ([], sorted(paper.LABELS))


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
        kind = part.layout.kind
        before = held.setdefault((part.regime, kind), part.file.path.name)
        if before != part.file.path.name:
            what = "the base model" if part.regime == BASE else f"regime '{part.regime}'"
            raise InputError(
                f"{part.file.path}: holds the {kind} of {what}, as {before} does: keep one of them"
            )
        if kind == "bias":
            for label in labels:
                own = {"leaning": pl.lit(label), "probability": pl.Series(part.values[label])}
                leanings.append(conform(frame.with_columns(**own), LEANING_SCORES))
        else:
            own = {"metric": pl.lit(kind), "value": pl.Series(part.values[kind])}
            scores.append(conform(frame.with_columns(**own), SCORES))
    return pl.concat(scores), pl.concat(leanings), pl.DataFrame(schema=SET_SCORES)


def _ordered(regimes: set[str]) -> tuple[str, ...]:
    known = [regime for regime in paper.REGIMES if regime in regimes]
    return (*known, *sorted(regimes - set(known)))


def _absent(
    parts: Sequence[Part],
    neurons: Sequence[NeuronTable],
    regimes: Sequence[str],
    labels: tuple[str, ...],
) -> tuple[str, ...]:
    """Name the files that the same formats would have, for the regimes and metrics there are."""
    written = {part.regime: part.layout.own_name(part.file.path.stem) for part in parts}
    papers = paper.REGIMES if _of_paper(labels) else ()
    there = {(part.regime, part.layout.kind) for part in parts}
    names = [
        f"{written.get(regime, regime.capitalize())}_{layout.ending}.csv"
        for regime in _ordered({*regimes, *papers})
        for layout in FORMATS
        if (regime, layout.kind) not in there
    ]
    if not any(part.regime == BASE for part in parts):
        names.append(f"MODEL_{FORMATS[0].ending}.csv (the base model's)")
    of_neurons = {
        (REGRESSION[1], "bias"): "Regression and Statistical Tests for Relationship Between Neuron "
        "Weight and Bias Performance.csv",
        (REGRESSION[1], "quality"): "Regression and Statistical Tests for Relationship Between "
        "Neuron Weight and Generation Quality.csv",
        (CORRELATION, "bias"): "Pearson Correlation Between Neuron Weight and Bias Performance.csv",
        (CORRELATION, "quality"): "Pearson Correlation Between Neuron Weight and Text Quality "
        "Index.csv",
    }
    held = {(column, table.metric) for table in neurons for column in table.file.columns}
    return (*names, *(name for key, name in of_neurons.items() if key not in held))


# How the generations are numbered ----------------------------------------------------------------


def _numbered_from(parts: Sequence[Part]) -> dict[str, int]:
    """Decide for every regime which number its files give to Generation 0.

    A chain that begins at 1 begins with Generation 0. One that begins at 0 may begin with it, too,
    or with a set from before. It begins before where its number 1 is the same set of articles as
    the first of a chain that begins at 1: both then start from one Generation 0.

    Returns
    -------
    dict
        Regime -> 0 or 1; without the base model, which has one generation.

    Raises
    ------
    InputError
        If a chain begins later than 1, its files begin at different numbers, or it begins at 0,
        shares no set and ends at the number of another that begins at 1: then a set may come
        before Generation 0 in the one, or be missing in the other.
    """
    chains: dict[str, list[Part]] = {}
    for part in parts:
        if part.regime != BASE:
            chains.setdefault(part.regime, []).append(part)
    first = {regime: _lowest(files) for regime, files in chains.items()}
    from_1 = [files for regime, files in chains.items() if first[regime] == 1]
    for regime, files in chains.items():
        if first[regime] == 1:
            continue
        shared = {k for other in from_1 for k in (0, 1) if _same_set(files, k, other)}
        if len(shared) == 1:
            first[regime] = shared.pop()
            continue
        alike = [other for other in from_1 if _last(other) == _last(files)]
        if shared or alike:
            other = (alike or from_1)[0]
            raise InputError(
                f"{_names(files)}: generations 0 to {_last(files)}, where {_names(other)} "
                f"have 1 to {_last(other)}, and no set that both hold tells how their numbers go "
                f"together: number them alike, or move '{files[0].regime}' to a folder of its own"
            )
    return first


def _since_first(part: Part, first: Mapping[str, int]) -> Part:
    """Leave out the rows from before a chain's Generation 0."""
    kept = part.generation >= first.get(part.regime, 0)
    return replace(
        part,
        generation=part.generation[kept],
        articles=None if part.articles is None else part.articles[kept],
        values={name: values[kept] for name, values in part.values.items()},
    )


def _numbering_notes(parts: Sequence[Part], first: Mapping[str, int]) -> list[str]:
    """Say what was decided for every regime; ``parts`` with the rows from before Generation 0."""
    notes = []
    for number in (0, 1):
        regimes = [regime for regime in first if first[regime] == number]
        if regimes:
            notes.append(f"Generation 0 is number {number} in the files of {', '.join(regimes)}.")
    for regime, number in first.items():
        earlier = [p for p in parts if p.regime == regime and p.generation.min() < number]
        if earlier:
            notes.append(
                f"{_names(earlier)}: number 1 is the set that another chain begins with, so number "
                "0 comes before Generation 0 and is left out."
            )
    return notes


def _lowest(files: Sequence[Part]) -> int:
    """Find the number that all files of one chain begin with."""
    begins = {part.file.path.name: int(part.generation.min()) for part in files}
    for part in files:
        lowest = begins[part.file.path.name]
        if lowest > 1:
            problem = f"the lowest generation of '{part.regime}' is {lowest}"
            index = int(part.generation.argmin())
            raise part.file.error(index, GENERATION, f"{problem}; the first should be 0 or 1")
    if len(set(begins.values())) > 1:
        told = ", ".join(f"{name} with {lowest}" for name, lowest in begins.items())
        raise InputError(
            f"{files[0].file.path.parent}: the files of '{files[0].regime}' begin with different "
            f"generations: {told}: number them alike, and leave out what not all of them begin with"
        )
    return next(iter(begins.values()))


def _same_set(files: Sequence[Part], number: int, other: Sequence[Part]) -> bool:
    """Say whether a chain's set of a number has the scores of another chain's number 1."""
    pairs = [
        (_scores(mine, number), _scores(its, 1))
        for mine in files
        for its in other
        if mine.layout == its.layout
    ]
    return bool(pairs) and all(2 * len(a & b) > max(len(a), len(b)) for a, b in pairs)


def _scores(part: Part, number: int) -> set[tuple[float, ...]]:
    columns = np.column_stack([part.values[name] for name in sorted(part.values)])
    return {tuple(row) for row in columns[part.generation == number].round(_DECIMALS).tolist()}


def _last(files: Sequence[Part]) -> int:
    return max(int(part.generation.max()) for part in files)


def _names(files: Sequence[Part]) -> str:
    return ", ".join(part.file.path.name for part in files)


# Which article a row is of -----------------------------------------------------------------------


def _placed(
    parts: Sequence[Part], first: Mapping[str, int]
) -> tuple[list[pl.DataFrame], list[str]]:
    """Say which set and article every row is of.

    Returns
    -------
    tuple
        One frame per part, ``regime, seed, generation, article_id`` in the order of its rows, and
        notes on how rows without an article were matched.
    """
    named = _consecutive(parts)
    frames = []
    matched: list[str] = []
    own: list[str] = []
    unpaired: list[str] = []
    for part in parts:
        # The base model's rows are zeros, and its generation is -1.
        shift = first.get(part.regime, 1)
        rows = pl.DataFrame({"number": part.generation}).select(
            pl.lit(part.regime).alias("regime"),
            pl.lit(0, dtype=pl.Int64).alias("seed"),
            (pl.col("number") - shift).alias("generation"),
            pl.int_range(1, pl.len() + 1).over("number").alias("place"),
        )
        file, place = part.file.path.name, pl.col("place").cast(pl.String)
        sizes = rows["generation"].value_counts()["count"].unique()
        if part.articles is not None:
            article = pl.Series(part.articles)
        elif len(sizes) > 1:
            number = (pl.col("generation") + shift).cast(pl.String)
            article = pl.concat_str(pl.lit(f"{part.regime} "), number, pl.lit(" row "), place)
            unpaired.append(file)
        elif named is not None and len(named) == sizes[0]:
            article = pl.Series([named[k - 1] for k in rows["place"]])
            matched.append(file)
        else:
            article = pl.concat_str(pl.lit("row "), place, pl.lit(f" of {sizes[0]}"))
            own.append(file)
        frames.append(rows.with_columns(article_id=article).drop("place"))
    notes = []
    if matched:
        notes.append(
            f"No Article_ID in {', '.join(matched)}: the k-th row of a generation is taken to be "
            "of the k-th article."
        )
    if own:
        notes.append(
            f"No Article_ID in {', '.join(own)}: rows are paired by their place within the "
            "generation, and not with the leanings, whose articles are others in number or name."
        )
    if unpaired:
        notes.append(
            f"No Article_ID in {', '.join(unpaired)}, and its generations differ in rows: "
            "nothing of it is paired, so that its intervals are wider and tests of pairs absent."
        )
    return frames, notes


def _consecutive(parts: Sequence[Part]) -> list[str] | None:
    """List the ids of all articles in order, if they are consecutive whole numbers."""
    found = {name for part in parts if part.articles is not None for name in part.articles.tolist()}
    if not found or not all(name.isascii() and name.isdigit() for name in found):
        return None
    numbers = sorted(int(name) for name in found)
    if len(numbers) != numbers[-1] - numbers[0] + 1 or {str(n) for n in numbers} != found:
        return None
    return [str(number) for number in numbers]
