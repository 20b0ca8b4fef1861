"""Read a data set of the Hugging Face hub, as data only: no code of a data set ever runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from biasloop.config import CorpusConfig
from biasloop.corpus.file import check_columns
from biasloop.corpus.parquet import class_name
from biasloop.corpus.source import Record, Source
from biasloop.errors import InputError

PREFIX = "hub:"
_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)


def hub_name(config: CorpusConfig) -> str:
    """Return the data set's id.

    Raises
    ------
    InputError
        If it is no id of the hub.
    """
    name = config.source.removeprefix(PREFIX)
    if not _NAME.fullmatch(name):
        raise InputError(f"corpus.source: '{config.source}': write hub:OWNER/NAME")
    return name


def _load(name: str, config: CorpusConfig) -> Any:  # noqa: ANN401 - datasets.Dataset
    import datasets

    if Path(name).exists():
        raise InputError(
            f"corpus.source: '{config.source}': there is a local '{name}' here, which would be "
            "read instead of the hub's: work in another folder, or name a file in it"
        )
    try:
        # trust_remote_code is never passed: datasets 4 and later run no scripts at all.
        return datasets.load_dataset(name, split=config.split, revision=config.revision)
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"corpus.source: '{config.source}' cannot be had ({type(error).__name__}: {reason}). "
            f"Is the hub within reach, and are the id, corpus.split ('{config.split}') and "
            "corpus.revision right? Without a hub, use 'conventions' or a file"
        ) from error


def open_hub(config: CorpusConfig) -> Source:
    """Open one split of a data set of the hub.

    Raises
    ------
    InputError
        If the hub cannot be reached or does not have it, or it lacks a column.
    """
    name = hub_name(config)
    dataset = _load(name, config)
    check_columns(config.columns, dataset.column_names, config.source)
    wanted = [column for column in config.columns.model_dump().values() if column is not None]
    # Classes are stored as numbers; their names are what a label map is about.
    names = {
        column: feature.names
        for column, feature in dataset.features.items()
        if column in wanted and hasattr(feature, "names")
    }

    def records() -> Iterator[Record]:
        for number, row in enumerate(dataset.select_columns(wanted), start=1):
            for column, classes in names.items():
                row[column] = class_name(classes, row[column])
            yield Record(f"{name}:{number}", row)

    info = dataset.info
    return Source(
        records=records(),
        columns=config.columns,
        name=name,
        citation=(info.citation or "").strip(),
        licence=(info.license or "").strip(),
    )
