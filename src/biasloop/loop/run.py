"""A run folder, or its mirror: made for one config, continued with it, read, verified, cleaned."""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

from biasloop.config import Config, parse_config, read_yaml, without_folders, write_yaml
from biasloop.errors import InputError, StoreError
from biasloop.files import (
    canonical_json,
    read_text,
    remove_folder,
    remove_leftovers,
    sha256_text,
    write_json,
    write_text,
)
from biasloop.loop.plan import Plan, make_plan
from biasloop.loop.remote import RUN_FILE, Remote, is_url, mirror_of
from biasloop.loop.stage import Stage
from biasloop.loop.store import (
    MANIFEST,
    Damage,
    Store,
    damages,
    explained,
    files_in,
    is_finished,
    locked,
    read_manifest,
)
from biasloop.version import __version__

CONFIG_FILE = "config.yaml"
#: Bytes of either. Written out in full, a config is longer than the one it came from.
_LONGEST = 1_000_000
_LIBRARIES = (
    *("torch", "transformers", "accelerate", "tokenizers"),
    *("scikit-learn", "numpy", "polars"),
)


def computed_part(config: Config) -> dict[str, Any]:
    """Return the part of a config that decides what is computed, not what is shown or kept."""
    shown_or_kept = {
        "report": True,
        "executor": True,
        "loop": {"keep_models", "shards"},
        "training": {"checkpoint_minutes", "report_to"},
    }
    return config.model_dump(mode="json", exclude=shown_or_kept)


#: What can change while a run goes on: its finished articles and scores stay what they are.
_GROWS: dict[str, set[str] | None] = {
    "name": None,
    "loop": {"generations", "seeds", "bias_direction"},
    "regimes": None,
    "metrics": None,
    "neurons": None,
}


def config_hash(config: Config) -> str:
    """SHA-256 of what a config computes, wherever its inputs lie."""
    return sha256_text(canonical_json(computed_part(without_folders(config))))


def provenance(config: Config) -> dict[str, str]:
    """Say what computed a run: versions, platform, config hash."""
    versions = {name: metadata.version(name) for name in _LIBRARIES}
    return {
        "config_sha256": config_hash(config),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "biasloop": __version__,
        **versions,
    }


def open_run(config: Config, root: Path, contents: Mapping[str, Any]) -> None:
    """Make a run folder for a config, or let the run that is in it grow to this config.

    A run grows by seeds, generations, regimes, metrics and neurons; stages that a smaller config
    no longer has stay, and are not read. ``contents``, as from `contents_of`, are recorded, so
    that the run can be read without its inputs.

    Raises
    ------
    InputError
        If the folder holds something else: another experiment's run, or files that are no run.
    """
    check_folder(config, root)
    with explained("opening the run folder", root):
        for name in ("*.json", "*.yaml", "*.html"):
            remove_leftovers(root, name)
        remove_leftovers(root / "figures", "*.png")
        # First, since a folder without it is not known to be a run.
        record = {"config": computed_part(config), "contents": dict(contents)}
        write_json(root / RUN_FILE, {**record, "provenance": provenance(config)})
        text = write_yaml(config.model_dump(mode="json"))
        path = root / CONFIG_FILE
        # Left alone where it says the same, so that a report newer than it is known to be current.
        if not path.is_file() or path.read_bytes() != text.encode("utf-8"):
            write_text(path, text)


def check_folder(config: Config, root: Path, begun: bool = False) -> None:
    """Refuse a folder that cannot become, or is not, the run of a config; writes nothing.

    ``begun`` says that there are stages of the run elsewhere, of which the folder is the mirror.

    Raises
    ------
    InputError
        If it holds something else: another experiment's run, or files that are no run.
    StoreError
        If it is a run whose record is damaged.
    """
    if root.exists() and not root.is_dir():
        raise InputError(f"{root}: is a file; --out takes a folder")
    has_stages = any((root / "stages").glob(f"*/{MANIFEST}"))
    # Without its record it was a run where it has stages, which are known by their own keys; one
    # that was killed at once has nothing else in it.
    left = all(p.name.startswith((".lock", f".{RUN_FILE}.")) for p in root.glob("*"))
    if (root / RUN_FILE).is_file():
        if begun or has_stages:
            _check_grows(config, root)
    elif not (left or ((root / CONFIG_FILE).is_file() and has_stages)):
        raise InputError(
            f"{root}: is not empty and is not a run of biasloop (it has no {RUN_FILE}); "
            "give another folder with --out"
        )


def _check_grows(config: Config, root: Path) -> None:
    stored, wanted = flat(_fixed(_recorded_config(root))), flat(_fixed(config))
    if stored != wanted:
        differ = (k for k in sorted({*stored, *wanted}) if stored.get(k) != wanted.get(k))
        keys = ", ".join(list(differ)[:5])
        raise InputError(
            f"{root}: belongs to another experiment (it differs in: {keys}); give another folder "
            "with --out. In the same one only seeds, generations, regimes, metrics, neurons and "
            "what is shown can change"
        )


