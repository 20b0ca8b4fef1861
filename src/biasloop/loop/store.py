"""Where stage outputs live: one folder per stage, named by its key, whole or not there."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import shutil
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

from biasloop.errors import InputError, StoreError
from biasloop.files import (
    new_folder,
    remove_folder,
    remove_leftovers,
    sha256_file,
    sync_folder,
    write_json,
)
from biasloop.loop.copying import copy_stage, is_finished
from biasloop.loop.integrity import (
    MANIFEST,
    PRUNED,
    REMEDY,
    WEIGHTS,
    damages,
    read_manifest,
    seal,
)
from biasloop.loop.remote import Remote
from biasloop.loop.stage import Stage


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
        self.root = root
        self.cache = cache
        self.remote = remote
        self.homes = (*reuse, *([cache] if share else []))
        self.shares = share
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
        return self._has_here(stage)

    def _has_here(self, stage: Stage) -> bool:
        folder = self.path(stage)
        return (folder / MANIFEST).is_file() and not (folder / PRUNED).exists()

    def is_pruned(self, stage: Stage) -> bool:
        """Say whether a stage was finished and its weights deleted since."""
        if self.remote:
            return self.remote.finished(stage.folder_name) and not self.has(stage)
        return (self.path(stage) / PRUNED).exists()

    def manifest(self, stage: Stage) -> dict[str, Any]:
        """Read what is recorded of a finished stage.

        Raises
        ------
        StoreError
            If the record is missing or damaged.
        """
        return read_manifest(self.path(stage))

    def checked(self, stage: Stage) -> Path:
        """Return a finished stage's folder, each file held against its hash, once per store.

        Raises
        ------
        StoreError
            If a file is missing or altered; the message names the first one.
        """
        folder = self.path(stage)
        if self.remote and not self._has_here(stage):
            with self._only_one(stage):
                if not self._has_here(stage):  # another stage on this machine may have waited
                    self.remote.pull(folder)
        if stage.key not in self._sound:
            found = damages(folder, self.manifest(stage))
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
        with self._only_one(stage):
            remove_leftovers(self.path(stage).parent, stage.folder_name)
            yield

    @contextlib.contextmanager
    def _only_one(self, stage: Stage) -> Generator[None]:
        folder = self.path(stage).parent
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{stage.folder_name}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def take(self, stage: Stage, weights: bool = True) -> bool:
        """Copy a stage that is finished in another run, or in the cache; whole or not at all.

        Every file is held against its hash. A damaged entry of the cache is removed.

        Parameters
        ----------
        stage
            What is wanted.
        weights
            Whether a model's weights are: only a copy that has them is then taken. Without, they
            count as pruned.

        Returns
        -------
        bool
            Whether it was taken.
        """
        if stage.shared:
            return False
        for home in self.homes:
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
                    self._discard(stage)
                continue
            self._sound.add(stage.key)
            return True
        return False

    def share(self, stage: Stage) -> None:
        """Copy a finished stage into the cache, for other runs; a model without its weights."""
        target = self.cache / "stages" / stage.folder_name
        # The models of a bias direction are weights and nothing else.
        unwanted = stage.shared or stage.kind == "contrast" or not self._has_here(stage)
        if not self.shares or unwanted or is_finished(target, weights=False):
            return
        with self._sharing():
            remove_leftovers(target.parent, target.name)
            if not target.exists():
                with new_folder(target) as folder:
                    copy_stage(self.path(stage), folder, stage.key, weights=False)

    def _discard(self, stage: Stage) -> None:
        target = self.cache / "stages" / stage.folder_name
        with self._sharing():
            if target.exists():
                remove_folder(target)

    @contextlib.contextmanager
    def _sharing(self) -> Generator[None]:
        folder = self.cache / "stages"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "sharing.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def writing(self, stage: Stage) -> Generator[Path]:
        """Yield a temporary folder that becomes the stage's output when the block ends well."""
        target, home = self.path(stage), self._home(stage)
        if stage.shared:
            home.mkdir(parents=True, exist_ok=True)
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
        files = {
            path.relative_to(folder).as_posix(): sha256_file(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        of = stage.recorded
        finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        write_json(
            folder / MANIFEST,
            seal(
                {
                    "kind": of.kind,
                    "name": of.name,
                    "key": of.key,
                    "settings": dict(of.settings),
                    "inputs": {name: source.key for name, source in of.inputs.items()},
                    "files": files,
                    "seconds": round(seconds, 3),
                    "finished": finished,
                }
            ),
        )
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
        if not (folder / MANIFEST).is_file():
            return
        if not (folder / PRUNED).exists():
            (folder / PRUNED).touch()
            sync_folder(folder)
        shutil.rmtree(folder / WEIGHTS, ignore_errors=True)

    def publish(self, stages: Iterable[Stage]) -> None:
        """Copy to the remote what was finished here but, the process being killed, not copied."""
        if not self.remote:
            return
        for stage in stages:
            if self._has_here(stage) and not self.remote.finished(stage.folder_name):
                self.remote.push(self.path(stage))

    def remove_leftovers(self) -> None:
        """Remove what a killed process left half-made; the run's lock must be held."""
        remove_leftovers(self.root / "stages")


@contextlib.contextmanager
def locked(root: Path) -> Generator[None]:
    """Hold a run folder's lock; the operating system frees it when the process ends.

    Raises
    ------
    InputError
        If another process holds it.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{root}: another process is running in this folder; wait for it, or give another "
                "folder with --out"
            ) from None
        yield
