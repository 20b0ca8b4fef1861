"""Runs on a Ray cluster: the same bytes as on one machine, also when a node is lost."""

import os
import shutil
import sys
from pathlib import Path

import psutil
import pytest

import biasloop as bl
from biasloop.config import parse_config
from biasloop.errors import BiasloopError, InputError
from biasloop.files import sha256_file
from biasloop.loop import Store, ray_executor
from biasloop.loop.plan import make_plan
from biasloop.loop.ray_executor import execute_on_ray
from biasloop.loop.ray_task import Outcome, run_stage
from biasloop.loop.resources import Node, needs_of, threads

#: Enough epochs that a fine-tuning is still going on when it is interfered with.
LONG = [
    "loop.shards=2",
    "loop.generations=1",
    "regimes=[synthetic]",
    "training.epochs=150",
    "executor.cpus=1",
]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A head that computes nothing, and two nodes of one core and a cache of its own each."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'biasloop[ray]'")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "cache"))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = []
        for number in range(2):
            with pytest.MonkeyPatch.context() as its:
                its.setenv("BIASLOOP_CACHE", str(tmp_path / f"cache-{number}"))
                nodes.append(cluster.add_node(num_cpus=1))
        yield cluster, nodes
    finally:
        ray.shutdown()
        cluster.shutdown()


def tables(folder):
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in sorted(folder.rglob("*.parquet"))
    }


def titles(node):
    """What the workers of a node say that they do."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [" ".join(process.cmdline()) for process in raylet.children(recursive=True)]


class Watch:
    """Keeps what is told, and interferes once with a fine-tuning that is going on."""

    def __init__(self, interfere):
        self.events = []
        self.interfere = interfere

    def __call__(self, event):
        self.events.append(event)
        if self.interfere and (event.event, event.stage) == ("progress", "finetune"):
            interfere, self.interfere = self.interfere, None
            interfere()

    def named(self, what):
        return [event.name for event in self.events if event.event == what]


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.slow
def test_an_interruption_and_a_lost_node_change_nothing(tiny, tmp_path, monkeypatch, cluster):
    ray_cluster, nodes = cluster
    out = tmp_path / "ray"

    def run(watch):
        return bl.run(tiny, out, LONG, watch, executor="ray", address=ray_cluster.address)

    def lose():
        (at_work,) = [node for node in nodes if "fine-tune" in " ".join(titles(node))]
        ray_cluster.remove_node(at_work, allow_graceful=False)

    first = Watch(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(first)
    done = first.named("finish")
    assert done
    second = Watch(lose)
    run(second)
    assert len(second.named("warning")) == 1
    assert "is run again" in second.events[-1].message or second.named("warning")
    finished = second.named("finish")
    assert len(finished) == len(set(finished))
    assert not set(finished) & set(done)  # nothing is computed twice

    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "another-cache"))
    bl.run(tiny, tmp_path / "local", LONG)
    assert tables(out) == tables(tmp_path / "local")
    assert {path.split("-")[0] for path in tables(out)} >= {
        "stages/generate",
        "stages/score",
        "stages/join",
    }
    for kept in (out, tmp_path / "local"):  # pruned alike
        assert len(list(kept.glob("stages/finetune-*/model/model.safetensors"))) == 2

    with pytest.raises(InputError, match=r"more than the model's context of 128 tokens"):
        bl.run(
            tiny,
            tmp_path / "bad",
            [*LONG, "generation.block_tokens=120"],
            executor="ray",
            address=ray_cluster.address,
        )
