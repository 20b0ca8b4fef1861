"""Say what a fault of the disk means for a run. Knows operating-system errors, not stages."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Generator
from pathlib import Path

from biasloop.errors import StoreError

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
    name = getattr(error, "filename", None)
    where = str(name or root)
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
    """Turn a fault of the disk into one message that names the file.

    Parameters
    ----------
    doing
        What was going on, for example a stage's name.
    root
        The run folder.

    Raises
    ------
    StoreError
        In place of an `OSError`, or of a library's own error that tells of one.
    """
    try:
        yield
    except (ConnectionError, TimeoutError):
        raise
    except StoreError as error:
        if root.exists():
            raise
        raise StoreError(_explained(error, errno.ENOENT, doing, root)) from error
    except Exception as error:
        number = _number_of(error)
        if number is None:
            raise
        raise StoreError(_explained(error, number, doing, root)) from error
