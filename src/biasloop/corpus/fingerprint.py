"""What a corpus's content is, in 64 digits, without parsing it."""

from __future__ import annotations

from typing import Any

from biasloop.assets import ASSETS
from biasloop.config import CorpusConfig
from biasloop.corpus import control
from biasloop.corpus.conventions import CLEANING, NAME
from biasloop.corpus.file import located
from biasloop.corpus.hub import hub_name
from biasloop.corpus.jsonl import json_files
from biasloop.corpus.load import kind_of
from biasloop.corpus.saved import is_saved, saved_files
from biasloop.corpus.source import MAX_RECORD
from biasloop.errors import InputError
from biasloop.files import canonical_json, sha256_file, sha256_text
from biasloop.hub import check_hub


def _content(config: CorpusConfig) -> dict[str, Any]:
    kind = kind_of(config)
    if kind == "conventions":
        return {"asset": [file.sha256 for file in ASSETS[NAME].files], "cleaning": CLEANING}
    if kind == control.NAME:
        return {"control": control.VERSION}
    if kind == "hub":
        name = hub_name(config)
        return {
            "hub": name,
            "commit": _commit(config, name),
            "revision": config.revision,
            "subset": config.subset,
            "split": config.split,
        }
    path = located(config.source)
    try:
        if not path.is_dir():
            return {"file": sha256_file(path)}
        if is_saved(path):
            saved = {str(f.relative_to(path)): sha256_file(f) for f in saved_files(path)}
            return {"saved": saved, "split": config.split}
        files = [
            # A name need not be UTF-8; its bytes say which it is.
            # Of one that is too long to be an article, its length says enough.
            (
                bytes(file.relative_to(path)).hex(),
                sha256_file(file)
                if file.stat().st_size <= MAX_RECORD
                else str(file.stat().st_size),
            )
            for file in json_files(path)
            if file.is_file()
        ]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return {"folder": files}


def _commit(config: CorpusConfig, name: str) -> str | None:
    return check_hub(f"corpus.source: '{config.source}'", name, "dataset", config.revision).commit


def fingerprint(config: CorpusConfig) -> str:
    """Hash the content of a config's source, as part of a stage's key.

    Parameters
    ----------
    config
        Only its source (and a hub data set's revision, subset and split) counts here: the settings
        that say how to read it are part of a key anyway.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits. It follows the bytes of a file; names and bytes of the JSON
        files of a folder, and of the data of one that ``save_to_disk`` wrote; the pinned hash of
        the built-in asset and the version of its cleaning; the version of what makes the control
        corpus, whose text follows settings and seed; id, commit, subset and split of a hub data
        set.

    Raises
    ------
    InputError
        If the file or folder is not there or cannot be read, or the hub does not give the data set.
    """
    return sha256_text(canonical_json(_content(config)))
