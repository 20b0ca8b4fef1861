"""Run what is missing of a plan, on this machine, one stage after the other."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from biasloop.config import Config, StageResources
from biasloop.device import return_freed_memory
from biasloop.files import remove_leftovers
from biasloop.loop.plan import Plan, once
from biasloop.loop.stage import Progress, Stage
from biasloop.loop.store import Store, explained

#: Seconds between two progress events of one stage.
PROGRESS_EVERY = 0.5


@dataclass(frozen=True)
class Event:
    """One thing that happened in a run.

    Attributes
    ----------
    stage, name
        The stage's kind and name; empty for the run's own events.
    done, total
        Stages finished and stages of the run.
    tokens
        Tokens trained on, or written, in this stage so far.
    seconds
        Since the stage, or the run, began.
    left
        Estimated seconds to the end of the run; None while there is nothing to go by.
    message
        For warnings and the end.
    """

    event: Literal["run", "start", "progress", "finish", "warning", "end"]
    stage: str = ""
    name: str = ""
    done: int = 0
    total: int = 0
    tokens: int = 0
    seconds: float = 0.0
    left: float | None = None
    message: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the event as plain JSON values, empty ones left out."""
        return {key: value for key, value in asdict(self).items() if value not in ("", None)}


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Show nothing."""


def missing_stages(
    plan: Plan,
    store: Store,
    targets: Sequence[Stage] | None = None,
    is_there: Callable[[Stage], bool] | None = None,
) -> list[Stage]:
    """List the stages that have to run, in an order in which they can.

    A stage runs only if a target needs it: a pruned model whose articles and scores are there is
    not trained again. ``targets`` are the plan's own by default; ``is_there`` says which stages
    need not run, by default those that the store has.
    """
    ordered: dict[str, Stage] = {}
    is_there = is_there or store.has

    def visit(stage: Stage) -> None:
        if stage.key in ordered or is_there(stage):
            return
        for source in stage.inputs.values():
            visit(source)
        ordered[stage.key] = stage

    for target in plan.targets if targets is None else targets:
        visit(target)
    return list(ordered.values())


def resources_of(config: Config, kind: str) -> StageResources:
    """Return what a kind of stage takes of a machine: ``cpus`` None leaves the threads alone."""
    stages = {str(name): own for name, own in config.executor.stages.items()}
    own = stages.get(kind, StageResources())
    return own.model_copy(update={"cpus": own.cpus or config.executor.cpus})


@contextlib.contextmanager
def threads(count: int | None) -> Generator[None]:
    """Have the numerical libraries use so many threads; None leaves them as they are.

    The order of a sum depends on the number of threads, and so do the last bits of trained
    weights: two machines that pin the same number compute the same bytes.
    """
    if count is None:
        yield
        return
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    with threadpool_limits(count):
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def perform(stage: Stage, store: Store, progress: Progress) -> float:
    """Run one stage whose inputs are there; its output becomes visible whole, or not at all.

    Returns the seconds that it took, 0 where another run had computed it meanwhile.

    Raises
    ------
    StoreError
        If an input was altered, or the disk fails; the message names the file.
    """
    with explained(stage.name, store.root), store.alone(stage):
        if store.has(stage) or store.take(stage):
            return 0.0
        start = time.monotonic()
        # An instrument of its own, fitted outside a run, may have inputs that it never reads.
        paths = {
            name: store.checked(source) if store.has(source) else store.path(source)
            for name, source in stage.inputs.items()
        }
        with store.writing(stage) as folder:
            stage.run(folder, paths, progress, store.scratch(stage))
            seconds = time.monotonic() - start
            store.record(stage, folder, seconds)
        store.forget_scratch(stage)
    store.share(stage)
    return_freed_memory()
    return seconds


class Meter:
    """Counts a stage's tokens: its `Progress`. Tells of them every `PROGRESS_EVERY` seconds.

    ``tell`` is called with the tokens, and the seconds since the meter was made.
    """

    def __init__(self, tell: Callable[[int, float], None]) -> None:
        self.tokens, self._tell = 0, tell
        self._start = self._told = time.monotonic()

    def __call__(self, count: int) -> None:
        """Count tokens done since the last call."""
        self.tokens += count
        now = time.monotonic()
        if now - self._told >= PROGRESS_EVERY:
            self._told = now
            self._tell(self.tokens, now - self._start)


class Clock:
    """Estimates the time left from what the stages of each kind have taken so far."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._waiting = Counter(stage.kind for stage in stages)
        self._cost: dict[str, float] = defaultdict(float)
        self._taken: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for stage in stages:
            self._cost[stage.kind] += stage.cost

    def finished(self, stage: Stage, seconds: float) -> None:
        """Note what a stage took; it waits no more."""
        self._waiting[stage.kind] -= 1
        self._cost[stage.kind] -= stage.cost
        self._taken[stage.kind][0] += seconds
        self._taken[stage.kind][1] += stage.cost

    def left(self) -> float | None:
        """Seconds to go; None until every kind that waits has been seen once."""
        waiting = {kind for kind, count in self._waiting.items() if count}
        if waiting - self._taken.keys():
            return None
        return sum(
            self._cost[kind] * self._taken[kind][0] / self._taken[kind][1] for kind in waiting
        )


