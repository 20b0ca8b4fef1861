"""Run what is missing of a plan on a Ray cluster: the same stages, as tasks side by side.

The driver keeps the graph, and hands a stage out when its inputs are done. Ray places it where its
cores, GPUs and memory are free.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from biasloop import errors
from biasloop.errors import BiasloopError, InputError
from biasloop.files import canonical_json
from biasloop.loop.events import Event, Listener
from biasloop.loop.execute import Clock, prune_weights, take_finished
from biasloop.loop.faults import explained
from biasloop.loop.plan import Plan
from biasloop.loop.ray_task import Channel, Outcome, Told, run_stage
from biasloop.loop.resources import Needs, Node, needs_of
from biasloop.loop.stage import Stage
from biasloop.loop.store import Store

#: Seconds between two looks at what the workers tell.
_LOOK_EVERY = 0.5

#: A stage whose worker process dies this often while its node lives is not tried again.
_MOST_CRASHES = 3

#: A stage whose node is lost this often is taken to be what kills it.
_MOST_LOSSES = 5

#: Seconds that a cluster gets to answer.
_KNOCK_SECONDS = 10.0

#: Seconds that cancelled stages get to end.
_LAST_SECONDS = 5.0


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
    begun = time.monotonic()
    with explained("clearing up", store.root):
        store.remove_leftovers()
    missing = take_finished(plan, store, listen, targets)
    total = len(plan.stages) if targets is None else len(missing)
    listen(Event("run", done=total - len(missing), total=total, message=str(store.root)))
    if missing:
        with connected(address) as ray:
            _Driver(ray, plan, store, listen, targets or (), missing, total).run()
    prune_weights(plan, store, targets or (), ())
    listen(Event("end", done=total, total=total, seconds=time.monotonic() - begun))


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
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"--address {where}: no Ray cluster can be reached there: {reason}"
        ) from error
    if in_main and handler is not None:
        signal.signal(signal.SIGTERM, handler)  # Ray puts its own there
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Find out in seconds whether anything answers at ``HOST:PORT``: Ray itself tries for minutes.

    Raises
    ------
    InputError
        If nothing does.
    """
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


