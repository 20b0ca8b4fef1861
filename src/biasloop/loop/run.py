"""A run folder: made for one config, continued with the same one, read back as `Results`."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import polars as pl

from biasloop import __version__
from biasloop.config import Config, parse_config, read_yaml, without_folders, write_yaml
from biasloop.errors import InputError, StoreError
from biasloop.files import (
    canonical_json,
    read_text,
    remove_leftovers,
    sha256_text,
    write_json,
    write_text,
)
from biasloop.loop.article_stages import read_part
from biasloop.loop.faults import explained
from biasloop.loop.integrity import MANIFEST, recorded_file
from biasloop.loop.model_stages import DECODING
from biasloop.loop.plan import Plan, SetKey, make_plan
from biasloop.loop.remote import RUN_FILE
from biasloop.loop.results import Results
from biasloop.loop.stage import Stage
from biasloop.loop.store import Store
from biasloop.tables import (
    ARTICLES,
    CHAIN,
    EVENTS,
    LEANING_SCORES,
    NEURONS,
    SCORES,
    SET_SCORES,
    TRAINED,
    UPDATES,
    conform,
    read_table,
)

CONFIG_FILE = "config.yaml"
#: Bytes of either. Written out in full, a config is longer than the one it came from.
_LONGEST = 1_000_000
_LIBRARIES = (
    "torch",
    "transformers",
    "accelerate",
    "tokenizers",
    "scikit-learn",
    "numpy",
    "polars",
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
    no longer has stay, and are not read.

    Parameters
    ----------
    config, root
        The experiment and its folder.
    contents
        As from `contents_of`: recorded, so that the run can be read without its inputs.

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
        write_json(
            root / RUN_FILE,
            {
                "config": computed_part(config),
                "contents": dict(contents),
                "provenance": provenance(config),
            },
        )
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
    if (root / RUN_FILE).is_file():
        if begun or any((root / "stages").glob("*/stage.json")):
            _check_grows(config, root)
    elif root.is_dir() and not (_lost_its_record(root) or _is_untouched(root)):
        raise InputError(
            f"{root}: is not empty and is not a run of biasloop (it has no {RUN_FILE}); "
            "give another folder with --out"
        )


def _lost_its_record(root: Path) -> bool:
    """Say whether it was a run: stages are known by their own keys, so they can be used again."""
    return (root / CONFIG_FILE).is_file() and any((root / "stages").glob("*/stage.json"))


def _is_untouched(root: Path) -> bool:
    """Say whether nothing is in it but what a run that was killed at once leaves."""
    return all(path.name.startswith((".lock", f".{RUN_FILE}.")) for path in root.iterdir())


def _check_grows(config: Config, root: Path) -> None:
    stored, wanted = _fixed(_recorded_config(root)), _fixed(config)
    if stored != wanted:
        keys = ", ".join(_differences(stored, wanted)[:5])
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
    return parse_config(_of_now(_read_record(root)["config"]), (), str(root / RUN_FILE))


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


def _differences(one: Any, other: Any, path: str = "") -> list[str]:  # noqa: ANN401 - JSON
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            found
            for key in sorted(one.keys() | other.keys())
            for found in _differences(one.get(key), other.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if one == other else [path]


def _read_record(root: Path) -> dict[str, Any]:
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
    """Read what the content of a run's inputs was.

    Raises
    ------
    InputError
        If the folder is not a run.
    """
    record = _read_record(root)
    if "contents" not in record:
        raise InputError(f"{root}: was made by another version of biasloop; run it again")
    return record["contents"]


def read_results(root: Path, cache: Path) -> Results:
    """Read what a run has so far, finished or not.

    Raises
    ------
    InputError
        If the folder is not a run, or nothing has been scored in it yet.
    """
    config = read_config(root)
    plan, store = make_plan(config, read_contents(root)), Store(root, cache)
    if not store.has(plan.corpus):
        raise InputError(f"{root}: nothing has been computed in it yet; run it first")
    corpus_folder = store.checked(plan.corpus)
    corpus = json.loads((corpus_folder / "corpus.json").read_text(encoding="utf-8"))
    return Results(
        folder=root,
        config=config,
        labels=tuple(corpus["labels"]),
        corpus=corpus,
        real=read_part(corpus_folder, "real"),
        holdout=read_part(corpus_folder, "holdout"),
        articles=_gather(store, plan.generated, "articles", pl.Schema({**CHAIN, **ARTICLES})),
        scores=_gather(store, plan.scored, "scores", SCORES),
        leaning_scores=_gather(store, plan.scored, "leaning_scores", LEANING_SCORES),
        set_scores=_gather(store, plan.scored, "set_scores", SET_SCORES),
        updates=_gather(store, plan.updated, "updates", UPDATES),
        neurons=_gather(store, plan.neurons, "neurons", NEURONS),
        trained=_trained(store, plan),
        cards=tuple(_cards(store, plan)),
        stages=_stages(store, plan),
        bad_rows=read_table(corpus_folder / "bad_rows.parquet"),
        events=_events(config, corpus_folder),
        provenance=_read_record(root)["provenance"],
        decoding=_decoding(store, plan),
    )


def _decoding(store: Store, plan: Plan) -> dict[str, Any]:
    if not store.has(plan.base):
        return {}
    return json.loads((store.checked(plan.base) / DECODING).read_text(encoding="utf-8"))


def _events(config: Config, corpus: Path) -> dict[str, str]:
    if config.corpus.columns.event is None:
        return {}
    return dict(read_table(corpus / "events.parquet", EVENTS).iter_rows())


def _gather(
    store: Store, stages: Mapping[SetKey, Stage], table: str, schema: pl.Schema
) -> pl.DataFrame:
    frames = [pl.DataFrame(schema=schema)]
    for (regime, seed, generation), stage in stages.items():
        if store.has(stage):
            frame = read_table(store.checked(stage) / f"{table}.parquet").with_columns(
                pl.lit(regime).alias("regime"),
                pl.lit(seed, pl.Int64).alias("seed"),
                pl.lit(generation, pl.Int64).alias("generation"),
            )
            frames.append(conform(frame, schema))
    return pl.concat(frames)


def _trained(store: Store, plan: Plan) -> pl.DataFrame:
    """Read how many tokens each finished model was trained on, its weights deleted or not."""
    rows = []
    for key, stage in plan.finetuned.items():
        if (store.path(stage) / MANIFEST).is_file():
            text = recorded_file(store.path(stage), store.manifest(stage), "training.json")
            rows.append((*key, int(json.loads(text)["tokens"])))
    return pl.DataFrame(rows, schema=TRAINED, orient="row")


def _cards(store: Store, plan: Plan) -> list[dict[str, Any]]:
    cards = []
    for stage in plan.instruments.values():
        if not store.has(stage):
            continue
        path = store.checked(stage) / "instrument" / "card.json"
        if path.is_file():
            cards.append(json.loads(path.read_text(encoding="utf-8")))
    return cards


def _stages(store: Store, plan: Plan) -> pl.DataFrame:
    rows = []
    for stage in plan.stages.values():
        if (store.path(stage) / MANIFEST).is_file():
            record = store.manifest(stage)
            rows.append((stage.kind, stage.name, stage.key, record["seconds"], record["finished"]))
    schema = {
        "kind": pl.String,
        "name": pl.String,
        "key": pl.String,
        "seconds": pl.Float64,
        "finished": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")
