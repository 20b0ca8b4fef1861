"""One released CSV file, strictly: its cells, which of the authors' formats it has, and its rows.

A bad cell is an error that names it. Knows no other file: which article a row is of, where the file
does not say, is decided in `experiment`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biasloop.errors import InputError, nearest
from biasloop.tables import BASE, REAL

#: Characters of a bad cell that an error shows.
_SHOWN = 40


@dataclass(frozen=True)
class CsvFile:
    """The cells of a file.

    Attributes
    ----------
    path
        The file.
    columns
        Column name, stripped, in lower case -> its cells, stripped.
    header
        The column names as written, in order.
    rows
        The line of each record; the header is line 1.
    """

    path: Path
    columns: dict[str, list[str]]
    header: tuple[str, ...]
    rows: tuple[int, ...]

    def error(self, index: int, column: str, problem: str) -> InputError:
        """Make the error of one cell: file, row, column and what is wrong with it."""
        name = next(name for name in self.header if name.lower() == column.lower())
        return InputError(f"{self.path}: row {self.rows[index]}, column '{name}': {problem}")

    def require(self, column: str) -> None:
        """Raise an InputError where the file lacks a column."""
        if column.lower() not in self.columns:
            raise InputError(
                f"{self.path}: row 1: the column '{column}' is missing; "
                + nearest(column, self.header).replace("known:", "there are:")
            )

    def texts(self, column: str) -> list[str]:
        """Give a column's cells; raise an InputError where one is empty."""
        cells = self.columns[column.lower()]
        for index, cell in enumerate(cells):
            if not cell:
                raise self.error(index, column, "the cell is empty")
        return cells

    def numbers(
        self, column: str, low: float = -np.inf, high: float = np.inf, above: bool = False
    ) -> np.ndarray:
        """Give a column as numbers, shape (rows,).

        Parameters
        ----------
        column
            Its name.
        low, high
            What a number may be; with ``above``, ``low`` itself is too low.

        Raises
        ------
        InputError
            If a cell is empty, not a finite number, or out of range.
        """
        cells = self.texts(column)
        result = np.empty(len(cells))
        for index, cell in enumerate(cells):
            try:
                result[index] = float("" if "_" in cell else cell)  # Python reads 1_0 as 10
            except ValueError:
                raise self.error(index, column, f"{_quoted(cell)} is not a number") from None
        wrong = ~np.isfinite(result) | (result < low) | (result > high) | (above & (result == low))
        wanted = "a finite number" if low == -np.inf else f"a finite number above {low:g}"
        if np.isfinite(high):
            wanted = f"a number between {low:g} and {high:g}"
        self._refuse(wrong, column, wanted)
        return result

    def whole_numbers(self, column: str) -> np.ndarray:
        """Give a column as integers, shape (rows,); ``3.0`` is one, what is below 0 is refused."""
        values = self.numbers(column)
        wrong = (values != np.floor(values)) | (values < 0) | (values > 2**31)
        self._refuse(wrong, column, "a whole number of at least 0")
        return values.astype(np.int64)

    def _refuse(self, wrong: np.ndarray, column: str, wanted: str) -> None:
        if wrong.any():
            index = int(np.argmax(wrong))
            cell = _quoted(self.columns[column.lower()][index])
            raise self.error(index, column, f"{cell} is not {wanted}")

    def refuse_twice(
        self, keys: Iterable[tuple[Any, ...]], column: str, told: Callable[..., str]
    ) -> None:
        """Raise an InputError where a row's key, which ``told`` names, is that of a row before."""
        seen: dict[tuple[Any, ...], int] = {}
        for index, key in enumerate(keys):
            if key in seen:
                problem = f"{told(*key)} stands in row {self.rows[seen[key]]} already"
                raise self.error(index, column, problem)
            seen[key] = index


def _quoted(cell: str) -> str:
    return f"'{cell[:_SHOWN]}{'…' if len(cell) > _SHOWN else ''}'"


def read_csv_file(path: Path) -> CsvFile:
    """Read a CSV file whose first row names the columns.

    Parameters
    ----------
    path
        UTF-8, with or without a byte order mark. Blank lines are passed over.

    Raises
    ------
    InputError
        If it cannot be read, has no header or no rows, names a column twice, or a row has more or
        fewer cells than the header.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: row {line}: not UTF-8: save the file as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    cells: list[list[str]] = []
    rows: list[int] = []
    header: list[str] = []
    names: list[str] = []
    try:
        for record in reader:
            stripped = [cell.strip() for cell in record]
            if not any(stripped) and len(record) < 2:
                continue
            if not header:
                header, names = stripped, [cell.lower() for cell in stripped]
                for name in header:
                    if names.count(name.lower()) > 1:
                        raise InputError(f"{path}: row 1: the column '{name}' stands twice")
            elif len(record) != len(header):
                problem = f"{len(record)} cells, but the header names {len(header)} columns"
                if len(record) < len(header):
                    lacking = f"column '{header[len(record)]}': the cell is missing ({problem})"
                    raise InputError(f"{path}: row {reader.line_num}, {lacking}")
                raise InputError(f"{path}: row {reader.line_num}: {problem}")
            else:
                cells.append(stripped)
                rows.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"{path}: row {reader.line_num}: broken CSV: {error}") from error
    if not header:
        raise InputError(f"{path}: is empty: the first row should name the columns")
    if not cells:
        raise InputError(f"{path}: has a header but no rows")
    columns = {name: list(own) for name, own in zip(names, zip(*cells, strict=True), strict=True)}
    return CsvFile(path, columns, tuple(header), tuple(rows))


#: How a label's column ends: ``Right_Score``.
SCORE = "_score"
GENERATION = "generation"
MODEL = "model"
ARTICLE = "article_id"


@dataclass(frozen=True)
class ScoreFormat:
    """One format of per-article files.

    Attributes
    ----------
    kind
        ``bias``, ``quality`` or ``perplexity``.
    ending
        How its file names end, after the regime.
    column
        The column that holds its numbers, as the authors write it; empty for the labels' columns.
    """

    kind: str
    ending: str
    column: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """The ending in a file name's stem, however its words are separated."""
        return re.compile(self.ending.replace("_", r"[\s_-]*") + "$", re.IGNORECASE)

    def own_name(self, stem: str) -> str:
        """Take what a file name says besides its format, as written; the whole if nothing."""
        return self.pattern.sub("", stem).strip(" _-") or stem