@dataclass
class _Driver:
    """One run of a plan on a cluster: what waits, what is handed out, what was lost."""

    ray: Any
    plan: Plan
    store: Store
    listen: Listener
    wanted: Sequence[Stage]
    missing: Sequence[Stage]
    total: int
    clock: Clock = field(init=False)
    running: dict[Any, Stage] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    crashes: Counter[str] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.clock = Clock([*self.missing])
        self.by_key = {stage.key: stage for stage in self.missing}
        self.nodes = [
            Node(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
            for node in self.ray.nodes()
            if node["Alive"]
        ]
        self.here = self.ray.get_runtime_context().get_node_id()
        self.config = self.plan.config.model_dump_json()
        self.contents = canonical_json(dict(self.plan.contents))
        self.channel = (
            self.ray.remote(Channel)
            .options(num_cpus=0, scheduling_strategy=self._affinity())
            .remote()
        )
        self.task = self.ray.remote(run_stage)

    def run(self) -> None:
        """Hand out, wait, hand out what has become possible, until all is done."""
        waiting = {stage.key: stage for stage in self.missing}
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
        needs = needs_of(self.plan.config, stage.kind, self.nodes)
        options: dict[str, Any] = {"num_cpus": needs.cpus, "num_gpus": needs.gpus}
        if needs.memory:
            options["memory"] = needs.memory
        if not stage.inputs:
            # It reads what the config names, which is known to be on this machine.
            options |= {"num_cpus": 0, "num_gpus": 0, "scheduling_strategy": self._affinity()}
        # Not Ray's own retries: what is lost shall be told, and not be tried for ever.
        reference = self.task.options(max_retries=0, name=stage.name, **options).remote(
            self.config,
            self.contents,
            stage.key,
            str(self.store.root.resolve()),
            str(self.store.cache.resolve()),
            self.store.remote.url if self.store.remote else "",
            needs.cpus,
            self.channel,
        )
        self.running[reference] = stage

    def _affinity(self) -> Any:  # noqa: ANN401 - of an optional library
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node_id=self.here, soft=False)

    def _take_back(self, reference: Any) -> None:  # noqa: ANN401
        stage = self.running[reference]
        lost = self.ray.exceptions
        try:
            outcome: Outcome = self.ray.get(reference)
        except (lost.NodeDiedError, lost.ObjectLostError) as error:
            self.losses[stage.key] += 1
            if self.losses[stage.key] >= _MOST_LOSSES:
                raise BiasloopError(
                    f"{stage.name}: its node was lost, {_MOST_LOSSES} times: does the stage bring "
                    f"it down? executor.stages.{stage.kind}.memory_gb reserves memory for it; what "
                    "is finished is kept, and the same command goes on from there"
                ) from error
            self._again(reference, stage, "its node was lost", error)
            return
        except (lost.WorkerCrashedError, lost.OutOfMemoryError) as error:
            self.crashes[stage.key] += 1
            short = isinstance(error, lost.OutOfMemoryError)
            what = "its node ran out of memory" if short else "its worker process died"
            if self.crashes[stage.key] >= _MOST_CRASHES:
                advice = f"executor.stages.{stage.kind}.memory_gb reserves memory for it"
                raise BiasloopError(
                    f"{stage.name}: {what}, {_MOST_CRASHES} times; {advice}; what is finished is "
                    "kept"
                ) from error
            self._again(reference, stage, what, error)
            return
        if outcome.error:
            raise getattr(errors, outcome.error, BiasloopError)(outcome.message)
        del self.running[reference]
        if self.store.remote:
            self.store.remote.note(stage.folder_name)
        with explained(f"{stage.name}: sharing", self.store.cache):
            self.store.share(stage)
        self.clock.finished(stage, outcome.seconds)
        self._tell("finish", stage, outcome.tokens, outcome.seconds)
        at_work = [*self.clock.waiting]
        prune_weights(self.plan, self.store, self.wanted, at_work)

    def _again(self, reference: Any, stage: Stage, what: str, error: Exception) -> None:  # noqa: ANN401
        del self.running[reference]
        self.started.discard(stage.key)
        reason = str(error).strip().splitlines()[0]
        self.listen(
            Event(
                "warning",
                stage.kind,
                stage.name,
                message=f"{stage.name}: {what}, it is run again ({reason})",
            )
        )
        self._hand_out(stage)

    def _show(self) -> None:
        at_work = {stage.key for stage in self.running.values()}
        told: list[Told] = self.ray.get(self.channel.take.remote())
        for one in told:
            if one.key not in at_work:
                continue
            stage = self.by_key[one.key]
            if one.key not in self.started:
                self.started.add(one.key)
                self._tell("start", stage, 0, 0.0)
            if one.seconds:
                self._tell("progress", stage, one.tokens, one.seconds)

    def _tell(self, event: Any, stage: Stage, tokens: int, seconds: float) -> None:  # noqa: ANN401
        left = self.clock.left()
        self.listen(
            Event(
                event,
                stage.kind,
                stage.name,
                self.total - len(self.clock.waiting),
                self.total,
                tokens,
                seconds,
                None if left is None else left / max(1, len(self.running)),
            )
        )

    def _warn_of_what_has_no_place(self) -> None:
        for kind in sorted({stage.kind for stage in self.missing if stage.inputs}):
            needs = needs_of(self.plan.config, kind, self.nodes)
            if not any(_fits(needs, node) for node in self.nodes):
                self.listen(
                    Event(
                        "warning",
                        kind,
                        message=f"no node has the {needs.cpus} cores and {needs.gpus:g} GPUs that "
                        f"a stage of kind '{kind}' reserves; it waits until one joins. "
                        f"executor.stages.{kind} asks for less",
                    )
                )

    def _cancel(self) -> None:
        references = [*self.running]
        for reference in references:
            with contextlib.suppress(Exception):  # it may have ended, and its node with it
                self.ray.cancel(reference, force=True)
        if references:
            self.ray.wait(references, num_returns=len(references), timeout=_LAST_SECONDS)
        self.ray.kill(self.channel)


def _fits(needs: Needs, node: Node) -> bool:
    return needs.cpus <= node.cpus and needs.gpus <= node.gpus
