"""Open a run that is kept at a URL: its records and stages in a local folder, the mirror."""

from __future__ import annotations

from pathlib import Path

from biasloop.errors import InputError
from biasloop.loop.integrity import MANIFEST
from biasloop.loop.plan import make_plan
from biasloop.loop.remote import Remote, is_url, mirror_of
from biasloop.loop.run import read_config, read_contents
from biasloop.loop.store import Store


def open_remote(place: str | Path, cache: Path) -> tuple[Path, Remote | None]:
    """Find the local folder of a run, and what it mirrors, if anything.

    Raises
    ------
    InputError
        If nothing here can reach that kind of URL.
    StoreError
        If it cannot be read.
    """
    if not is_url(place):
        return Path(place), None
    remote = Remote(str(place))
    folder = mirror_of(remote.url, cache)
    remote.pull_records(folder)
    return folder, remote


def fetch(url: str, cache: Path, whole: bool = False) -> Path:
    """Copy a run here and return its folder.

    Parameters
    ----------
    url
        Where it is kept.
    cache
        Under which its mirror is, and shared stages.
    whole
        Copy everything again, weights too; else only what is not here, and no fine-tuned weights,
        which then count as deleted.

    Raises
    ------
    InputError
        If there is no run.
    StoreError
        If it cannot be read.
    """
    folder, remote = open_remote(url, cache)
    if remote is None or not remote.is_run:
        raise InputError(f"{url}: is not a run: it has no run.json")
    store = Store(folder, cache, remote)
    for stage in make_plan(read_config(folder), read_contents(folder)).stages.values():
        here = store.path(stage)
        # Of a shared stage the copy here is another run's, too, and is left alone.
        again = whole and not stage.shared
        if remote.finished(stage.folder_name) and (again or not (here / MANIFEST).is_file()):
            remote.pull(here, weights=whole or stage.kind != "finetune")
    return folder
