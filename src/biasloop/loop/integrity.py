"""Hold a stage's output against its manifest. Knows files and hashes, not what is in them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biasloop.errors import StoreError
from biasloop.files import canonical_json, sha256_file, sha256_text

MANIFEST = "stage.json"

#: An empty file beside the manifest: the model's weights were deleted on purpose.
PRUNED = "pruned"

#: What a user can do about a damaged stage.
REMEDY = (
    "'biasloop verify RUN --repair' removes what is damaged, and the run's own command then "
    "computes it again"
)

#: Where a stage keeps the weights that may be pruned.
WEIGHTS = "model/"
_ALTERED = "is not as it was written: its SHA-256 differs"


@dataclass(frozen=True)
class Damage:
    """A file of a stage's output that is not as it was written.

    Attributes
    ----------
    path
        The file.
    reason
        What is wrong with it, for a person.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


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


def recorded_file(folder: Path, record: dict[str, Any], name: str) -> str:
    """Read one text file of a stage's output, held against its hash: no other, such as weights.

    Raises
    ------
    StoreError
        If it is missing or altered.
    """
    path = folder / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{Damage(path, error.strerror or str(error))}; {REMEDY}") from error
    if hashlib.sha256(content).hexdigest() != record["files"].get(name):
        raise StoreError(f"{Damage(path, _ALTERED)}; {REMEDY}")
    return content.decode("utf-8")


def damages(folder: Path, record: dict[str, Any]) -> list[Damage]:
    """List the files of a stage's output that are missing, altered or not of it.

    Parameters
    ----------
    folder
        The output, its manifest in it.
    record
        The manifest. Weights that were pruned are not missed.
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
    found.extend(
        Damage(path, "is not of this stage")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and (name := path.relative_to(folder).as_posix()) not in known
        and not is_pruned(name)
    )
    return found
