"""Open a file, unpacked where its name says that it is packed."""

from __future__ import annotations

import contextlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any, BinaryIO

from fsspec.compression import compr
from fsspec.utils import infer_compression

from biasloop.corpus.source import DENSEST, MOST
from biasloop.errors import InputError

_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)


#: What begins a packed file; no text does so.
_MARKS = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"PK\x03\x04": "zip"}


def unpacked_name(path: Path) -> Path:
    """Return the name of what is packed in a file: ``x.csv`` of ``x.csv.gz``, and of itself."""
    return path.with_suffix("") if infer_compression(path.name) else path


class _Unpacked(io.RawIOBase):
    """Reads what is packed in a file, as long as that is no more than text may come to."""

    def __init__(self, path: Path, handle: BinaryIO, kind: str) -> None:
        self._path, self._total = path, 0
        self._most = max(MOST, round(path.stat().st_size / DENSEST))
        chosen: dict[str, str] = {}
        if kind == "zip":
            names = [
                name
                for name in zipfile.ZipFile(handle).namelist()
                if not name.endswith("/") and not name.startswith("__MACOSX/")
            ]
            if len(names) != 1:
                raise InputError(
                    f"{path}: {len(names):,} files are packed in it: unpack it and name one of them"
                )
            chosen = {"filename": names[0]}
        self._file = compr[kind](handle, mode="rb", **chosen)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - any writable buffer
        try:
            content = self._file.read(len(buffer))
        except _DAMAGE as error:
            raise InputError(f"{self._path}: cannot be unpacked: {error}") from error
        self._total += len(content)
        if self._total > self._most:
            raise InputError(
                f"{self._path}: holds more than {self._most:,} bytes: this is no file of articles"
            )
        buffer[: len(content)] = content
        return len(content)


@contextlib.contextmanager
def opened(path: Path) -> Generator[BinaryIO]:
    """Open a file to read its bytes, unpacked if its name ends in .gz, .bz2, .xz, .zip or the like.

    What is packed without saying so in its name is unpacked, too.

    Raises
    ------
    InputError
        Also while it is read: if it cannot be unpacked, or holds far more than its size.
    """
    kind = infer_compression(path.name)
    with path.open("rb") as handle:
        if kind is None:
            start = handle.read(6)
            handle.seek(0)
            kind = next((_MARKS[mark] for mark in _MARKS if start.startswith(mark)), None)
        if kind is None:
            yield handle
            return
        try:
            raw = _Unpacked(path, handle, kind)
        except _DAMAGE as error:
            raise InputError(f"{path}: cannot be unpacked: {error}") from error
        yield io.BufferedReader(raw, 2**20)
