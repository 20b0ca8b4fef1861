"""Where stage outputs live: one folder per stage, named by its key, whole or not there.

A manifest in it names each of its files with its hash: an output is held against it, or copied by
it, whatever is in the files.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from biasloop.errors import InputError, StoreError
from biasloop.files import (
    canonical_json,
    new_folder,
    remove_folder,
    remove_leftovers,
    sha256_file,
    sha256_text,
    sync_folder,
    write_json,
)
from biasloop.loop.stage import Stage

if TYPE_CHECKING:
    from biasloop.loop.remote import Remote

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
    The caller removes the folder on an error.

    Parameters
    ----------
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


@contextlib.contextmanager
def locked(root: Path) -> Generator[None]:
    """Hold a run folder's lock; the operating system frees it when the process ends.

    Raises
    ------
    InputError
        If another process holds it.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / ".lock", timeout=0):
            yield
    except Timeout:
        raise InputError(
            f"{root}: another process is running in this folder; wait for it, or give another "
            "folder with --out"
        ) from None


def _waited_for(lock: Path) -> contextlib.AbstractContextManager[Any]:
    """Hold a lock file; wait while another process does."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(lock)


class Store:
    """The outputs of a run's stages, and of those that all runs share in the cache.

    Parameters
    ----------
    root
        The run folder.
    cache
        Folder of outputs that all runs share: base models and, by ``share``, other stages.
    remote
        Where the run is kept, if not in ``root``, which is then its mirror.
    reuse
        Other run folders, whose finished stages are taken before those of the cache.
    share
        Copy what every finished stage wrote, but for the weights of models, into the cache, and
        take it from there.

    Attributes
    ----------
    damaged
        One message for each copy that was found damaged elsewhere, and so was not taken.
    """

    def __init__(
        self,
        root: Path,
        cache: Path,
        remote: Remote | None = None,
        reuse: Sequence[Path] = (),
        share: bool = False,
    ) -> None:
        self.root, self.cache, self.remote, self.shares = root, cache, remote, share
        self.homes = (*reuse, *([cache] if share else []))
        self.damaged: list[str] = []
        self._sound: set[str] = set()

    def _home(self, stage: Stage) -> Path:
        return self.cache if stage.shared else self.root

    def path(self, stage: Stage) -> Path:
        """Return where a stage's output is, or will be."""
        return self._home(stage) / "stages" / stage.folder_name

    def scratch(self, stage: Stage) -> Path:
        """Return where a stage may keep what lets it go on after a crash; made by who needs it."""
        return self._home(stage) / "partial" / stage.folder_name

    def has(self, stage: Stage) -> bool:
        """Say whether a stage's output is complete and nothing of it was pruned."""
        if self.remote:
            return self.remote.has(stage.folder_name)
        return is_finished(self.path(stage))

    def is_pruned(self, stage: Stage) -> bool:
        """Say whether a stage was finished and its weights deleted since."""
        if self.remote:
            return self.remote.finished(stage.folder_name) and not self.has(stage)
        return (self.path(stage) / PRUNED).exists()

    def checked(self, stage: Stage) -> Path:
        """Return a finished stage's folder, each file held against its hash, once per store.

        Raises
        ------
        StoreError
            If a file is missing or altered; the message names the first one.
        """
        folder = self.path(stage)
        if self.remote and not is_finished(folder):
            with _waited_for(folder.with_name(f"{folder.name}.lock")):
                if not is_finished(folder):  # another stage on this machine may have waited
                    self.remote.pull(folder)
        if stage.key not in self._sound:
            found = damages(folder, read_manifest(folder))
            if found:
                others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
                raise StoreError(f"{found[0]}{others}; {REMEDY}")
            self._sound.add(stage.key)
        return folder

    @contextlib.contextmanager
    def alone(self, stage: Stage) -> Generator[None]:
        """Keep other runs from computing a shared stage at the same time: they wait.

        A stage of the run itself needs no lock of its own: the run folder has one.
        """
        if not stage.shared:
            yield
            return
        folder = self.path(stage)
        with _waited_for(folder.with_name(f"{folder.name}.lock")):
            remove_leftovers(folder.parent, folder.name)
            yield

    def _sharing(self) -> contextlib.AbstractContextManager[Any]:
        """Keep other runs from changing what is shared."""
        return _waited_for(self.cache / "stages" / "sharing.lock")

    def take(self, stage: Stage, weights: bool = True) -> bool:
        """Copy a stage that is finished in another run, or in the cache; whole or not at all.

        Every file is held against its hash. A damaged entry of the cache is removed. With
        ``weights``, only a copy that has a model's weights is taken; without, they count as pruned.
        Returns whether one was taken.
        """
        for home in () if stage.shared else self.homes:
            source = home / "stages" / stage.folder_name
            if not is_finished(source, weights):
                continue
            try:
                with self.writing(stage) as folder:
                    copy_stage(source, folder, stage.key, weights)
            except StoreError as error:
                reason = str(error).removesuffix(f"; {REMEDY}")
                self.damaged.append(f"{reason}: it is not taken, and computed again")
                if home == self.cache:
                    with self._sharing():
                        if source.exists():
                            remove_folder(source)
                continue
            self._sound.add(stage.key)
            return True
        return False

    def share(self, stage: Stage) -> None:
        """Copy a finished stage into the cache, for other runs; a model without its weights."""
        source, target = self.path(stage), self.cache / "stages" / stage.folder_name
        # The models of a bias direction are weights and nothing else.
        unwanted = stage.shared or stage.kind == "contrast" or not is_finished(source)
        if not self.shares or unwanted or is_finished(target, weights=False):
            return
        with explained(f"{stage.name}: sharing", self.cache), self._sharing():
            remove_leftovers(target.parent, target.name)
            if not target.exists():
                with new_folder(target) as folder:
                    copy_stage(source, folder, stage.key, weights=False)

    @contextlib.contextmanager
    def writing(self, stage: Stage) -> Generator[Path]:
        """Yield a temporary folder that becomes the stage's output when the block ends well."""
        target = self.path(stage)
        if stage.shared:
            self.cache.mkdir(parents=True, exist_ok=True)
        # Not its parents: a run folder that was removed must not come back with one stage in it.
        target.parent.mkdir(exist_ok=True)
        if target.exists():  # pruned before, and needed again
            remove_folder(target)
        with new_folder(target) as folder:
            yield folder
        if self.remote:
            self.remote.push(target)

    def record(self, stage: Stage, folder: Path, seconds: float) -> None:
        """Write a stage's manifest into its output folder: the last file of it."""
        of, files = stage.recorded, files_in(folder)
        record = {
            **{"kind": of.kind, "name": of.name, "key": of.key, "settings": of.settings},
            "inputs": {name: source.key for name, source in of.inputs.items()},
            "files": {path.relative_to(folder).as_posix(): sha256_file(path) for path in files},
            "seconds": round(seconds, 3),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        write_json(folder / MANIFEST, seal(record))
        self._sound.add(stage.key)

    def forget_scratch(self, stage: Stage) -> None:
        """Remove what a finished stage kept for going on after a crash."""
        folder = self.scratch(stage)
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another stage's is in it
            folder.parent.rmdir()

    def prune(self, stage: Stage) -> None:
        """Delete a fine-tuned model's weights; its record stays."""
        folder = self.path(stage)
        if stage.shared:
            return
        if self.remote:
            self.remote.prune(stage.folder_name)
        if is_finished(folder, weights=False):
            delete_weights(folder)

    def publish(self, stages: Iterable[Stage]) -> None:
        """Copy to remote and cache what was finished but, the process being killed, not copied."""
        for stage in stages:
            here = is_finished(self.path(stage))
            if self.remote and here and not self.remote.finished(stage.folder_name):
                self.remote.push(self.path(stage))
            self.share(stage)


#: How libraries that raise no `OSError` of their own tell of one.
_TOLD = {
    "No space left on device": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "Read-only file system": errno.EROFS,
    "Input/output error": errno.EIO,
}
_KEPT = "what is finished is kept, and the same command goes on from there"


def _number_of(error: Exception) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    return next((number for told, number in _TOLD.items() if told in text), None)


def _explained(error: Exception, number: int, doing: str, root: Path) -> str:
    where = getattr(error, "filename", None) or root
    if not root.exists():
        return f"{root}: is gone ({doing}): was the run folder removed or unmounted while it ran?"
    if number in (errno.ENOSPC, errno.EDQUOT):
        limit = "the disk is full" if number == errno.ENOSPC else "the disk quota is used up"
        free = shutil.disk_usage(root).free / 1e6
        return f"{where}: {limit} ({doing}; {free:,.0f} MB free): make room; {_KEPT}"
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{where}: access was refused ({doing}): is the folder read-only? {_KEPT}"
    if number == errno.ENOENT:
        return f"{where}: is not there ({doing}): was it removed while the run went on? {_KEPT}"
    reason = getattr(error, "strerror", None) or str(error)
    return f"{where}: {reason} ({doing}); {_KEPT}"


@contextlib.contextmanager
def explained(doing: str, root: Path) -> Generator[None]:
    """Turn a fault of the disk, a library's own error of one too, into one that names the file.

    ``doing`` says what was going on, for example a stage's name; ``root`` is the run folder.

    Raises
    ------
    StoreError
        In place of the fault.
    """
    try:
        yield
    except (ConnectionError, TimeoutError):
        raise
    except Exception as error:
        number = errno.ENOENT if isinstance(error, StoreError) else _number_of(error)
        if number is None or (isinstance(error, StoreError) and root.exists()):
            raise
        raise StoreError(_explained(error, number, doing, root)) from error
