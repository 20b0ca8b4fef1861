"""What every reader gives: records with their place, and how their columns are to be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from biasloop.config import Columns

#: No line, field or file of one article is longer than this many bytes or characters. A longer one
#: is no article, and may be a few bytes on disk that a reader would grow into all of the memory.
MAX_RECORD = 64 * 2**20
#: Text does not shrink to less than this share of its length; what does is a few bytes repeated.
DENSEST = 1 / 100
#: Characters that any file may hold, though it says them in far fewer bytes.
MOST = 2**28


def shown(path: PurePath) -> str:
    """Write a path as text that any table can hold; a name's bytes that are no UTF-8 become ?."""
    return path.as_posix().encode("utf-8", "replace").decode("utf-8")


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
class RecordTable:
    """Records with named columns: what a file format gives.

    Attributes
    ----------
    columns
        Every column found, in order.
    records
        Good and bad rows, in the order of the file.
    note
        What was guessed of how it is written; may be empty.
    """

    columns: tuple[str, ...]
    records: Iterable[Record]
    note: str = ""


@dataclass(frozen=True)
class Source:
    """Records, and how to make articles of them.

    Attributes
    ----------
    records
        As the reader gives them.
    columns
        Which column holds which field. A null one is not there: ids are then numbered and the
        other fields empty.
    name, citation, licence
        See `Corpus`.
    labels
        The order to show the labels in, as far as the source has one.
    label_map
        Labels as they are in the records -> labels as they are published.
    note
        See `RecordTable`.
    """

    records: Iterable[Record]
    columns: Columns
    name: str
    citation: str = ""
    licence: str = ""
    labels: tuple[str, ...] = ()
    label_map: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
