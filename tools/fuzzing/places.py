"""Paths that are not the plain file that a reader hopes for. Knows no format."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from fuzzing.texts import nasty, utf8

#: Kinds of path that are no file of content.
KINDS = (
    "missing",
    "folder",
    "full folder",
    "pipe",
    "device",
    "endless device",
    "dangling link",
    "link loop",
    "link to a folder",
    "holes",
    "below a file",
    "any text",
    "own process",
)


def put(kind: str, path: Path, random: Random) -> str:
    """Make a strange path, and return how a config would name it.

    Parameters
    ----------
    kind
        One of `KINDS`.
    path
        Where to make it.
    random
        Draws the text of ``any text``.
    """
    if kind == "folder":
        path.mkdir()
    elif kind == "full folder":
        path.mkdir()
        (path / "a.json").write_text("{")
        (path / "b").symlink_to(path)
        os.mkfifo(path / "c.json")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to(os.devnull)
    elif kind == "endless device":
        path.symlink_to("/dev/zero")
    elif kind == "dangling link":
        path.symlink_to(path.parent / "nowhere")
    elif kind == "link loop":
        path.symlink_to(path)
    elif kind == "link to a folder":
        path.symlink_to(path.parent.parent)
    elif kind == "holes":
        with path.open("wb") as handle:
            handle.truncate(1 << 42)
    elif kind == "below a file":
        path.write_text("x")
        return str(path / "x")
    elif kind == "any text":
        return nasty(random)
    elif kind == "own process":
        return random.choice(("/proc/self/environ", "/proc/self/mem", "/proc/self/fd", "/dev/full"))
    return str(path)


def named(name: str) -> list[str]:
    """List the texts by which a message may name a file: as it is, escaped, or cut short."""
    base = Path(name).name or name
    texts = {name, str(Path(name)), repr(name)[1:-1], base, repr(base)[1:-1], utf8(base)[:40]}
    return [text for text in texts if text]