def _fixed(config: Config) -> dict[str, Any]:
    """Return what a run cannot change without writing every article anew."""
    computed = _plain(config)
    for section, keys in _GROWS.items():
        if keys is None:
            del computed[section]
        else:
            computed[section] = {k: v for k, v in computed[section].items() if k not in keys}
    return computed


def _plain(config: Config) -> dict[str, Any]:
    return json.loads(json.dumps(computed_part(without_folders(config))))


def _recorded_config(root: Path) -> Config:
    # Read as a config, so that a setting which came later has its default.
    return parse_config(_of_now(read_record(root)["config"]), (), str(root / RUN_FILE))


def _of_now(values: Any) -> Any:  # noqa: ANN401 - JSON
    """Leave out the ``fraction`` that earlier versions recorded of every regime, used or not."""
    regimes = values.get("regimes") if isinstance(values, dict) else None
    if not isinstance(regimes, list):
        return values
    return values | {
        "regimes": [
            {key: one[key] for key in one if key != "fraction"}
            if isinstance(one, dict) and one.get("kind") != "preservation"
            else one
            for one in regimes
        ]
    }


def flat(value: Any, key: str = "") -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Give every setting of a config by its dotted key."""
    if not (isinstance(value, dict) and value):
        return {key: value}
    parts = (flat(inner, f"{key}.{name}".lstrip(".")) for name, inner in value.items())
    return dict(chain.from_iterable(part.items() for part in parts))


def read_record(root: Path) -> dict[str, Any]:
    """Read what a run is of: its config, its inputs' content, what computed it."""
    try:
        record = json.loads(read_text(root / RUN_FILE, _LONGEST))
        if not (isinstance(record, dict) and {"config", "provenance"} <= record.keys()):
            raise ValueError("it is not the record of a run")
        return record
    except FileNotFoundError:
        raise InputError(f"{root}: is not a run folder: it has no {RUN_FILE}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{root / RUN_FILE}: cannot be read ({error}); 'biasloop verify {root} --repair' "
            "removes it, and the run's own command then writes it again"
        ) from error


def read_config(root: Path) -> Config:
    """Read the config of a run folder.

    Raises
    ------
    InputError
        If the folder is not a run.
    StoreError
        If its config was truncated or altered in what it computes.
    """
    recorded = _plain(_recorded_config(root))
    path = root / CONFIG_FILE
    try:
        values = read_yaml(read_text(path, _LONGEST), str(path), _LONGEST)
        config = parse_config(_of_now(values), (), str(path))
        if _plain(config) != recorded:
            raise ValueError(f"it is not the config that is recorded in {RUN_FILE}")
        return config
    except (OSError, ValueError, InputError) as error:
        raise StoreError(
            f"{path}: cannot be read ({error}); the run's own command writes it again"
        ) from error


def read_contents(root: Path) -> dict[str, Any]:
    """Read what the content of a run's inputs was."""
    record = read_record(root)
    if "contents" not in record:
        raise InputError(f"{root}: was made by another version of biasloop; run it again")
    return record["contents"]


def read_plan(root: Path) -> Plan:
    """Lay out the stages of a run."""
    return make_plan(read_config(root), read_contents(root))


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
    """Copy a run into its mirror, under ``cache``, and return that folder.

    ``whole`` copies everything again, weights too; else only what is not here is copied, and no
    fine-tuned weights, which then count as deleted.

    Raises
    ------
    InputError
        If there is no run.
    StoreError
        If it cannot be read.
    """
    folder, remote = open_remote(url, cache)
    if remote is None or not remote.is_run:
        raise InputError(f"{url}: is not a run: it has no {RUN_FILE}")
    store = Store(folder, cache, remote)
    for stage in read_plan(folder).stages.values():
        here = store.path(stage)
        # Of a shared stage the copy here is another run's, too, and is left alone.
        again = whole and not stage.shared
        if remote.finished(stage.folder_name) and (again or not is_finished(here, weights=False)):
            remote.pull(here, weights=whole or stage.kind != "finetune")
    return folder


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
    remote: Remote | None = None,
) -> Verification:
    """Check every finished stage of a run, its shared ones in the cache too.

    Parameters
    ----------
    root, cache
        The run folder, and the cache of shared stages.
    repair
        Remove each damaged stage, and a damaged record of the run: the run's own command makes
        them again.
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
        for stage in finished:
            here, held = _of_stage(stage, store)
            found.extend(here)
            files += len(held)
            size += sum(path.stat().st_size for path in held)
            if here and repair:
                with store.alone(stage):
                    remove_folder(store.path(stage))
                if remote:
                    remote.remove(stage.folder_name)
        return Verification(
            len(finished),
            files,
            size,
            len(stages) - len(finished),
            tuple(found),
            repair and bool(found),
        )


def clean(root: Path, cache: Path, dry_run: bool = False) -> list[tuple[str, int]]:
    """Delete the stages that a run's config no longer needs; in the cache nothing is deleted.

    ``dry_run`` only says what would be. Returns folder name and size in bytes of each.

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
