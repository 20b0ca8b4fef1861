"""Run what is missing of a plan on a Ray cluster: the same stages, as tasks side by side.

The driver keeps the graph, and hands a stage out when its inputs are done; Ray places it where its
cores, GPUs and memory are free. A worker is sent text and a place, never code: it lays out the plan
by itself from the config, so nothing that could be run is unpickled.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from biasloop import errors
from biasloop.assets import cache_folder
from biasloop.config import Config, parse_config
from biasloop.errors import BiasloopError, InputError, StoreError
from biasloop.files import canonical_json
from biasloop.loop.execute import (
    Event,
    Execution,
    Listener,
    Meter,
    perform,
    resources_of,
    threads,
)
from biasloop.loop.plan import Plan, make_plan
from biasloop.loop.remote import Remote, mirror_of
from biasloop.loop.stage import Stage
from biasloop.loop.store import Store, delete_weights

#: Seconds between two looks at what the workers tell.
_LOOK_EVERY = 0.5

#: A stage whose worker process dies this often while its node lives is not tried again.
_MOST_CRASHES = 3

#: A stage whose node is lost this often is taken to be what kills it.
_MOST_LOSSES = 5

#: Seconds that a cluster gets to answer, and cancelled stages to end.
_KNOCK_SECONDS, _LAST_SECONDS = 10.0, 5.0

#: Seconds until a shared folder must show on one node what another has written: what NFS takes
#: at most to look again.
_VISIBLE_WITHIN = 60.0

#: Stages that run no model: the corpus is read, tables are put together.
_WITHOUT_MODEL = ("corpus", "join")


class Node(NamedTuple):
    """A machine: its cores and its GPUs."""

    cpus: float
    gpus: float


class Needs(NamedTuple):
    """What a stage reserves: cores (and so threads), a number or fraction of GPUs, memory in GB."""

    cpus: int
    gpus: float
    memory_gb: float | None


def needs_of(config: Config, kind: str, nodes: Sequence[Node]) -> Needs:
    """Say what a kind of stage reserves on a cluster of these machines.

    By default all cores of the smallest one, divided by its GPUs, and one GPU where there is any
    and the stage runs a model.
    """
    own = resources_of(config, kind)
    fair = [node.cpus // max(1, node.gpus) for node in nodes if node.cpus >= 1]
    some = any(node.gpus for node in nodes) and kind not in _WITHOUT_MODEL
    gpus = float(some) if own.gpus is None else own.gpus
    return Needs(own.cpus or max(1, int(min(fair, default=1))), gpus, own.memory_gb)


class Channel:
    """Where workers put what they tell, and the driver takes it: runs as an actor.

    A message is a stage's key, its tokens so far and its seconds.
    """

    def __init__(self) -> None:
        self._told: list[tuple[str, int, float]] = []

    def tell(self, key: str, tokens: int, seconds: float) -> None:
        """Add a message."""
        self._told.append((key, tokens, seconds))

    def take(self) -> list[tuple[str, int, float]]:
        """Return what came since the last call."""
        told, self._told = self._told, []
        return told


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
    meter, node = Meter(partial(channel.tell.remote, key)), socket.gethostname()
    channel.tell.remote(key, 0, 0.0)
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
            seconds = perform(stage, store, meter)
    except BiasloopError as error:
        return Outcome(error=type(error).__name__, message=str(error))
    return Outcome(seconds, meter.tokens)


def _remote_store(url: str) -> Store:
    """Open a run's mirror on this node, and forget weights there that the run has deleted."""
    cache, remote = cache_folder(), Remote(url)
    store = Store(mirror_of(url, cache), cache, remote)
    for folder in (store.root / "stages").glob("finetune-*"):
        if remote.finished(folder.name) and not remote.has(folder.name):
            delete_weights(folder)
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


def execute_on_ray(
    plan: Plan,
    store: Store,
    listen: Listener,
    targets: Sequence[Stage] | None = None,
    address: str | None = None,
) -> None:
    """Run every missing stage on a Ray cluster.

    A stage whose node is lost runs again elsewhere, as often as five times; so does, three times at
    most, one whose worker process dies. An error that a user can act on ends the run, as it does
    on one machine.

    Parameters
    ----------
    plan, store, listen, targets
        As for `execute`. The store's folders must be shared by all nodes.
    address
        Of the cluster; None takes ``RAY_ADDRESS``, then one that runs on this machine, and else
        starts one on it.

    Raises
    ------
    InputError
        If ray is not installed, or the cluster cannot be reached.
    BiasloopError
        What a stage raised.
    """
    execution = Execution(plan, store, listen, targets)
    if execution.missing:
        with connected(address) as ray:
            _Driver(ray, execution).run()
    execution.end()


