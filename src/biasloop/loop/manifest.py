"""The manifest of a stage's output, and the output held against it or copied by it.

Knows files and hashes, not what is in them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biasloop.errors import StoreError
from biasloop.files import canonical_json, sha256_file, sha256_text, sync_folder

MANIFEST = "stage.json"

#: An empty file beside the manifest: the model's weights were deleted on purpose.
PRUNED = "pruned"

#: Where a stage keeps the weights that may be pruned.
WEIGHTS = "model/"

#: What a user can do about a damaged stage.
REMEDY = (
    "'biasloop verify RUN --repair' removes what is damaged, and the run's own command then "
    "computes it again"
)
_ALTERED = "is not as it was written: its SHA-256 differs"


@dataclass(frozen=True)
class Damage:
    """A file that is not as it was written, and the reason, for a person."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def is_finished(folder: Path, weights: bool = True) -> bool:
    """Say whether a stage is complete in a folder, and not pruned where its weights are wanted."""
    return (folder / MANIFEST).is_file() and not (weights and (folder / PRUNED).exists())


def files_in(folder: Path) -> list[Path]:
    """List every file of a stage's output, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def seal(record: dict[str, Any]) -> dict[str, Any]:
    """Add a manifest's own hash to it, so that a change of the manifest shows, too."""
    return {**record, "record_sha256": sha256_text(canonical_json(record))}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a stage's output.

    Raises
    ------
    StoreError
        If it is missing, truncated or altered.
    """
    path = folder / MANIFEST
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); {REMEDY}") from error
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict):
        raise StoreError(f"{path}: is not the record of a stage; {REMEDY}")
    own = {key: value for key, value in record.items() if key != "record_sha256"}
    if "record_sha256" in record and seal(own) != record:
        raise StoreError(f"{path}: was altered after it was written; {REMEDY}")
    return record


def recorded_text(folder: Path, name: str) -> str:
    """Read one text file of a stage's output, and hold it alone against its hash.

    Raises
    ------
    StoreError
        If it is missing or altered.
    """
    path, record = folder / name, read_manifest(folder)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{Damage(path, error.strerror or str(error))}; {REMEDY}") from error
    if hashlib.sha256(content).hexdigest() != record["files"].get(name):
        raise StoreError(f"{Damage(path, _ALTERED)}; {REMEDY}")
    return content.decode("utf-8")


def damages(folder: Path, record: dict[str, Any]) -> list[Damage]:
    """List the files of a stage's output that are missing, altered or not of it.

    ``record`` is the manifest; weights that were pruned are not missed.
    """

    def is_pruned(name: str) -> bool:
        return name.startswith(WEIGHTS) and (folder / PRUNED).exists()

    found = []
    for name, expected in sorted(record["files"].items()):
        path = folder / name
        try:
            reason = "" if sha256_file(path) == expected else _ALTERED
        except OSError as error:
            reason = "is missing" if isinstance(error, FileNotFoundError) else str(error.strerror)
        if reason and not is_pruned(name):
            found.append(Damage(path, reason))
    known = record["files"].keys() | {MANIFEST, PRUNED}
    for path in files_in(folder):
        name = path.relative_to(folder).as_posix()
        if name not in known and not is_pruned(name):
            found.append(Damage(path, "is not of this stage"))
    return found


def delete_weights(folder: Path) -> None:
    """Delete a model's weights; first, that they were is marked, in case this is interrupted."""
    if not (folder / PRUNED).exists():
        (folder / PRUNED).touch()
        sync_folder(folder)
    shutil.rmtree(folder / WEIGHTS, ignore_errors=True)


def copy_stage(source: Path, target: Path, key: str, weights: bool) -> None:
    """Fill an empty folder with what a finished stage wrote; only what its manifest names.

    Weights are hard links where the file system allows it: nothing writes into a file of a
    finished stage. All else is copied, so that what alters it in one run leaves the other alone.

    Parameters
    ----------
    source, target
        The finished stage, and an empty folder, which the caller removes on an error.
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
        try:
            _copy(source / name, to)
        except FileNotFoundError as error:
            raise StoreError(f"{source / name}: is missing") from error
    if left_out:
        (target / PRUNED).touch()
    if found := damages(target, record):
        where = source / found[0].path.relative_to(target)
        raise StoreError(f"{where}: {found[0].reason}")
    shutil.copyfile(source / MANIFEST, target / MANIFEST)


def _copy(source: Path, target: Path) -> None:
    if source.suffix == ".safetensors":
        try:
            os.link(source, target)
            return
        except FileNotFoundError:
            raise
        except OSError:  # another file system, or one without hard links
            pass
    shutil.copyfile(source, target)
