"""Read CSV and TSV, tolerant of bad rows, with the row each record begins in. Knows no article."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from biasloop.corpus.source import MAX_RECORD, Record, Table, shown
from biasloop.errors import InputError


def _lines(path: Path) -> Iterator[str]:
    # Bytes that are no UTF-8 become lone surrogates, so that only their own row is lost.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as handle:
        number = 0
        while line := handle.readline(MAX_RECORD + 1):
            number += 1
            if len(line) > MAX_RECORD:
                raise InputError(
                    f"{path}: line {number:,} is longer than {MAX_RECORD:,} characters: this is no "
                    "file of articles"
                )
            yield line


def _rows(path: Path) -> Iterator[list[str]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(_lines(path), delimiter=delimiter)
    # The limit is the module's, not the reader's: set it for each row and put it back.
    while True:
        limit = csv.field_size_limit(MAX_RECORD)
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
        If there is no header that can be read, it names a column twice, or a line is longer than
        `MAX_RECORD`.
    """
    rows = _rows(path)
    try:
        header = next(rows, [])
    except csv.Error as error:
        raise InputError(f"{path}: row 1: not a CSV header ({error})") from error
    if any("\udc80" <= character <= "\udcff" for name in header for character in name):
        raise InputError(f"{path}: the header is not UTF-8: save the file as UTF-8")
    columns = tuple(name.strip() for name in header)
    twice = sorted(name for name, count in Counter(columns).items() if name and count > 1)
    if twice:
        names = ", ".join(name[:60] for name in twice[:5])
        raise InputError(f"{path}: the header names a column twice: {names}")

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
