"""What a worker of a Ray cluster does: one stage, found in the plan by its key. Knows no driver.

A worker is sent text and a place, never code: it lays out the plan by itself from the config, so
nothing that could be run is unpickled.
"""

from __future__ import annotations

import json
import shutil
import socket
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from biasloop.assets import cache_folder
from biasloop.config import parse_config
from biasloop.errors import BiasloopError, StoreError
from biasloop.loop.execute import perform
from biasloop.loop.integrity import PRUNED, WEIGHTS
from biasloop.loop.plan import Plan, make_plan
from biasloop.loop.remote import Remote, mirror_of
from biasloop.loop.resources import threads
from biasloop.loop.stage import Stage
from biasloop.loop.store import Store

#: Seconds between two messages of one stage.
_TELL_EVERY = 0.5

#: Seconds until a shared folder must show on one node what another has written: what NFS takes
#: at most to look again.
_VISIBLE_WITHIN = 60.0


@dataclass(frozen=True)
class Told:
    """What a worker says of the stage that it is at: its key, tokens so far, seconds, machine."""

    key: str
    tokens: int
    seconds: float
    node: str


@dataclass(frozen=True)
class Outcome:
    """How a stage ended.

    Attributes
    ----------
    seconds, tokens
        What it took, and how many tokens it trained on or wrote.
    error, message
        Name of the `BiasloopError` that it raised, and its text; empty where it went well.
    """

    seconds: float = 0.0
    tokens: int = 0
    error: str = ""
    message: str = ""


class Channel:
    """Where workers put what they tell and the driver takes it: runs as an actor."""

    def __init__(self) -> None:
        self._told: list[Told] = []

    def tell(self, told: Told) -> None:
        """Add a message."""
        self._told.append(told)

    def take(self) -> list[Told]:
        """Return what came since the last call."""
        told, self._told = self._told, []
        return told


@lru_cache(maxsize=2)
def _plan(config: str, contents: str) -> Plan:
    return make_plan(parse_config(json.loads(config)), json.loads(contents))


def run_stage(
    config: str,
    contents: str,
    key: str,
    root: str,
    cache: str,
    url: str,
    cpus: int,
    channel: Any,  # noqa: ANN401 - an actor's handle
) -> Outcome:
    """Run one stage of a plan; what a user can act on comes back as an `Outcome`.

    Parameters
    ----------
    config, contents
        JSON: of the experiment, and of `contents_of` it.
    key
        The stage's.
    root, cache
        Folders that every node sees under the same name; not used where there is a URL.
    url
        Where the run is kept; empty where that is ``root``.
    cpus
        Threads to use.
    channel
        Handle of a `Channel`.
    """
    start = told = time.monotonic()
    node = socket.gethostname()
    tokens = 0

    def progress(count: int) -> None:
        nonlocal tokens, told
        tokens += count
        now = time.monotonic()
        if now - told >= _TELL_EVERY:
            told = now
            channel.tell.remote(Told(key, tokens, now - start, node))

    channel.tell.remote(Told(key, 0, 0.0, node))
    try:
        stage = _plan(config, contents).stages.get(key)
        if stage is None:
            raise StoreError(
                f"the node {node} does not know the stage {key[:12]}: has it another version of "
                "biasloop than this machine?"
            )
        store = _remote_store(url) if url else Store(Path(root), Path(cache))
        _see_inputs(stage, store, node)
        with threads(cpus):
            seconds = perform(stage, store, progress)
    except BiasloopError as error:
        return Outcome(error=type(error).__name__, message=str(error))
    return Outcome(seconds, tokens)


def _remote_store(url: str) -> Store:
    """Open a run's mirror on this node, and forget weights there that the run has deleted."""
    cache = cache_folder()
    remote = Remote(url)
    store = Store(mirror_of(url, cache), cache, remote)
    for folder in (store.root / "stages").glob("finetune-*"):
        if remote.finished(folder.name) and not remote.has(folder.name):
            shutil.rmtree(folder / WEIGHTS, ignore_errors=True)
            (folder / PRUNED).touch()
    return store


def _see_inputs(stage: Stage, store: Store, node: str) -> None:
    """Wait until every input is there to be seen."""
    deadline = time.monotonic() + _VISIBLE_WITHIN
    for source in stage.inputs.values():
        while not store.has(source):
            if time.monotonic() > deadline:
                raise StoreError(
                    f"{store.path(source)}: cannot be seen on the node {node}, which needs it for "
                    f"'{stage.name}': the run folder (--out) and the cache (BIASLOOP_CACHE) must "
                    "be on folders that every node shares, or --out a URL such as s3://BUCKET/RUN"
                )
            time.sleep(0.2)
            if store.remote:
                store.remote.refresh()
