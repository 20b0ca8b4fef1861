"""Read CSV and TSV, tolerant of bad rows, with the row each record begins in.

A quote that is never closed, or closed some rows later, makes one value of all rows between. Such
a record is refused, and every line in it is reported.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from pathlib import Path

from biasloop.corpus.records import (
    MAX_RECORD,
    Record,
    Source,
    bounded_lines,
    opened,
    shown,
    unpacked_name,
)
from biasloop.errors import InputError

#: Why a record that swallows rows is refused.
_SWALLOWS = "a quote that opens here closes in another row"
#: Stand for a backslash, quote or delimiter after a backslash while a row is split. No file decodes
#: to these.
_BACKSLASH, _QUOTE, _DELIMITER = "\ud800", "\ud801", "\ud802"
#: What may stand between fields, and how many rows say which does.
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SNIFFED = 200
#: What spreadsheets write before the header.
_NAMED = re.compile(r"(?:\ufeff)?sep=(.)\s*")
#: A column with more different values than this tells no rows from prose.
_MOST_VALUES = 1000
_LINE_END = re.compile(r"\r\n|\r|\n")
#: The comma in 1,000, which separates nothing.
_GROUPING = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


@dataclass(frozen=True)
class _Dialect:
    """How a file is written.

    ``escaped``: a backslash makes what follows it plain; ``skipped``: lines before the header.
    """

    delimiter: str
    quote: str = '"'
    escaped: bool = False
    skipped: int = 0

    def note(self, usual: str) -> str:
        """Say what is not as usual; may be empty."""
        parts = []
        if self.delimiter != usual:
            parts.append(f"{_DELIMITERS.get(self.delimiter, repr(self.delimiter))} between fields")
        if self.quote == "'":
            parts.append("single quotes around them")
        if self.escaped:
            parts.append("quotes escaped by a backslash")
        return f"read with {', '.join(parts)}" if parts else ""


@dataclass(frozen=True)
class _Row:
    """What was taken for one row: its fields (null: why not), and how many lines it is made of."""

    fields: list[str] | None
    lines: int
    reason: str = ""


def _broken(error: csv.Error, lines: int) -> str:
    """Say what is wrong with a row of so many lines, by what the csv module says."""
    if "unexpected end of data" in str(error):
        return "a quote that opens here never closes"
    if "expected after '\"'" in str(error):
        one = "text after a closing quote: a quote in a field is written twice"
        return one if lines == 1 else _SWALLOWS
    return "broken CSV"


def _lines(path: Path) -> Iterator[str]:
    # Bytes that are no UTF-8 become lone surrogates, so that only their own row is lost.
    with opened(path) as content:
        handle = io.TextIOWrapper(content, "utf-8-sig", "surrogateescape", newline="")
        yield from bounded_lines(handle, path, "characters", "file of articles")


def _usual(path: Path) -> str:
    return "\t" if unpacked_name(path).suffix.lower() == ".tsv" else ","


def _sniffed(path: Path) -> _Dialect:
    """Tell delimiter and quotes from the first rows, which have as many fields as the header."""
    first = next(_lines(path), "")
    named = _NAMED.fullmatch(first)
    usual = _usual(path)
    chosen = _Dialect(usual)
    if named:
        chosen = _Dialect(named[1], skipped=1)
    elif _agreement(path, chosen)[0] < 0.5:
        # A quote that is never closed is no sign of other quotes; a header with some is.
        ways = product("\"'" if "'" in first else '"', (False, True), _DELIMITERS)
        dialects = [chosen, *(_Dialect(d, quote, escaped) for quote, escaped, d in ways)]
        chosen = max(dialects, key=lambda dialect: _agreement(path, dialect))
    single = replace(chosen, quote="'")
    rows = [row.fields or [] for row in islice(_rows(path, chosen), 1, _SNIFFED)]
    quoted = any(
        all(len(value) > 1 and value[0] == value[-1] == "'" for value in column)
        for column in zip(*rows, strict=False)
    )
    better = quoted and _agreement(path, single) >= _agreement(path, chosen)
    return single if better else chosen


def _agreement(path: Path, dialect: _Dialect) -> tuple[float, int]:
    """Give the share of the first rows that have as many fields as the header, and how many.

    One column is none.
    """
    rows = list(islice(_rows(path, dialect), _SNIFFED))
    width = len(rows[0].fields or ()) if rows else 0
    same = sum(row.fields is not None and len(row.fields) == width for row in rows[1:])
    return (same / max(1, len(rows) - 1) if width > 1 else 0.0, width)


def _rows(path: Path, dialect: _Dialect) -> Iterator[_Row]:
    """Split a file into rows."""
    taken = 0
    delimiter, quote = dialect.delimiter, dialect.quote

    def lines() -> Iterator[str]:
        nonlocal taken
        for line in islice(_lines(path), dialect.skipped, None):
            taken += bool(line.strip())
            if dialect.escaped:
                line = line.replace("\\\\", _BACKSLASH).replace(f"\\{quote}", _QUOTE)
                line = line.replace(f"\\{delimiter}", _DELIMITER)
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, quotechar=quote, strict=True)
    # The limit is the module's, not the reader's: set it for each row and put it back.
    while True:
        taken = 0
        limit = csv.field_size_limit(MAX_RECORD)
        try:
            fields = next(reader, None)
        except csv.Error as error:
            taken = max(1, taken)
            yield _Row(None, taken, _broken(error, taken))
            continue
        finally:
            csv.field_size_limit(limit)
        if fields is None:
            return
        if dialect.escaped:
            fields = [
                field.replace(_QUOTE, quote)
                .replace(_DELIMITER, delimiter)
                .replace(_BACKSLASH, "\\")
                for field in fields
            ]
        yield _Row(fields, max(1, taken))


def _survey(path: Path, dialect: _Dialect) -> tuple[int, list[set[str]]]:
    """Read a file once, to know how it is to be read.

    Returns
    -------
    lost
        How many lines are in rows that have no fields, or not as many as the header.
    repeated
        By column, values that stand in two rows or more, as labels do; none where there are too
        many different ones.
    """
    rows = _rows(path, dialect)
    header = next(rows, _Row(None, 0))
    counts: list[Counter[str] | None] = [Counter() for _ in header.fields or ()]
    lost = 0
    for row in rows:
        if row.fields == []:
            continue
        if row.fields is None or len(row.fields) != len(counts):
            lost += row.lines
        elif row.lines == 1:
            for column, (count, value) in enumerate(zip(counts, row.fields, strict=True)):
                if count is not None:
                    count[value] += 1
                    if len(count) > _MOST_VALUES:
                        counts[column] = None
    repeated = [
        {value for value, times in (count or {}).items() if value and times > 1} for count in counts
    ]
    return lost, repeated


def _swallows(fields: Sequence[str], repeated: Sequence[set[str]], delimiter: str) -> bool:
    """Tell whether a value of several lines holds rows of the file.

    A line in it is one where it has the fields of a row, or of what its first or last line has of
    one, and a value in its column that other rows have there.
    """
    width = len(repeated)
    for column, value in enumerate(fields[:width]):
        lines = _LINE_END.split(value)
        for place, line in enumerate(lines) if len(lines) > 1 else ():
            start = column if place == 0 else 0
            end = column + 1 if place == len(lines) - 1 else width
            parts = _GROUPING.sub("", line).split(delimiter)
            # In prose, a space follows a comma.
            if len(parts) != end - start or any(part != part.strip() for part in parts):
                continue
            placed = enumerate(parts, start=start)
            if any(part in repeated[at] for at, part in placed if at != column):
                return True
    return False


def read_delimited(path: Path) -> Source:
    r"""Read a CSV file (or TSV, by its ending) whose first row names the columns.

    The first rows tell what stands between fields, if it is not what the ending says. A quote in a
    quoted field is written twice, or ``\"`` where more rows can be read so.

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
    dialect = _sniffed(path)
    header = next(_rows(path, dialect), _Row([], 0))
    if header.fields is None:
        raise InputError(f"{path}: row 1: not a CSV header ({header.reason})")
    if any("\udc80" <= character <= "\udcff" for name in header.fields for character in name):
        raise InputError(f"{path}: the header is not UTF-8: save the file as UTF-8")
    lost, repeated = _survey(path, dialect)
    if lost:
        other = replace(dialect, escaped=True)
        lost_so, repeated_so = _survey(path, other)
        if lost_so < lost:
            repeated, dialect = repeated_so, other
    header = next(_rows(path, dialect), _Row([], 0))
    columns = tuple(name.strip() for name in header.fields or ())
    twice = sorted(name for name, count in Counter(columns).items() if name and count > 1)
    if twice:
        names = ", ".join(name[:60] for name in twice[:5])
        raise InputError(f"{path}: the header names a column twice: {names}")
    name = shown(Path(path.name))

    def records() -> Iterator[Record]:
        number = 1 + dialect.skipped
        rows = _rows(path, dialect)
        next(rows, None)
        for row in rows:
            number += 1
            place, fields, swallowed = f"{name}:{number}", row.fields, row.lines - 1
            if fields is None:
                yield Record(place, None, row.reason)
            elif not fields:
                continue
            elif swallowed and _swallows(fields, repeated, dialect.delimiter):
                yield Record(place, None, _SWALLOWS)
            elif len(fields) != len(columns):
                fewer = "fewer" if len(fields) < len(columns) else "more"
                yield Record(place, None, f"{fewer} fields than the header")
                continue
            else:
                yield Record(place, dict(zip(columns, fields, strict=True)))
                continue
            reason = f"swallowed by the quote that opens in row {number:,}"
            for _ in range(swallowed):
                number += 1
                yield Record(f"{name}:{number}", None, reason)

    return Source(columns, records(), dialect.note(_usual(path)))
