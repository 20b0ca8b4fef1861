"""Run what is missing of a plan, on this machine, one stage after the other."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from biasloop.device import return_freed_memory
from biasloop.loop.events import Event, Listener
from biasloop.loop.faults import explained
from biasloop.loop.plan import Plan
from biasloop.loop.resources import threads, threads_of
from biasloop.loop.stage import Progress, Stage
from biasloop.loop.store import Store

#: Seconds between two progress events of one stage.
_PROGRESS_EVERY = 0.5


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


def take_finished(
    plan: Plan, store: Store, listen: Listener, targets: Sequence[Stage] | None = None
) -> list[Stage]:
    """Take what is finished in other runs or the cache; list the stages that have to run still.

    A model's weights are taken where a stage that has to run reads them, or they are to be kept.

    Raises
    ------
    StoreError
        If the disk fails.
    """
    with explained("taking finished stages", store.root):
        missing = missing_stages(
            plan, store, targets, lambda stage: store.has(stage) or store.take(stage)
        )
        to_run, kept = {stage.key for stage in missing}, plan.kept_models
        for stage in plan.stages.values() if targets is None else ():
            if stage.key in to_run or store.has(stage) or store.is_pruned(stage):
                continue
            if not (stage.key in kept and store.take(stage)):
                store.take(stage, weights=False)
    for message in store.damaged:
        listen(Event("warning", message=message))
    store.damaged.clear()
    return missing


class Clock:
    """Estimates the time left from what the stages of each kind have taken so far."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._waiting = {stage.key: stage for stage in stages}
        self._kinds: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for stage in stages:
            self._count(stage, 1)
        self.rates: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def _count(self, stage: Stage, sign: int) -> None:
        of = self._kinds[stage.kind]
        of[0] += sign
        of[1] += sign * (stage.cost or 1.0)

    @property
    def waiting(self) -> list[Stage]:
        """The stages that have not finished."""
        return list(self._waiting.values())

    def finished(self, stage: Stage, seconds: float) -> None:
        """Note what a stage took; it waits no more."""
        del self._waiting[stage.key]
        self._count(stage, -1)
        rate = self.rates[stage.kind]
        rate[0] += seconds
        rate[1] += stage.cost or 1.0

    def left(self) -> float | None:
        """Seconds to go; None until every kind that waits has been seen once."""
        waiting = {kind: cost for kind, (count, cost) in self._kinds.items() if count}
        if waiting.keys() - self.rates.keys():
            return None
        return sum(
            cost * self.rates[kind][0] / self.rates[kind][1] for kind, cost in waiting.items()
        )


def perform(stage: Stage, store: Store, progress: Progress) -> float:
    """Run one stage whose inputs are there; its output becomes visible whole, or not at all.

    Returns
    -------
    float
        Seconds that it took, 0 where another run had computed it meanwhile.

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
        inputs = {
            name: store.checked(source) if store.has(source) else store.path(source)
            for name, source in stage.inputs.items()
        }
        with store.writing(stage) as folder:
            stage.run(folder, inputs, progress, store.scratch(stage))
            seconds = time.monotonic() - start
            store.record(stage, folder, seconds)
        store.forget_scratch(stage)
    with explained(f"{stage.name}: sharing", store.cache):
        store.share(stage)
    return_freed_memory()
    return seconds


class _Readers:
    """How many stages that are to run read each model: without looking at the store each time."""

    def __init__(
        self, plan: Plan, store: Store, wanted: Sequence[Stage], missing: Sequence[Stage]
    ) -> None:
        to_run = {stage.key for stage in missing}
        others = [
            stage
            for stage in plan.stages.values()
            if stage.key not in to_run and not (store.has(stage) or store.is_pruned(stage))
        ]
        self._kept = plan.kept_models | {stage.key for stage in wanted}
        self._kept |= {source.key for stage in others for source in stage.inputs.values()}
        self._left = Counter(
            source.key for stage in missing for source in _once(stage.inputs.values())
        )

    def finished(self, stage: Stage) -> list[Stage]:
        """Note that a stage has run; return the models that nothing reads any more."""
        sources = _once(stage.inputs.values())
        self._left.subtract(source.key for source in sources)
        return [
            model
            for model in (stage, *sources)
            if model.kind == "finetune"
            and model.key not in self._kept
            and not self._left[model.key]
        ]


def _once(stages: Iterable[Stage]) -> list[Stage]:
    """Return each stage once."""
    return list({stage.key: stage for stage in stages}.values())


def execute(
    plan: Plan, store: Store, listen: Listener, targets: Sequence[Stage] | None = None
) -> None:
    """Run every missing stage; each becomes visible whole, or not at all.

    Parameters
    ----------
    plan
        What to run.
    store
        Where outputs are, and go.
    listen
        Told of every start, progress and finish.
    targets
        The stages whose outputs are wanted, which then keep their weights; by default the plan's.
    """
    begun = time.monotonic()
    with explained("clearing up", store.root):
        store.root.mkdir(parents=True, exist_ok=True)
        store.remove_leftovers()
    missing = take_finished(plan, store, listen, targets)
    total = len(plan.stages) if targets is None else len(missing)
    clock = Clock(missing)
    listen(Event("run", done=total - len(missing), total=total, message=str(store.root)))
    readers = _Readers(plan, store, targets or (), missing)
    for done, stage in enumerate(missing, start=total - len(missing)):
        start = time.monotonic()
        listen(Event("start", stage.kind, stage.name, done, total, left=clock.left()))
        tokens, told = 0, start

        def progress(
            count: int, stage: Stage = stage, start: float = start, done: int = done
        ) -> None:
            nonlocal tokens, told
            tokens += count
            now = time.monotonic()
            if now - told >= _PROGRESS_EVERY:
                told = now
                listen(
                    Event(
                        "progress",
                        stage.kind,
                        stage.name,
                        done,
                        total,
                        tokens,
                        now - start,
                        clock.left(),
                    )
                )

        with threads(threads_of(plan.config, stage.kind)):
            seconds = perform(stage, store, progress)
        clock.finished(stage, seconds)
        listen(
            Event("finish", stage.kind, stage.name, done + 1, total, tokens, seconds, clock.left())
        )
        for model in readers.finished(stage):
            store.prune(model)
    prune_weights(plan, store, targets or (), ())
    listen(Event("end", done=total, total=total, seconds=time.monotonic() - begun))


def prune_weights(
    plan: Plan, store: Store, wanted: Sequence[Stage], waiting: Sequence[Stage]
) -> None:
    """Delete fine-tuned weights that are not ``wanted``, not kept and not read by a stage to come.

    ``waiting`` are stages that run, or will, though their weights were deleted before.
    """
    kept = {stage.key for stage in wanted} | plan.kept_models
    needed = {
        source.key
        for stage in (*waiting, *plan.stages.values())
        if stage in waiting or not (store.has(stage) or store.is_pruned(stage))
        for source in stage.inputs.values()
    }
    for stage in plan.finetuned.values():
        if stage.key not in kept | needed:
            store.prune(stage)
