"""Copy a finished stage from one folder to another, held against its manifest on arrival."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from biasloop.errors import StoreError
from biasloop.loop.integrity import MANIFEST, PRUNED, WEIGHTS, damages, read_manifest

#: How a file of weights ends.
_LARGE = ".safetensors"


def is_finished(folder: Path, weights: bool) -> bool:
    """Say whether a stage is complete in a folder, and not pruned where its weights are wanted."""
    return (folder / MANIFEST).is_file() and not (weights and (folder / PRUNED).exists())


def copy_stage(source: Path, target: Path, key: str, weights: bool) -> None:
    """Fill an empty folder with what a finished stage wrote; only what its manifest names.

    Weights are hard links where the file system allows it: nothing writes into a file of a
    finished stage. All else is copied, so that what alters it in one run leaves the other alone.

    Parameters
    ----------
    source
        The finished stage.
    target
        An empty folder, which the caller removes on an error.
    key
        The stage's, which the manifest must have.
    weights
        Whether with a model's weights; without, they are marked as pruned.

    Raises
    ------
    StoreError
        If the source is not the stage, or a file of it is missing or altered.
    """
    record = read_manifest(source)
    if record.get("key") != key:
        raise StoreError(f"{source / MANIFEST}: is the record of another stage")
    left_out = False
    for name in record["files"]:
        to = target / name
        if not to.resolve().is_relative_to(target.resolve()):
            raise StoreError(f"{source / MANIFEST}: names a file outside its folder: {name}")
        if name.startswith(WEIGHTS) and not weights:
            left_out = True
            continue
        to.parent.mkdir(parents=True, exist_ok=True)
        copy = _link_or_copy if name.endswith(_LARGE) else shutil.copyfile
        try:
            copy(source / name, to)
        except FileNotFoundError as error:
            raise StoreError(f"{source / name}: is missing") from error
    if left_out:
        (target / PRUNED).touch()
    found = damages(target, record)
    if found:
        where = source / found[0].path.relative_to(target)
        raise StoreError(f"{where}: {found[0].reason}")
    shutil.copyfile(source / MANIFEST, target / MANIFEST)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