class Execution:
    """One execution of a plan: what is missing of it, told of, and its models' weights pruned.

    Takes what `execute` takes; raises a `StoreError` if the disk fails.

    Attributes
    ----------
    missing
        The stages that have to run, in an order in which they can.
    """

    def __init__(
        self, plan: Plan, store: Store, listen: Listener, targets: Sequence[Stage] | None
    ) -> None:
        self.plan, self.store, self.listen = plan, store, listen
        self._begun = time.monotonic()
        with explained("clearing up", store.root):
            store.root.mkdir(parents=True, exist_ok=True)
            remove_leftovers(store.root / "stages")
        with explained("taking finished stages", store.root):
            self.missing = self._take_finished(targets)
        for message in store.damaged:
            listen(Event("warning", message=message))
        store.damaged.clear()
        to_run = {stage.key for stage in self.missing}
        # Stages that nothing wants now, and that may be wanted of this folder later.
        others = [
            stage
            for stage in plan.stages.values()
            if stage.key not in to_run and not (store.has(stage) or store.is_pruned(stage))
        ]
        self._kept = plan.kept_models | {stage.key for stage in targets or ()}
        self._kept |= {source.key for stage in others for source in stage.inputs.values()}
        self._readers = Counter(
            source.key for stage in self.missing for source in once(stage.inputs.values())
        )
        self.clock = Clock(self.missing)
        self._whole = targets is None
        self._total = len(plan.stages) if self._whole else len(self.missing)
        self._done = self._total - len(self.missing)
        listen(Event("run", done=self._done, total=self._total, message=str(store.root)))

    def _take_finished(self, targets: Sequence[Stage] | None) -> list[Stage]:
        """Take what is finished in other runs or the cache; list the stages that have to run still.

        A model's weights are taken where a stage that has to run reads them, or they are to be
        kept.
        """
        store = self.store
        missing = missing_stages(
            self.plan, store, targets, lambda stage: store.has(stage) or store.take(stage)
        )
        to_run, kept = {stage.key for stage in missing}, self.plan.kept_models
        for stage in self.plan.stages.values() if targets is None else ():
            if stage.key in to_run or store.has(stage) or store.is_pruned(stage):
                continue
            if not (stage.key in kept and store.take(stage)):
                store.take(stage, weights=False)
        return missing

    def tell(
        self,
        event: Literal["start", "progress", "finish"],
        stage: Stage,
        tokens: int = 0,
        seconds: float = 0.0,
        beside: int = 1,
    ) -> None:
        """Tell of a stage; ``beside`` stages are at work at once."""
        left = self.clock.left()
        left = None if left is None else left / max(1, beside)
        place = (self._done, self._total)
        self.listen(Event(event, stage.kind, stage.name, *place, tokens, seconds, left))

    def finished(self, stage: Stage, tokens: int, seconds: float, beside: int = 1) -> None:
        """Note and tell that a stage has run; delete the weights that nothing reads any more."""
        self.clock.finished(stage, seconds)
        self._done += 1
        self.tell("finish", stage, tokens, seconds, beside)
        sources = once(stage.inputs.values())
        self._readers.subtract(source.key for source in sources)
        self._prune(model for model in (stage, *sources) if model.kind == "finetune")

    def _prune(self, models: Iterable[Stage]) -> None:
        for model in models:
            if model.key not in self._kept and self._readers[model.key] <= 0:
                self.store.prune(model)

    def end(self) -> None:
        """Delete the weights that are not kept and what killed stages left, and tell of the end."""
        self._prune(once(self.plan.finetuned.values()))
        for stage in self.plan.stages.values() if self._whole else ():
            self.store.forget_scratch(stage)  # killed after its end, it did not come to this
        seconds = time.monotonic() - self._begun
        self.listen(Event("end", done=self._total, total=self._total, seconds=seconds))


def execute(
    plan: Plan, store: Store, listen: Listener, targets: Sequence[Stage] | None = None
) -> None:
    """Run every missing stage; each becomes visible whole, or not at all.

    Parameters
    ----------
    plan, store
        What to run, and where outputs are, and go.
    listen
        Told of every start, progress and finish.
    targets
        The stages whose outputs are wanted, which then keep their weights; by default the plan's.
    """
    execution = Execution(plan, store, listen, targets)
    for stage in execution.missing:
        meter = Meter(partial(execution.tell, "progress", stage))
        execution.tell("start", stage)
        with threads(resources_of(plan.config, stage.kind).cpus):
            seconds = perform(stage, store, meter)
        execution.finished(stage, meter.tokens, seconds)
    execution.end()
