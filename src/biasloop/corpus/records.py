"""Rows of a source before they are checked: what every reader gives, packed files, and JSON."""

from __future__ import annotations

import contextlib
import io
import json
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import IO, Any, AnyStr, BinaryIO

from fsspec.compression import compr
from fsspec.utils import infer_compression

from biasloop.config import Columns
from biasloop.errors import InputError

#: No line, field or file of one article is longer than this many bytes or characters. A longer one
#: is no article, and may be a few bytes on disk that a reader would grow into all of the memory.
MAX_RECORD = 64 * 2**20
#: Text does not shrink to less than this share of its length; what does is a few bytes repeated.
DENSEST = 1 / 100
#: Characters that any file may hold, though it says them in far fewer bytes.
MOST = 2**28
#: An array of JSON is read at once, up to this many bytes.
_MOST_AT_ONCE = 2**30
#: Columns that hold conversations: as OpenAI and transformers have them, and as ShareGPT does.
CONVERSATIONS = ("messages", "conversations")

_DAMAGE = (
    *(OSError, EOFError, ValueError, RuntimeError),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)
#: What begins a packed file; no text does so.
_MARKS = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"PK\x03\x04": "zip"}


@dataclass(frozen=True)
class Record:
    """One row of a source, unchecked.

    Attributes
    ----------
    location
        ``file:row``. Rows count from 1 as an editor or spreadsheet shows them, so that the first
        article of a CSV file is in row 2. In a folder of JSON files, the file's path in it.
    fields
        Values by column. Null where the row could not be read at all.
    reason
        Why it could not be read.
    """

    location: str
    fields: Mapping[str, object] | None
    reason: str = ""


@dataclass(frozen=True)
class Source:
    """Records, and how to make articles of them.

    Attributes
    ----------
    columns
        Every column found, in order; empty where a source is built in.
    records
        Good and bad rows, in the order of the source.
    note
        What was guessed of how it is written; may be empty.
    fields
        Which column holds which field. A null one is not there: ids are then numbered and the
        other fields empty.
    name, citation, licence
        See `Corpus`.
    labels
        The order to show the labels in, as far as the source has one.
    label_map
        Labels as they are in the records -> labels as they are published.
    """

    columns: tuple[str, ...] = ()
    records: Iterable[Record] = ()
    note: str = ""
    fields: Columns = field(default_factory=Columns)
    name: str = ""
    citation: str = ""
    licence: str = ""
    labels: tuple[str, ...] = ()
    label_map: Mapping[str, str] = field(default_factory=dict)


def shown(path: PurePath) -> str:
    """Write a path as text that any table can hold; a name's bytes that are no UTF-8 become ?."""
    return path.as_posix().encode("utf-8", "replace").decode("utf-8")


def unpacked_name(path: Path) -> Path:
    """Return the name of what is packed in a file: ``x.csv`` of ``x.csv.gz``, and of itself.

    Of a ``x.zip`` the file in it says what it is.
    """
    kind, inside = infer_compression(path.name), path.with_suffix("")
    if kind == "zip" and not inside.suffix and path.is_file():
        with contextlib.suppress(*_DAMAGE), zipfile.ZipFile(path) as packed:
            names = _packed(packed)
            return path.with_name(PurePath(names[0]).name) if len(names) == 1 else path
    return inside if kind else path


def _packed(packed: zipfile.ZipFile) -> list[str]:
    """List the files in an archive, without what macOS adds."""
    names = packed.namelist()
    return [name for name in names if not name.endswith("/") and not name.startswith("__MACOSX/")]


class _Unpacked(io.RawIOBase):
    """Reads what is packed in a file, as long as that is no more than text may come to."""

    def __init__(self, path: Path, handle: BinaryIO, kind: str) -> None:
        self._path, self._total = path, 0
        self._most = max(MOST, round(path.stat().st_size / DENSEST))
        chosen: dict[str, str] = {}
        if kind == "zip":
            names = _packed(zipfile.ZipFile(handle))
            if len(names) != 1:
                raise InputError(
                    f"{path}: {len(names):,} files are packed in it: unpack it and name one of them"
                )
            chosen = {"filename": names[0]}
        if kind == "zstd" and not isinstance(compr[kind], type):  # a function of `zstandard`
            raise InputError(
                f"{path}: pip install backports.zstd, or unpack it: the library zstandard does not "
                "notice a file that is cut short"
            )
        self._file = compr[kind](handle, mode="rb", **chosen)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - any writable buffer
        try:
            content = self._file.read(len(buffer))
        except Exception as error:  # each library has its own
            raise InputError(f"{self._path}: cannot be unpacked: {error}") from error
        self._total += len(content)
        if self._total > self._most:
            raise InputError(
                f"{self._path}: holds more than {self._most:,} bytes: this is no file of articles"
            )
        buffer[: len(content)] = content
        return len(content)


