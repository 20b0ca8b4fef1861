"""Hold a whole run against its manifests; remove what is damaged, or what it no longer needs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from biasloop.errors import InputError, StoreError
from biasloop.files import remove_folder
from biasloop.loop.manifest import MANIFEST, Damage, damages, files_in, is_finished, read_manifest
from biasloop.loop.remote import Remote
from biasloop.loop.run import CONFIG_FILE, RUN_FILE, read_config, read_plan
from biasloop.loop.stage import Stage
from biasloop.loop.store import Store, locked

#: Called with the stages done so far, and of how many.
Count = Callable[[int, int], None]


@dataclass(frozen=True)
class Verification:
    """What a check of a run found.

    Attributes
    ----------
    stages, files, bytes
        How many finished stages were checked, how many files in them, and their size.
    missing
        Stages of the run that are not computed yet; pruned weights are not counted.
    damages
        Every file that is not as it was written.
    repaired
        Whether what is damaged was removed.
    """

    stages: int
    files: int
    bytes: int
    missing: int
    damages: tuple[Damage, ...]
    repaired: bool

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damages


def verify(
    root: Path,
    cache: Path,
    repair: bool = False,
    count: Count = lambda done, total: None,
    remote: Remote | None = None,
) -> Verification:
    """Check every finished stage of a run, its shared ones in the cache too.

    Parameters
    ----------
    root
        The run folder.
    cache
        Of shared stages.
    repair
        Remove each damaged stage, and a damaged record of the run: the run's own command makes
        them again.
    count
        Told of the stages done.
    remote
        What ``root`` is a whole copy of, if anything: what is damaged is removed there, too.

    Raises
    ------
    InputError
        If the folder is not a run, or another process is running in it.
    """
    if not (root / RUN_FILE).is_file():
        raise InputError(f"{root}: is not a run folder: it has no {RUN_FILE}")
    # A check alone takes no lock: it can be made while a run goes on, and on a read-only folder.
    with locked(root) if repair else contextlib.nullcontext():
        broken = _broken_record(root)
        if broken:
            if repair:
                broken.path.unlink(missing_ok=True)
            return Verification(0, 0, 0, 0, (broken,), repair)
        plan, store = read_plan(root), Store(root, cache)
        stages = plan.stages.values()
        finished = [stage for stage in stages if is_finished(store.path(stage), weights=False)]
        found: list[Damage] = []
        files = size = 0
        for done, stage in enumerate(finished, start=1):
            here, held = _of_stage(stage, store)
            found.extend(here)
            files += len(held)
            size += sum(path.stat().st_size for path in held)
            if here and repair:
                with store.alone(stage):
                    remove_folder(store.path(stage))
                if remote:
                    remote.remove(stage.folder_name)
            count(done, len(finished))
        return Verification(
            len(finished),
            files,
            size,
            len(stages) - len(finished),
            tuple(found),
            repair and bool(found),
        )


def clean(root: Path, cache: Path, dry_run: bool = False) -> list[tuple[str, int]]:
    """Delete the stages that a run's config no longer needs.

    Parameters
    ----------
    root, cache
        The run folder and the cache; in the cache nothing is deleted.
    dry_run
        Only say what would be.

    Returns
    -------
    list
        Folder name and size in bytes of each.

    Raises
    ------
    InputError
        If the folder is not a run, or another process is running in it.
    """
    needed = {stage.folder_name for stage in read_plan(root).stages.values()}
    found = []
    with contextlib.nullcontext() if dry_run else locked(root):
        for folder in sorted((root / "stages").glob("*/")):
            if folder.name not in needed:
                size = sum(path.stat().st_size for path in files_in(folder))
                found.append((folder.name, size))
                if not dry_run:
                    remove_folder(folder)
    return found


def _of_stage(stage: Stage, store: Store) -> tuple[list[Damage], list[Path]]:
    folder = store.path(stage)
    held = files_in(folder)
    try:
        record = read_manifest(folder)
    except StoreError:
        return [Damage(folder / MANIFEST, "cannot be read, or was altered")], held
    found = damages(folder, record)
    if record.get("key") != stage.key:
        found.insert(0, Damage(folder / MANIFEST, "is the record of another stage"))
    return found, held


def _broken_record(root: Path) -> Damage | None:
    try:
        read_config(root)
    except StoreError as error:
        reason = str(error).split(": ", 1)[-1]
        in_config = str(root / CONFIG_FILE) in str(error)
        return Damage(root / (CONFIG_FILE if in_config else RUN_FILE), reason)
    return None
