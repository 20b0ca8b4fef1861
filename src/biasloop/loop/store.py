"""Where stage outputs live: one folder per stage, named by its key, whole or not there."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

from biasloop.errors import InputError, StoreError
from biasloop.files import new_folder, sha256_file, write_json
from biasloop.loop.stage import Stage

MANIFEST = "stage.json"


class Store:
    """The outputs of a run's stages, and of the shared ones in the cache.

    Parameters
    ----------
    root
        The run folder.
    cache
        Folder of outputs that all runs share, such as pre-trained base models.
    """

    def __init__(self, root: Path, cache: Path) -> None:
        self.root = root
        self.cache = cache

    def path(self, stage: Stage) -> Path:
        """Return where a stage's output is, or will be."""
        return (self.cache if stage.shared else self.root) / "stages" / stage.folder_name

    def has(self, stage: Stage) -> bool:
        """Say whether a stage's output is complete and nothing of it was pruned."""
        manifest = self.path(stage) / MANIFEST
        return manifest.is_file() and not (self.path(stage) / "pruned").exists()

    def manifest(self, stage: Stage) -> dict[str, Any]:
        """Read what is recorded of a finished stage.

        Raises
        ------
        StoreError
            If the record is missing or damaged.
        """
        path = self.path(stage) / MANIFEST
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{path}: cannot be read ({error}); delete its folder and run again"
            ) from error

    @contextlib.contextmanager
    def writing(self, stage: Stage) -> Generator[Path]:
        """Yield a temporary folder that becomes the stage's output when the block ends well."""
        target = self.path(stage)
        if target.exists():  # pruned before, and needed again
            shutil.rmtree(target)
        with new_folder(target) as folder:
            yield folder

    @staticmethod
    def record(stage: Stage, folder: Path, seconds: float) -> None:
        """Write a stage's manifest into its output folder: the last file of it."""
        files = {
            str(path.relative_to(folder)): sha256_file(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        write_json(
            folder / MANIFEST,
            {
                "kind": stage.kind,
                "name": stage.name,
                "key": stage.key,
                "settings": dict(stage.settings),
                "inputs": {name: source.key for name, source in stage.inputs.items()},
                "files": files,
                "seconds": round(seconds, 3),
                "finished": finished,
            },
        )

    def prune(self, stage: Stage) -> None:
        """Delete a fine-tuned model's weights; its record stays."""
        folder = self.path(stage)
        if stage.shared or not self.has(stage):
            return
        (folder / "pruned").touch()
        shutil.rmtree(folder / "model", ignore_errors=True)


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
