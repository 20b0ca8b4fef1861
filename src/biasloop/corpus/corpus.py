"""What a corpus is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

#: One row per row of the source that could not be used.
BAD_ROWS = pl.Schema({"location": pl.String, "reason": pl.String})


@dataclass(frozen=True)
class Corpus:
    """Labelled real articles, all of them usable.

    Attributes
    ----------
    articles
        `tables.ARTICLES`, in the order of the source. Ids are distinct, bodies not empty, and
        every label is one of ``labels``.
    labels
        The label set, in the order to show.
    bad_rows
        ``location, reason`` of every row that was left out (``corpus.on_bad_row: skip``).
    name, citation, licence
        For the report; citation and licence are empty where the source states none.
    events
        Article id -> the event that it is about, where that is known.
    note
        What was guessed of how the source is written; may be empty.
    """

    articles: pl.DataFrame
    labels: tuple[str, ...]
    bad_rows: pl.DataFrame
    name: str
    citation: str
    licence: str
    events: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
