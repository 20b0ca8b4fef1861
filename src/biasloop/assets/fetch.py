"""Fetch one pinned wheel with pip, without installing it. Knows nothing of what is inside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from biasloop.errors import InputError

#: Seconds after which a download counts as stuck.
_TIMEOUT = 1800


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if not line.startswith(("[notice]", "WARNING"))]
    return (errors or lines or ["no output"])[-1]


def pip_fetch(requirement: str, folder: Path) -> Path:
    """Download the wheel of one pinned requirement; no code of the package runs.

    Parameters
    ----------
    requirement
        ``NAME==VERSION``.
    folder
        An existing empty folder to put the wheel into.

    Returns
    -------
    Path
        The wheel.

    Raises
    ------
    InputError
        With pip's last line, if pip fails, takes more than half an hour, or brings no wheel.
    """
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input"),
        *("--disable-pip-version-check", "--no-deps", "--only-binary=:all:"),
        *("-d", str(folder), requirement),
    ]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, a pinned requirement
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"pip download {requirement}: no answer for {_TIMEOUT // 60} minutes"
        ) from error
    if done.returncode:
        raise InputError(
            f"pip download {requirement} failed: {_last_line(done.stderr or done.stdout)}\n"
            "Is PyPI (or the index that pip is set to) within reach, and is pip there in this "
            "environment?"
        )
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise InputError(f"pip download {requirement} brought {len(wheels)} wheels instead of one")
    return wheels[0]
