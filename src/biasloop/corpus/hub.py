"""Read a data set of the Hugging Face hub, as data only: no code of a data set ever runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from biasloop.config import CorpusConfig
from biasloop.corpus.file import check_columns
from biasloop.corpus.saved import rows_of
from biasloop.corpus.source import Source
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
    shown = f"corpus.source: '{config.source}'"
    found = check_hub(shown, name, "dataset", config.revision)
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
            raise InputError(f"{shown}: cannot be had: {off}") from error
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"corpus.source: '{config.source}' cannot be had ({type(error).__name__}: {reason}). "
            f"Is the hub within reach, and are the id, corpus.split ('{config.split}') and "
            "corpus.revision right? Without a hub, use 'conventions' or a file"
        ) from error
    _refuse_other(dataset, found, shown)
    return dataset


def _refuse_other(dataset: Any, found: Hosted, shown: str) -> None:  # noqa: ANN401 - datasets.Dataset
    """Refuse another version than is wanted: datasets takes its latest where it cannot ask."""
    wanted = found.commit or (found.revision if found.revision != "main" else None)
    places = [Path(file["filename"]).parts for file in dataset.cache_files]
    if wanted and places and not found.reachable and not any(wanted in parts for parts in places):
        why = switched_off() or "the hub is out of reach"
        raise InputError(
            f"{shown}: the copy on this disk is not of the revision '{found.revision}': {why}"
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
        If the hub cannot be reached or does not have it, or it lacks a column.
    """
    name = hub_name(config)
    dataset = _load(name, config)
    check_columns(config.columns, dataset.column_names, config.source)
    wanted = [column for column in config.columns.model_dump().values() if column is not None]
    info = dataset.info
    return Source(
        records=rows_of(dataset, wanted, name),
        columns=config.columns,
        name=name,
        citation=(info.citation or "").strip(),
        licence=(info.license or "").strip(),
    )
