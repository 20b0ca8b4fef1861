"""Read Parquet, a batch of rows at a time and within bounds.

A Parquet file of a few bytes can stand for more rows or characters than any memory holds. So what
it claims to hold is checked first, few rows are decoded at a time where they may be long, and what
cannot be text or a number is not decoded at all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from biasloop.corpus.records import (
    CONVERSATIONS,
    DENSEST,
    MAX_RECORD,
    MOST,
    Record,
    Source,
    shown,
)
from biasloop.errors import InputError

#: Rows decoded at a time: as many as take this many bytes if each has its group's longest value,
#: which is no longer than all of the group; within bounds. Four at a time are nearly as fast.
_BATCH_BYTES = 2**26
_LEAST, _MOST_ROWS = 4, 1024

_TEXT: tuple[Callable[[pa.DataType], bool], ...] = (
    *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view),
)
_PLAIN: tuple[Callable[[pa.DataType], bool], ...] = (
    *_TEXT,
    *(pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_null),
)


@dataclass(frozen=True)
class _Other:
    """Stands for a value of a type that no article's field has: a list, a date."""

    kind: str


def _is_plain(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(is_one(kind) for is_one in _PLAIN)


def _refuse_bomb(metadata: pq.FileMetaData, size: int, path: Path) -> None:
    """Hold what the file claims to hold against its size."""
    for group in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            column = metadata.row_group(group).column(place)
            packed, unpacked = column.total_compressed_size, column.total_uncompressed_size
            if column.num_values > size or (unpacked > MAX_RECORD and packed < DENSEST * unpacked):
                raise InputError(
                    f"{path}: {size:,} bytes that claim to hold {metadata.num_rows:,} rows, of "
                    f"which one column has {column.num_values:,} values of {unpacked:,} bytes: "
                    "this is no file of articles"
                )


def _text(value: bytes | None) -> str | bytes | None:
    """Decode where that can be; what is no UTF-8 is left for its row to be bad."""
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return value


def _values(column: pa.Array) -> list[object]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if any(is_one(column.type) for is_one in _TEXT):
        binary = column.cast(pa.large_binary())  # text that is no UTF-8 must not raise for all rows
        return [_text(value) for value in binary.to_pylist()]
    if pa.types.is_nested(column.type):  # a conversation
        return [json.dumps(value, default=str) for value in column.to_pylist()]
    return column.to_pylist()


def _classes(schema: pa.Schema) -> dict[str, list[str]]:
    """Name the classes of each column that `datasets` has written as a ``ClassLabel``."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict)
            and feature.get("_type") == "ClassLabel"
            and isinstance(feature.get("names"), list)
            and (
                pa.types.is_integer(schema.field(column).type)
                or pa.types.is_floating(schema.field(column).type)
            )
        }
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return {}  # none, or made by something else


def class_name(classes: Sequence[str], value: object) -> str | None:
    """Return the name of a class by its number; None where there is no such class."""
    if isinstance(value, float) and value.is_integer():  # where some are missing
        value = int(value)
    return classes[value] if isinstance(value, int) and 0 <= value < len(classes) else None


def reason_of(error: Exception) -> str:
    """Give the first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


#: What pyarrow raises for a damaged file.
DAMAGE = (OSError, ValueError, TypeError, KeyError, IndexError, OverflowError, pa.ArrowException)


def read_parquet(path: Path) -> Source:
    """Read a Parquet file; its rows count from 1.

    Classes that `datasets` stores as numbers are read by their names, conversations
    (`CONVERSATIONS`) as JSON. Other values of a type that is neither text nor a number are opaque:
    only their type is known.

    Raises
    ------
    InputError
        If the file is not Parquet, names a column twice, or claims to hold far more than its size;
        while records are taken, if it is damaged further on.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            opened = pq.ParquetFile(handle, pre_buffer=False)
            _refuse_bomb(opened.metadata, size, path)
            schema, groups = opened.schema_arrow, range(opened.metadata.num_row_groups)
            largest = max(
                (opened.metadata.row_group(at).total_byte_size for at in groups), default=1
            )
            batch_rows = min(_MOST_ROWS, max(_LEAST, _BATCH_BYTES // max(1, largest)))
    except DAMAGE as error:
        raise InputError(f"{path}: cannot be read as Parquet: {reason_of(error)}") from error
    twice = sorted(name for name, count in Counter(schema.names).items() if count > 1)
    if twice:
        raise InputError(f"{path}: names a column twice: {', '.join(twice[:5])[:300]}")
    plain = [
        field.name
        for field in schema
        if _is_plain(field.type)
        or (field.name in CONVERSATIONS and isinstance(field.type, (pa.ListType, pa.LargeListType)))
    ]
    classes = _classes(schema)
    opaque = {field.name: _Other(str(field.type)) for field in schema if field.name not in plain}
    name = shown(Path(path.name))

    def records() -> Iterator[Record]:
        number, total, most = 0, 0, max(MOST, round(size / DENSEST))
        try:
            with path.open("rb") as handle:
                opened = pq.ParquetFile(handle, pre_buffer=False)
                for batch in opened.iter_batches(batch_rows, columns=plain):
                    columns = [
                        [class_name(classes[column], value) for value in values]
                        if column in classes
                        else values
                        for column in plain
                        for values in [_values(batch.column(column))]
                    ]
                    for row in range(batch.num_rows):
                        number += 1
                        fields = {
                            key: values[row] for key, values in zip(plain, columns, strict=True)
                        }
                        total += sum(
                            len(value)
                            for value in fields.values()
                            if isinstance(value, (str, bytes))
                        )
                        if total > most:
                            raise InputError(
                                f"{path}: {size:,} bytes that hold more than {total:,} characters "
                                f"in the first {number:,} rows: this is no file of articles"
                            )
                        yield Record(f"{name}:{number}", {**opaque, **fields})
        except DAMAGE as error:
            raise InputError(
                f"{path}: cannot be read as Parquet after row {number:,}: {reason_of(error)}"
            ) from error

    return Source(tuple(schema.names), records())