@contextlib.contextmanager
def connected(address: str | None) -> Generator[Any]:
    """Yield the module ``ray``, connected; a connection that was there before stays.

    Raises
    ------
    InputError
        If ray is not installed, or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "--executor ray needs ray, which is not installed: pip install 'biasloop[ray]', on "
            "every node"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    where = address or os.environ.get("RAY_ADDRESS", "")
    _knock(where)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"--address {where}: no Ray cluster can be reached there: {reason}"
        ) from error
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray puts its own there
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Find out in seconds whether anything answers at ``HOST:PORT``: Ray tries for minutes."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()
    except OSError as error:
        raise InputError(
            f"--address {address}: nothing answers there ({error}); is the cluster up, and is "
            "this the address that 'ray start' printed?"
        ) from error


class _Driver:
    """One execution on a cluster: what waits, what is handed out, what was lost."""

    def __init__(self, ray: Any, execution: Execution) -> None:  # noqa: ANN401 - a module
        self.ray, self.execution = ray, execution
        self.config, self.store = execution.plan.config, execution.store
        self.running: dict[Any, Stage] = {}
        self.started: set[str] = set()
        self.lost: Counter[tuple[str, int]] = Counter()
        self.nodes = [
            Node(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
            for node in ray.nodes()
            if node["Alive"]
        ]
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = ray.get_runtime_context().get_node_id()
        self.on_this_node = NodeAffinitySchedulingStrategy(node_id=here, soft=False)
        options = {"num_cpus": 0, "scheduling_strategy": self.on_this_node}
        self.channel = ray.remote(Channel).options(**options).remote()
        self.task = ray.remote(run_stage)
        self.sent = (
            self.config.model_dump_json(),
            canonical_json(dict(execution.plan.contents)),
        )

    def run(self) -> None:
        """Hand out, wait, hand out what has become possible, until all is done."""
        waiting = {stage.key: stage for stage in self.execution.missing}
        try:
            self._warn_of_what_has_no_place()
            while waiting or self.running:
                undone = waiting.keys() | {stage.key for stage in self.running.values()}
                for stage in [*waiting.values()]:
                    if not undone & {source.key for source in stage.inputs.values()}:
                        del waiting[stage.key]
                        self._hand_out(stage)
                ready, _ = self.ray.wait([*self.running], num_returns=1, timeout=_LOOK_EVERY)
                self._show()
                for reference in ready:
                    self._take_back(reference)
        finally:
            self._cancel()

    def _hand_out(self, stage: Stage) -> None:
        needs = needs_of(self.config, stage.kind, self.nodes)
        options: dict[str, Any] = {"num_cpus": needs.cpus, "num_gpus": needs.gpus}
        if needs.memory_gb:
            options["memory"] = needs.memory_gb * 1e9
        if not stage.inputs:
            # It reads what the config names, which is known to be on this machine.
            options |= {"num_cpus": 0, "num_gpus": 0, "scheduling_strategy": self.on_this_node}
        # Not Ray's own retries: what is lost shall be told, and not be tried for ever.
        reference = self.task.options(max_retries=0, name=stage.name, **options).remote(
            *self.sent,
            stage.key,
            str(self.store.root.resolve()),
            str(self.store.cache.resolve()),
            self.store.remote.url if self.store.remote else "",
            needs.cpus,
            self.channel,
        )
        self.running[reference] = stage

    def _take_back(self, reference: Any) -> None:  # noqa: ANN401 - of an optional library
        stage, lost = self.running[reference], self.ray.exceptions
        try:
            outcome: Outcome = self.ray.get(reference)
        except (lost.NodeDiedError, lost.ObjectLostError) as error:
            what, asks = "its node was lost", "does the stage bring it down? "
            self._again(reference, what, f": {asks}", _MOST_LOSSES, error)
        except lost.OutOfMemoryError as error:
            self._again(reference, "its node ran out of memory", "; ", _MOST_CRASHES, error)
        except lost.WorkerCrashedError as error:
            self._again(reference, "its worker process died", "; ", _MOST_CRASHES, error)
        else:
            if outcome.error:
                raise getattr(errors, outcome.error, BiasloopError)(outcome.message)
            del self.running[reference]
            if self.store.remote:
                self.store.remote.note(stage.folder_name)
            self.store.share(stage)
            beside = len(self.running)
            self.execution.finished(stage, outcome.tokens, outcome.seconds, beside)

    def _again(
        self,
        reference: Any,  # noqa: ANN401 - of an optional library
        what: str,
        then: str,
        most: int,
        error: Exception,
    ) -> None:
        """Run a lost stage again, unless it was lost too often."""
        stage = self.running[reference]
        self.lost[stage.key, most] += 1
        if self.lost[stage.key, most] >= most:
            raise BiasloopError(
                f"{stage.name}: {what}, {most} times{then}executor.stages.{stage.kind}.memory_gb "
                "reserves memory for it; what is finished is kept, and the same command goes on "
                "from there"
            ) from error
        del self.running[reference]
        self.started.discard(stage.key)
        reason = str(error).strip().splitlines()[0]
        message = f"{stage.name}: {what}, it is run again ({reason})"
        self.execution.listen(Event("warning", stage.kind, stage.name, message=message))
        self._hand_out(stage)

    def _show(self) -> None:
        """Tell what the workers told."""
        at_work = {stage.key: stage for stage in self.running.values()}
        for key, tokens, seconds in self.ray.get(self.channel.take.remote()):
            if key in at_work and key not in self.started:
                self.started.add(key)
                self.execution.tell("start", at_work[key], beside=len(at_work))
            if key in at_work and seconds:
                self.execution.tell("progress", at_work[key], tokens, seconds, len(at_work))

    def _warn_of_what_has_no_place(self) -> None:
        for kind in sorted({stage.kind for stage in self.execution.missing if stage.inputs}):
            needs = needs_of(self.config, kind, self.nodes)
            if not any(needs.cpus <= one.cpus and needs.gpus <= one.gpus for one in self.nodes):
                message = (
                    f"no node has the {needs.cpus} cores and {needs.gpus:g} GPUs that a stage of "
                    f"kind '{kind}' reserves; it waits until one joins. executor.stages.{kind} "
                    "asks for less"
                )
                self.execution.listen(Event("warning", kind, message=message))

    def _cancel(self) -> None:
        references = [*self.running]
        for reference in references:
            with contextlib.suppress(Exception):  # it may have ended, and its node with it
                self.ray.cancel(reference, force=True)
        if references:
            self.ray.wait(references, num_returns=len(references), timeout=_LAST_SECONDS)
        self.ray.kill(self.channel)
