"""Read Parquet. Knows no article."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from biasloop.corpus.source import Record, Table, shown
from biasloop.errors import InputError


def read_parquet(path: Path) -> Table:
    """Read a Parquet file; its rows count from 1.

    Raises
    ------
    InputError
        If the file is not Parquet.
    """
    try:
        frame = pl.read_parquet(path, hive_partitioning=False, glob=False)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: cannot be read as Parquet: {reason}") from error

    name = shown(Path(path.name))

    def records() -> Iterator[Record]:
        for number, row in enumerate(frame.iter_rows(named=True), start=1):
            yield Record(f"{name}:{number}", row)

    return Table(tuple(frame.columns), records())