def bounded_lines(handle: IO[AnyStr], path: Path, unit: str, wanted: str) -> Iterator[AnyStr]:
    """Yield the lines of a file, and refuse one that is longer than `MAX_RECORD`.

    Parameters
    ----------
    unit, wanted
        What the length counts, and what a file with such a line is not; for the message.
    """
    number = 0
    while line := handle.readline(MAX_RECORD + 1):
        number += 1
        if len(line) > MAX_RECORD:
            raise InputError(
                f"{path}: line {number:,} is longer than {MAX_RECORD:,} {unit}: this is no {wanted}"
            )
        yield line


@contextlib.contextmanager
def opened(path: Path) -> Generator[BinaryIO]:
    """Open a file to read its bytes, unpacked if its name or its first bytes say it is packed.

    Raises
    ------
    InputError
        Also while it is read: if it cannot be unpacked, or holds far more than its size.
    """
    kind = infer_compression(path.name)
    with path.open("rb") as handle:
        if kind is None:
            start = handle.read(6)
            handle.seek(0)
            kind = next((_MARKS[mark] for mark in _MARKS if start.startswith(mark)), None)
        if kind is None:
            yield handle
            return
        try:
            raw = _Unpacked(path, handle, kind)
        except _DAMAGE as error:
            raise InputError(f"{path}: cannot be unpacked: {error}") from error
        yield io.BufferedReader(raw, 2**20)


class _ConstantError(ValueError):
    """A word that JSON does not have."""


def _constant(name: str) -> None:
    """Read what Python and pandas write for a missing number; infinity is no value of anything."""
    if name != "NaN":
        raise _ConstantError(f"{name} is no value of JSON")


def _why_broken(error: Exception, text: str) -> str:
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
        return _of_value(location, json.loads(text, parse_constant=_constant))
    except (ValueError, RecursionError) as error:
        return Record(location, None, f"broken JSON{_why_broken(error, text)}")


def _of_value(location: str, value: object) -> Record:
    if isinstance(value, dict):
        return Record(location, value)
    return Record(location, None, "not a JSON object")


def _source(records: Iterator[Record]) -> Source:
    kept = tuple(records)
    # A dictionary keeps the order in which the columns were first seen.
    return Source(tuple({name: None for record in kept for name in record.fields or ()}), kept)


def read_jsonl(path: Path) -> Source:
    """Read a UTF-8 file of one JSON object a line; empty lines are passed over.

    One that is an array of objects is read as that.

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
            lines = bounded_lines(handle, path, "bytes", "file of one article a line")
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _record(f"{name}:{number}", line)

    return _source(records())


def read_json(path: Path) -> Source:
    """Read a file of one array of JSON objects; one of an object a line is read as that.

    The array may be the one list of objects in an object, as in ``{"data": [...]}``. An object of
    columns is read, too: a list each, or a value by row as pandas' ``to_json`` writes them.

    Raises
    ------
    InputError
        If the array is longer than 1 GiB or is broken, or there are several.
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
        if len(lists) > 1 and len(lists) == len(values):
            keys = ", ".join(shown(PurePath(key))[:60] for key in list(values)[:10])
            raise InputError(f"{path}: holds several lists of rows ({keys}): write one as a file")
        rows = lists[0] if len(lists) == 1 else _rows(values)
        if rows is None:
            return read_jsonl(path)
        values = rows
    name = shown(Path(path.name))
    return _source(_of_value(f"{name}:{at}", value) for at, value in enumerate(values, start=1))


def _rows(table: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Turn an object of columns, or of rows by their names, into rows; None of anything else."""
    values = list(table.values())
    if values and all(isinstance(one, list) for one in values):
        if len({len(one) for one in values}) == 1:
            return [dict(zip(table, row, strict=True)) for row in zip(*values, strict=True)]
    elif len(values) > 1 and all(isinstance(one, dict) for one in values):
        keys = values[0].keys()
        if any(one.keys() != keys for one in values):
            return None
        if all(key.isdecimal() for key in keys):
            return [{name: one[row] for name, one in table.items()} for row in keys]
        return values
    return None


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


def read_json_folder(folder: Path) -> Source:
    """Read `json_files` of one JSON object each."""

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

    return _source(records())
