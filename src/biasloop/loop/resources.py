"""What a stage takes of a machine: cores, GPUs, memory. Knows numbers, not who gives them."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from biasloop.config import Config, StageResources

#: Stages that run no model: the corpus is read, tables are put together.
_WITHOUT_MODEL = ("corpus", "join")


@dataclass(frozen=True)
class Node:
    """A machine: its cores and its GPUs."""

    cpus: float
    gpus: float


@dataclass(frozen=True)
class Needs:
    """What a stage reserves.

    Attributes
    ----------
    cpus
        Cores, and so threads.
    gpus
        May be a fraction.
    memory
        Bytes; None reserves nothing.
    """

    cpus: int
    gpus: float
    memory: float | None


def needs_of(config: Config, kind: str, nodes: Sequence[Node]) -> Needs:
    """Say what a kind of stage reserves on a cluster.

    Parameters
    ----------
    config
        Its section ``executor``.
    kind
        Of stage.
    nodes
        The cluster's machines.
    """
    own = _own(config, kind)
    usable = [node for node in nodes if node.cpus >= 1]
    fair = [node.cpus // max(1, node.gpus) for node in usable]
    cpus = own.cpus or config.executor.cpus or max(1, int(min(fair, default=1)))
    some = any(node.gpus for node in nodes) and kind not in _WITHOUT_MODEL
    gpus = float(some) if own.gpus is None else own.gpus
    return Needs(cpus, gpus, own.memory_gb * 1e9 if own.memory_gb else None)


def threads_of(config: Config, kind: str) -> int | None:
    """Threads of a kind of stage on this machine; None leaves them as they are."""
    return _own(config, kind).cpus or config.executor.cpus


def _own(config: Config, kind: str) -> StageResources:
    return next((own for name, own in config.executor.stages.items() if name == kind), _NONE)


_NONE = StageResources()


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
