"""Read CSV and TSV, tolerant of bad rows, with the row each record begins in. Knows no article."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from biasloop.corpus.source import Record, Table, shown
from biasloop.errors import InputError


def _rows(path: Path) -> Iterator[list[str]]:
    # Bytes that are no UTF-8 become lone surrogates, so that only their own row is lost.
    text = path.read_bytes().decode("utf-8", errors="surrogateescape").removeprefix("\ufeff")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    # The limit is the module's, not the reader's: set it for each row and put it back.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    while True:
        limit = csv.field_size_limit(sys.maxsize)
        try:
            row = next(reader, None)
        finally:
            csv.field_size_limit(limit)
        if row is None:
            return
        yield row


def read_delimited(path: Path) -> Table:
    """Read a CSV file (or TSV, by its ending) whose first row names the columns.

    Parameters
    ----------
    path
        UTF-8, with or without a byte order mark; fields may be quoted and hold line breaks.

    Raises
    ------
    InputError
        If there is no header that can be read, or it names a column twice.
    """
    rows = _rows(path)
    try:
        header = next(rows, [])
    except csv.Error as error:
        raise InputError(f"{path}: row 1: not a CSV header ({error})") from error
    if any("\udc80" <= character <= "\udcff" for name in header for character in name):
        raise InputError(f"{path}: the header is not UTF-8: save the file as UTF-8")
    columns = tuple(name.strip() for name in header)
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise InputError(f"{path}: the header names a column twice: {', '.join(twice)}")

    name = shown(Path(path.name))

    def records() -> Iterator[Record]:
        number = 1
        while True:
            number += 1
            location = f"{name}:{number}"
            try:
                row = next(rows, None)
            except csv.Error:
                yield Record(location, None, "broken CSV")
                continue
            if row is None:
                return
            if not row:
                continue
            if len(row) != len(columns):
                reason = (
                    "fewer fields than the header"
                    if len(row) < len(columns)
                    else ("more fields than the header")
                )
                yield Record(location, None, reason)
            else:
                yield Record(location, dict(zip(columns, row, strict=True)))

    return Table(columns, records())
