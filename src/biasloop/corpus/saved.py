"""Read a data set of the library `datasets`: one saved to a folder, or the rows of any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from biasloop.corpus.parquet import DAMAGE, class_name, reason_of
from biasloop.corpus.source import Record, RecordTable, shown
from biasloop.errors import InputError


def is_saved(folder: Path) -> bool:
    """Whether a folder was written by ``save_to_disk`` of a data set, or of one per split."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def saved_files(folder: Path) -> list[Path]:
    """List what a saved data set consists of, sorted."""
    return sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".arrow") and p.is_file())


def rows_of(dataset: Any, columns: Sequence[str], name: str) -> Iterator[Record]:  # noqa: ANN401 - datasets.Dataset
    """Give a data set's rows, which count from 1.

    Classes are stored as numbers; their names are what a label map is about.

    Raises
    ------
    InputError
        While rows are taken, if the data are damaged.
    """
    names = {
        column: feature.names
        for column, feature in dataset.features.items()
        if column in columns and hasattr(feature, "names")
    }
    number = 0
    try:
        for row in dataset.select_columns(list(columns)):
            number += 1
            for column, classes in names.items():
                row[column] = class_name(classes, row[column])
            yield Record(f"{name}:{number}", row)
    except DAMAGE as error:
        raise InputError(
            f"{name}: cannot be read after row {number:,}: {reason_of(error)}"
        ) from error


def read_saved(folder: Path, split: str) -> RecordTable:
    """Read a folder that ``save_to_disk`` wrote.

    Parameters
    ----------
    folder
        Of one data set, or of one per split.
    split
        Which of several.

    Raises
    ------
    InputError
        If it cannot be read, or does not have the split.
    """
    import datasets

    try:
        dataset = datasets.load_from_disk(str(folder))
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"{folder}: cannot be read as what save_to_disk of datasets writes "
            f"({type(error).__name__}: {reason_of(error)})"
        ) from error
    if isinstance(dataset, datasets.DatasetDict):
        if split not in dataset:
            raise InputError(
                f"{folder}: corpus.split is '{split}', and it has: {', '.join(map(str, dataset))}"
            )
        dataset = dataset[split]
    columns = tuple(dataset.column_names)
    return RecordTable(
        columns, rows_of(dataset.with_format(None), columns, shown(Path(folder.name)))
    )
