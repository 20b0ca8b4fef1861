"""Whole files, or none: atomic writes and content hashes. Knows nothing of what is in them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Serialise a JSON value so that equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256_text(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits, in constant memory."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_text(path: Path, longest: int) -> str:
    """Read a UTF-8 file of at most ``longest`` bytes; no pipe or device, which may never end.

    Raises
    ------
    OSError
        If it cannot be read, or is no regular file.
    ValueError
        If it is longer, or not UTF-8.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no file", str(path))
    with path.open("rb") as handle:
        content = handle.read(longest + 1)
    if len(content) > longest:
        raise ValueError(f"it is longer than {longest:,} bytes")
    return content.decode("utf-8")


def sync_folder(folder: Path) -> None:
    """Have the disk know which files a folder holds before anything that follows."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def _beside(path: Path) -> Path:
    """Name something temporary that is to become ``path``; see `remove_leftovers`."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    # Unlike tempfile's, with the rights that the user's umask gives.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text atomically; see `write_bytes`."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write a JSON value atomically, with sorted keys and indentation."""
    write_text(path, json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def new_folder(target: Path) -> Generator[Path]:
    """Fill a folder under a temporary name; it appears at ``target`` only when all went well.

    Yields
    ------
    Path
        The temporary folder beside ``target``. On an error it is removed; on success every
        file is fsynced and the folder renamed. If another process put ``target`` there first,
        that one is kept: equal inputs give equal content.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(target)
    temporary.mkdir()
    try:
        yield temporary
        for path in temporary.rglob("*"):
            if path.is_file():
                _sync_file(path)
            elif path.is_dir():
                sync_folder(path)
        sync_folder(temporary)
        try:
            temporary.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            shutil.rmtree(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(target.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that a reader sees it whole or not at all."""
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    folder.rename(aside)
    sync_folder(folder.parent)
    shutil.rmtree(aside)


def remove_leftovers(parent: Path, name: str = "*") -> None:
    """Remove what a killed process left half-made in a folder.

    Parameters
    ----------
    parent
        Where `new_folder`, `write_bytes` and `remove_folder` were at work.
    name
        Only what was on its way to, or from, this name (a glob pattern). Nobody else may be at
        work there.
    """
    for path in parent.glob(f".{name}.*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
