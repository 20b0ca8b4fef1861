"""One CSV file, strictly: every cell has its row, and a bad one is an error that names it.

Knows cells and numbers, not what they mean.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biasloop.errors import InputError

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

    def texts(self, column: str) -> list[str]:
        """Give a column's cells.

        Raises
        ------
        InputError
            If one is empty.
        """
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
        wrong = ~np.isfinite(result) | (result < low) | (result > high)
        if above:
            wrong |= result == low
        if wrong.any():
            index = int(np.argmax(wrong))
            raise self.error(index, column, f"{_quoted(cells[index])} is not {_range(low, high)}")
        return result

    def whole_numbers(self, column: str, low: int = 0) -> np.ndarray:
        """Give a column as integers of at least ``low``, shape (rows,); ``3.0`` is one.

        Raises
        ------
        InputError
            If a cell is none.
        """
        values = self.numbers(column)
        wrong = (values != np.floor(values)) | (values < low) | (values > 2**31)
        if wrong.any():
            index = int(np.argmax(wrong))
            cell = _quoted(self.columns[column.lower()][index])
            raise self.error(index, column, f"{cell} is not a whole number of at least {low}")
        return values.astype(np.int64)


def _quoted(cell: str) -> str:
    return f"'{cell[:_SHOWN]}{'…' if len(cell) > _SHOWN else ''}'"


def _range(low: float, high: float) -> str:
    if np.isfinite(low) and np.isfinite(high):
        return f"a number between {low:g} and {high:g}"
    return f"a finite number above {low:g}" if np.isfinite(low) else "a finite number"


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
    header: tuple[str, ...] = ()
    try:
        for record in reader:
            if not any(cell.strip() for cell in record) and len(record) < 2:
                continue
            if not header:
                header = _header(path, record)
            elif len(record) != len(header):
                raise InputError(_ragged(path, reader.line_num, record, header))
            else:
                cells.append([cell.strip() for cell in record])
                rows.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"{path}: row {reader.line_num}: broken CSV: {error}") from error
    if not header:
        raise InputError(f"{path}: is empty: the first row should name the columns")
    if not cells:
        raise InputError(f"{path}: has a header but no rows")
    columns = [list(column) for column in zip(*cells, strict=True)]
    named = zip((name.lower() for name in header), columns, strict=True)
    return CsvFile(path, dict(named), header, tuple(rows))


def _header(path: Path, record: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in record)
    lower = [name.lower() for name in names]
    twice = next((name for name in names if lower.count(name.lower()) > 1), None)
    if twice is not None:
        raise InputError(f"{path}: row 1: the column '{twice}' stands twice")
    return names


def _ragged(path: Path, row: int, record: Sequence[str], header: Sequence[str]) -> str:
    problem = f"{len(record)} cells, but the header names {len(header)} columns"
    if len(record) < len(header):
        return f"{path}: row {row}, column '{header[len(record)]}': the cell is missing ({problem})"
    return f"{path}: row {row}: {problem}"
