"""A run on an object store, or on any other file system that fsspec knows by its URL.

Stages are computed in a local folder, the mirror, and copied. Object stores have no rename, so a
stage's manifest is copied last: a stage without it is not there. Knows names and files, no plan.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator
from pathlib import Path

from biasloop.errors import InputError, StoreError
from biasloop.files import new_folder, remove_folder, sha256_text, write_bytes
from biasloop.loop.store import MANIFEST, PRUNED, WEIGHTS, files_in, read_manifest

#: The record of a run, in its folder.
RUN_FILE = "run.json"

_STAGES = "stages"

#: What of a run folder is of this machine only.
_LOCAL = (_STAGES, "partial")


def is_url(place: str | Path) -> bool:
    """Say whether a place is a URL, and not a local path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(place)) is not None


def mirror_of(url: str, cache: Path) -> Path:
    """Return the local folder that mirrors a run at a URL."""
    return cache / "mirrors" / sha256_text(url.rstrip("/"))[:20]


class Remote:
    """The copy of a run at a URL; what fails there is a `StoreError`.

    Parameters
    ----------
    url
        For example ``s3://BUCKET/RUN``. Keys and end points are found as its fsspec library finds
        them: in the environment or in its own files.

    Raises
    ------
    InputError
        If the library for that kind of URL is not installed.
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs
        from fsspec.implementations.dirfs import DirFileSystem

        self.url = url.rstrip("/")
        try:
            files, root = url_to_fs(self.url)
            self._files = DirFileSystem(root, files)
        except ImportError as error:
            scheme = self.url.split(":", 1)[0]
            hint = "pip install 'biasloop[s3]'" if scheme == "s3" else str(error)
            raise InputError(f"{self.url}: nothing here can reach '{scheme}': {hint}") from error
        except ValueError as error:
            raise InputError(f"{self.url}: cannot be used: {error}") from error
        self._known: set[str] | None = None

    def refresh(self) -> None:
        """Look again at what is there."""
        self._known = None

    def has(self, stage: str) -> bool:
        """Say whether a stage, by its folder's name, is complete there and not pruned."""
        return self.finished(stage) and f"{_STAGES}/{stage}/{PRUNED}" not in self._there()

    @property
    def is_run(self) -> bool:
        """Whether there is a run: its record."""
        return RUN_FILE in self._there()

    @property
    def is_begun(self) -> bool:
        """Whether a stage is complete there."""
        return any(name.endswith(f"/{MANIFEST}") for name in self._there())

    def finished(self, stage: str) -> bool:
        """Say whether a stage is complete there, its weights pruned or not."""
        return f"{_STAGES}/{stage}/{MANIFEST}" in self._there()

    def note(self, stage: str) -> None:
        """Note that somebody else has just put a stage there."""
        self._there().add(f"{_STAGES}/{stage}/{MANIFEST}")
        self._there().discard(f"{_STAGES}/{stage}/{PRUNED}")

    def push(self, folder: Path) -> None:
        """Copy a finished stage there, its manifest last."""
        files = sorted(files_in(folder), key=lambda path: path == folder / MANIFEST)
        with self._explained("writing"):
            # The manifest goes first, so that nobody takes what is half there for whole.
            for name in (MANIFEST, PRUNED):
                self._remove(f"{_STAGES}/{folder.name}/{name}")
            for path in files:
                name = path.relative_to(folder).as_posix()
                self._put(path, f"{_STAGES}/{folder.name}/{name}")

    def pull(self, folder: Path, weights: bool = True) -> None:
        """Copy a finished stage here, whole or not at all; what is here is replaced.

        Without ``weights``, those of a fine-tuned model count as pruned here.

        Raises
        ------
        StoreError
            If it is not there, or cannot be copied.
        """
        place = f"{_STAGES}/{folder.name}"
        if folder.exists():
            remove_folder(folder)
        with self._explained("reading"), new_folder(folder) as here:
            write_bytes(here / MANIFEST, self._files.cat_file(f"{place}/{MANIFEST}"))
            names = read_manifest(here)["files"]
            pruned = not (weights and self.has(folder.name))
            for name in names:
                if pruned and name.startswith(WEIGHTS):
                    continue
                target = (here / name).resolve()
                if not target.is_relative_to(here.resolve()):
                    raise StoreError(f"{self.url}/{place}: names a file outside it: {name}")
                target.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # shows when the hashes are checked
                    self._files.get_file(f"{place}/{name}", str(target))
            if pruned:
                (here / PRUNED).touch()

    def prune(self, stage: str) -> None:
        """Delete a stage's weights there; its record stays."""
        if not self.finished(stage):
            return
        mark, weights = f"{_STAGES}/{stage}/{PRUNED}", f"{_STAGES}/{stage}/{WEIGHTS}"
        with self._explained("deleting weights"):
            if mark not in self._there():
                self._files.pipe_file(mark, b"")
                self.refresh()  # of what others have put there, only the manifests are noted
            for name in [name for name in self._there() if name.startswith(weights)]:
                self._remove(name)

    def remove(self, stage: str) -> None:
        """Delete a stage there, so that it is computed again."""
        place = f"{_STAGES}/{stage}/"
        with self._explained("deleting a stage"):
            self._remove(place + MANIFEST)
            for name in [name for name in self._there() if name.startswith(place)]:
                self._remove(name)

    def push_records(self, folder: Path) -> None:
        """Copy all of a run folder there but its stages: its config, its record, its report."""
        with self._explained("writing"):
            for path in _records(folder):
                self._put(path, path.relative_to(folder).as_posix())

    def pull_records(self, folder: Path) -> None:
        """Copy a run's config, record and report here."""
        with self._explained("reading"):
            for name in sorted(self._there()):
                target = (folder / name).resolve()
                if name.split("/")[0] in _LOCAL or not target.is_relative_to(folder.resolve()):
                    continue
                content = self._files.cat_file(name)
                if not target.is_file() or target.read_bytes() != content:
                    write_bytes(target, content)

    def _there(self) -> set[str]:
        if self._known is None:
            with self._explained("reading"):
                self._files.fs.invalidate_cache()
                self._known = set(self._files.find(""))
        return self._known

    def _put(self, path: Path, name: str) -> None:
        self._files.makedirs(name.rpartition("/")[0], exist_ok=True)
        self._files.put_file(str(path), name)
        self._there().add(name)

    def _remove(self, name: str) -> None:
        if name in self._there():
            self._files.rm_file(name)
            self._there().discard(name)

    @contextlib.contextmanager
    def _explained(self, doing: str) -> Generator[None]:
        try:
            yield
        except (StoreError, InputError):
            raise
        except Exception as error:  # each fsspec library has errors of its own
            raise StoreError(
                f"{self.url}: {doing} failed ({type(error).__name__}: {error}); what is finished "
                "is kept, and the same command goes on from there"
            ) from error


def _records(folder: Path) -> list[Path]:
    return [
        path
        for path in files_in(folder)
        if path.relative_to(folder).parts[0] not in _LOCAL
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
