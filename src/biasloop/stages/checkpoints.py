"""Checkpoints of one training that a kill at any moment leaves whole. Knows files, not models.

The Trainer writes a checkpoint file by file. Here it writes under a name that is never resumed
from; once it is done, the files get a manifest of their hashes and the folder its real name.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from biasloop.files import new_folder, sha256_file, write_json

#: What the Trainer calls a checkpoint; its step follows.
_PREFIX = "checkpoint-"
_MANIFEST = "manifest.json"
#: Pickled by the Trainer beside the weights, read by nobody.
_NEVER_READ = "training_args.bin"


class Checkpoints:
    """The folder of one training's checkpoints; the last whole one is kept.

    Parameters
    ----------
    folder
        Made if it is not there. Only names of checkpoints are touched in it.
    training
        Identifies the training: a checkpoint of another one is not resumed from.
    """

    def __init__(self, folder: Path, training: str) -> None:
        self.folder, self._training = folder, training
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def unfinished(self) -> Path:
        """Where the Trainer writes: its ``output_dir``."""
        return self.folder / "unfinished"

    def latest(self) -> Path | None:
        """Return the last whole checkpoint of this training, and remove every other."""
        found = max(filter(self._is_whole, self._all()), key=_step, default=None)
        self._remove_others(found)
        return found

    def keep(self, step: int) -> None:
        """Let the checkpoint that the Trainer has written take the place of the one before."""
        written = self.unfinished / f"{_PREFIX}{step}"
        (written / _NEVER_READ).unlink(missing_ok=True)
        files = {
            str(path.relative_to(written)): sha256_file(path)
            for path in sorted(written.rglob("*"))
            if path.is_file()
        }
        target = self.folder / written.name
        with new_folder(target) as temporary:
            for path in list(written.iterdir()):
                path.rename(temporary / path.name)
            write_json(temporary / _MANIFEST, {"training": self._training, "files": files})
        self._remove_others(target)

    def _all(self) -> Iterator[Path]:
        for path in self.folder.iterdir():
            if path.name.removeprefix(_PREFIX).isdecimal() and path.name.startswith(_PREFIX):
                yield path

    def _is_whole(self, checkpoint: Path) -> bool:
        try:
            manifest = json.loads((checkpoint / _MANIFEST).read_text(encoding="utf-8"))
            return manifest["training"] == self._training and all(
                sha256_file(checkpoint / name) == expected
                for name, expected in manifest["files"].items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def _remove_others(self, kept: Path | None) -> None:
        for path in list(self.folder.iterdir()):
            ours = path.name.startswith((_PREFIX, f".{_PREFIX}")) or path == self.unfinished
            if ours and path != kept:
                shutil.rmtree(path, ignore_errors=True)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(_PREFIX))