FORMATS = (
    ScoreFormat("bias", "Bias_Performance", ""),
    ScoreFormat("quality", "Generation_Quality", "GibberishLevel"),
    ScoreFormat("perplexity", "Perplexity", "Perplexity"),
)

#: The columns of the neuron tables, and what tells the two apart.
NEURON = ("neuron_id", "layer")
REGRESSION = ("beta_coefficient", "p_value")
CORRELATION = "pearson_correlation"


def _label_columns(file: CsvFile) -> list[str]:
    """List the label columns in order, as written."""
    return [name for name in file.header if name.lower().endswith(SCORE) and name[: -len(SCORE)]]


def is_neuron_table(file: CsvFile) -> bool:
    """Say whether a file is one of the neuron tables."""
    figures = {REGRESSION[1], CORRELATION} & set(file.columns)
    return NEURON[0] in file.columns or (NEURON[1] in file.columns and bool(figures))


def formats_of(file: CsvFile) -> list[ScoreFormat]:
    """Find which per-article formats a file holds.

    Returns
    -------
    list
        Usually one; none if the file is something else.

    Raises
    ------
    InputError
        If its name or one of its columns says a format, but a column of that is missing.
    """
    if is_neuron_table(file):
        return []
    labels = _label_columns(file)
    by_set = bool({GENERATION, MODEL} & set(file.columns))
    found = []
    if labels and (ARTICLE in file.columns or (by_set and len(labels) > 1)):
        found.append(FORMATS[0])
    found += [layout for layout in FORMATS[1:] if by_set and layout.column.lower() in file.columns]
    said = next((layout for layout in FORMATS if layout.pattern.search(file.path.stem)), None)
    if said is not None and said not in found:
        found.append(said)
    for layout in found:
        if MODEL not in file.columns:
            file.require("Generation")
        file.require(layout.column or "Article_ID")
        if not layout.column and len(labels) < 2:
            raise InputError(
                f"{file.path}: row 1: at least two columns like 'Left_Score', one per label, are "
                f"needed; there are: {', '.join(file.header)}"
            )
    return found


#: An article's probabilities may miss 1 by this for rounding.
_ROUNDING = 0.01
_HIGHEST_QUALITY = 3


@dataclass(frozen=True)
class Part:
    """The rows of one per-article file, in their order.

    Attributes
    ----------
    file, layout
        What was read.
    regime
        ``base`` for the base model.
    generation
        As the file numbers them, shape (rows,); zeros for the base model.
    articles
        Their ids, shape (rows,); None where the file names none.
    values
        Label or metric -> shape (rows,).
    """

    file: CsvFile
    layout: ScoreFormat
    regime: str
    generation: np.ndarray
    articles: np.ndarray | None
    values: dict[str, np.ndarray]


def read_part(file: CsvFile, layout: ScoreFormat) -> Part:
    """Read one file's rows.

    Raises
    ------
    InputError
        If a cell is bad, a row's scores are no probabilities, an article stands twice in a
        generation, or the file holds two models.
    """
    of_base = GENERATION not in file.columns
    regime = BASE if of_base else layout.own_name(file.path.stem).lower()
    if not of_base and regime in (REAL, BASE):
        raise InputError(
            f"{file.path}: a regime cannot be called '{regime}': rename the file, or give the "
            "base model's file a column 'Model' in place of 'Generation'"
        )
    if of_base:
        names = file.texts(MODEL)
        other = next((i for i, name in enumerate(names) if name != names[0]), None)
        if other is not None:
            problem = f"a second model beside '{names[0]}': give each its file"
            raise file.error(other, MODEL, problem)
        generation = np.zeros(len(file.rows), dtype=np.int64)
    else:
        generation = file.whole_numbers(GENERATION)
    if not layout.column:
        values = _probabilities(file)
    elif layout.kind == "quality":
        values = {layout.kind: file.numbers(layout.column, 0, _HIGHEST_QUALITY)}
    else:
        values = {layout.kind: file.numbers(layout.column, 0, above=True)}
    articles = None
    if ARTICLE in file.columns:
        articles = np.array(file.texts(ARTICLE))
        file.refuse_twice(
            zip(generation.tolist(), articles.tolist(), strict=True),
            ARTICLE,
            lambda number, article: (
                f"article '{article}'" + ("" if of_base else f" of generation {number}")
            ),
        )
    return Part(file, layout, regime, generation, articles, values)


def _probabilities(file: CsvFile) -> dict[str, np.ndarray]:
    names = _label_columns(file)
    values = {name[: -len(SCORE)].strip().lower(): file.numbers(name, 0, 1) for name in names}
    total = np.sum(list(values.values()), axis=0)
    wrong = np.abs(total - 1) > _ROUNDING
    if wrong.any():
        index = int(np.argmax(wrong))
        problem = f"the scores of its {len(names)} labels sum to {total[index]:.4g}, not to 1"
        raise file.error(index, names[0], problem)
    return values
