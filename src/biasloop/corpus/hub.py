"""Data sets of the library `datasets`: of the Hugging Face hub, or saved to a folder.

They are read as data only: no code of a data set ever runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from biasloop.config import CorpusConfig
from biasloop.corpus.parquet import DAMAGE, class_name, reason_of
from biasloop.corpus.records import Record, Source, shown
from biasloop.errors import InputError
from biasloop.hub import Hosted, check_hub, remember, switched_off, without_asking

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
    said = f"corpus.source: '{config.source}'"
    found = check_hub(said, name, "dataset", config.revision)
    config = config.model_copy(update={"revision": found.commit or config.revision})
    try:
        # trust_remote_code is never passed: datasets 4 and later run no scripts at all.
        with without_asking(found):
            dataset = datasets.load_dataset(
                name, config.subset, split=config.split, revision=config.revision
            )
        remember(found)
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        with without_asking(found):
            names = _subsets(name, config) if isinstance(error, ValueError) else []
        if names:
            raise InputError(
                f"corpus.source: '{config.source}' has subsets: set corpus.subset"
                + (f" (it is '{config.subset}')" if config.subset else "")
                + f" to one of {', '.join(names[:100])}"
                + (f" and {len(names) - 100:,} more" if len(names) > 100 else "")
            ) from error
        if not found.reachable and not isinstance(error, ValueError):
            off = switched_off() or "the hub is out of reach, and there is no complete copy here"
            raise InputError(f"{said}: cannot be had: {off}") from error
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"corpus.source: '{config.source}' cannot be had ({type(error).__name__}: {reason}). "
            f"Is the hub within reach, and are the id, corpus.split ('{config.split}') and "
            "corpus.revision right? Without a hub, use 'conventions' or a file"
        ) from error
    _refuse_other(dataset, found, said)
    return dataset


def _refuse_other(dataset: Any, found: Hosted, said: str) -> None:  # noqa: ANN401 - datasets.Dataset
    """Refuse another version than is wanted: datasets takes its latest where it cannot ask."""
    wanted = found.commit or (found.revision if found.revision != "main" else None)
    places = [Path(file["filename"]).parts for file in dataset.cache_files]
    if wanted and places and not found.reachable and not any(wanted in parts for parts in places):
        why = switched_off() or "the hub is out of reach"
        raise InputError(
            f"{said}: the copy on this disk is not of the revision '{found.revision}': {why}"
        )


def _subsets(name: str, config: CorpusConfig) -> list[str]:
    """List a data set's subsets, if one of them is to be chosen and the config does not."""
    import datasets

    try:
        names = datasets.get_dataset_config_names(name, revision=config.revision)
        default = datasets.get_dataset_default_config_name(name, revision=config.revision)
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception:  # of any kind; the caller says what it wanted to do
        return []
    return [] if (config.subset or default) in names else names


def open_hub(config: CorpusConfig) -> Source:
    """Open one split of a data set of the hub.

    Raises
    ------
    InputError
        If the hub cannot be reached or does not have it.
    """
    name = hub_name(config)
    dataset = _load(name, config)
    info = dataset.info
    wanted = [column for column in config.columns.model_dump().values() if column is not None]
    return Source(
        tuple(dataset.column_names),
        rows_of(dataset, wanted, name),
        fields=config.columns,
        name=name,
        citation=(info.citation or "").strip(),
        licence=(info.license or "").strip(),
    )


def hub_content(config: CorpusConfig) -> dict[str, Any]:
    """Name the content of a data set of the hub: its id and commit, and which part of it."""
    name = hub_name(config)
    found = check_hub(f"corpus.source: '{config.source}'", name, "dataset", config.revision)
    part = {"revision": config.revision, "subset": config.subset, "split": config.split}
    return {"hub": name, "commit": found.commit, **part}


def is_saved(folder: Path) -> bool:
    """Whether a folder was written by ``save_to_disk`` of a data set, or of one per split."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def saved_files(folder: Path) -> list[Path]:
    """List what a saved data set consists of, sorted."""
    return sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".arrow") and p.is_file())


def rows_of(dataset: Any, columns: Sequence[str], name: str) -> Iterator[Record]:  # noqa: ANN401 - datasets.Dataset
    """Give a data set's rows, which count from 1.

    Classes are stored as numbers; their names are what a label map is about. Taking rows raises an
    `InputError` where the data are damaged.
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


def read_saved(folder: Path, split: str) -> Source:
    """Read a folder that ``save_to_disk`` wrote, of one data set or of one per split.

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
    return Source(columns, rows_of(dataset.with_format(None), columns, shown(Path(folder.name))))
