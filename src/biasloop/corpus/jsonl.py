"""Read JSON: one object a line, an array of them, or one a file in a folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from biasloop.corpus.packed import opened
from biasloop.corpus.source import MAX_RECORD, Record, RecordTable, shown
from biasloop.errors import InputError

#: An array is read at once, up to this many bytes.
_MOST_AT_ONCE = 2**30


class _ConstantError(ValueError):
    """A word that JSON does not have."""


def _constant(name: str) -> None:
    """Read what Python and pandas write for a missing number; infinity is no value of anything."""
    if name != "NaN":
        raise _ConstantError(f"{name} is no value of JSON")


def _reason(error: Exception, text: str) -> str:
    """Say what of a row is no JSON, where it is one of the things that other programs write."""
    if isinstance(error, _ConstantError):
        return f" ({error})"
    start = text.lstrip()[:2]
    if start == "{'" or re.search(r"[:\[,]\s*(None|True|False|nan|NA)\s*[,}\]]", text[:10_000]):
        return " (written as Python writes a value, not as JSON)"
    return " (a comma after the object)" if text.rstrip().endswith("},") else ""


def _record(location: str, content: bytes) -> Record:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Record(location, None, "not UTF-8")
    try:
        value = json.loads(text, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        why = _reason(error, text)
        return Record(location, None, f"broken JSON{why}")
    if not isinstance(value, dict):
        return Record(location, None, "not a JSON object")
    return Record(location, value)


def _table(records: Iterator[Record]) -> RecordTable:
    kept = tuple(records)
    # A dictionary keeps the order in which the columns were first seen.
    columns = {name: None for record in kept for name in record.fields or ()}
    return RecordTable(tuple(columns), kept)


def read_jsonl(path: Path) -> RecordTable:
    """Read a file of one JSON object a line; empty lines are passed over.

    One that is an array of objects is read as that.

    Parameters
    ----------
    path
        A UTF-8 file, with or without a byte order mark.

    Raises
    ------
    InputError
        If a line is longer than `MAX_RECORD`.
    """
    if _start(path) == "[":
        with contextlib.suppress(InputError):
            return read_json(path)

    def records() -> Iterator[Record]:
        name = shown(Path(path.name))
        with opened(path) as handle:
            number = 0
            while line := handle.readline(MAX_RECORD + 1):
                number += 1
                if len(line) > MAX_RECORD:
                    raise InputError(
                        f"{path}: line {number:,} is longer than {MAX_RECORD:,} bytes: this is no "
                        "file of one article a line"
                    )
                if line.strip():
                    yield _record(f"{name}:{number}", line)

    return _table(records())


def read_json(path: Path) -> RecordTable:
    """Read a file of one array of JSON objects; one of an object a line is read as that.

    The array may be the one list of objects in an object, as in ``{"data": [...]}``.

    Raises
    ------
    InputError
        If the array is longer than 1 GiB or is broken.
    """
    start = _start(path)
    if start not in ("[", "{"):
        return read_jsonl(path)
    with opened(path) as handle:
        content = handle.read(_MOST_AT_ONCE + 1)
    advice = "write one object a line, as .jsonl"
    if len(content) > _MOST_AT_ONCE:
        if start == "{":
            return read_jsonl(path)
        raise InputError(f"{path}: an array of more than {_MOST_AT_ONCE:,} bytes: {advice}")
    try:
        # Bytes that are no UTF-8 become lone surrogates, so that only their own row is lost.
        text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
        values = json.loads(text, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        if start == "{":
            return read_jsonl(path)
        raise InputError(
            f"{path}: broken JSON ({error}): {advice}, to lose only bad rows"
        ) from error
    if isinstance(values, dict):
        lists = [
            value
            for value in values.values()
            if isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
        ]
        if len(lists) != 1:
            return read_jsonl(path)
        values = lists[0]
    name = shown(Path(path.name))
    return _table(
        Record(f"{name}:{number}", value)
        if isinstance(value, dict)
        else Record(f"{name}:{number}", None, "not a JSON object")
        for number, value in enumerate(values, start=1)
    )


def _start(path: Path) -> str:
    """Return the first character of a file that is no white space; may be empty."""
    with opened(path) as handle:
        text = handle.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    return text[:1].decode("latin-1")


def json_files(folder: Path) -> list[Path]:
    """List the JSON files in a folder and those in it, sorted; follows no link to a folder."""
    found = [
        Path(parent, name)
        for parent, _, names in os.walk(folder, followlinks=False)
        for name in names
        if name.endswith(".json")
    ]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def read_json_folder(folder: Path) -> RecordTable:
    """Read a folder of files with one JSON object each.

    Parameters
    ----------
    folder
        Searched with all folders in it for files that end in ``.json``.
    """

    def records() -> Iterator[Record]:
        for path in json_files(folder):
            location = shown(path.relative_to(folder))
            try:
                # A pipe or device under such a name would never end.
                regular = path.is_file()
                if regular and path.stat().st_size > MAX_RECORD:
                    yield Record(location, None, f"over {MAX_RECORD:,} bytes")
                    continue
                content = path.read_bytes() if regular else None
            except OSError:
                content = None
            if content is None:
                yield Record(location, None, "not a readable file")
            else:
                yield _record(location, content)

    return _table(records())
