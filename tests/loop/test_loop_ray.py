"""Runs on a Ray cluster: the same bytes as on one machine, also when a node is lost."""

import contextlib
import sys

import fsspec
import psutil
import pytest
from test_loop_axes import SETTINGS, axis, write_axis

import biasloop as bl
from biasloop.config import parse_config
from biasloop.errors import BiasloopError, InputError
from biasloop.files import sha256_file
from biasloop.loop import Store, fetch, ray_executor, verify
from biasloop.loop.execute import threads
from biasloop.loop.plan import make_plan
from biasloop.loop.ray_executor import Node, Outcome, execute_on_ray, needs_of, run_stage
from biasloop.loop.run import read_contents

#: Enough epochs that a fine-tuning is still going on when it is interfered with.
LONG = [
    "loop.shards=2",
    "loop.generations=1",
    "regimes=[synthetic]",
    "training.epochs=80",
    "executor.cpus=1",
]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A head that computes nothing, and two nodes of one core and a cache of its own each."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'biasloop[ray]'")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "cache"))
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
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
def test_an_interruption_and_a_lost_node_change_nothing(bare, tmp_path, monkeypatch, cluster):
    ray_cluster, nodes = cluster
    out = tmp_path / "ray"
    # Diversity is of a whole set: not scored in shards.
    changes = [*LONG, "metrics.names=[leaning,diversity]"]
    further = axis(write_axis(tmp_path / "places.jsonl"), **SETTINGS)
    bare = {**bare, "metrics": {**bare["metrics"], "axes": [further]}}

    def run(watch):
        return bl.run(bare, out, changes, watch, executor="ray", address=ray_cluster.address)

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
    (warning,) = [event.message for event in second.events if event.event == "warning"]
    assert "its node was lost, it is run again" in warning
    finished = second.named("finish")
    assert len(finished) == len(set(finished))
    assert not set(finished) & set(done)  # nothing is computed twice

    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "another-cache"))
    bl.run(bare, tmp_path / "local", changes)
    assert tables(out) == tables(tmp_path / "local")
    assert {path.split("-")[0] for path in tables(out)} >= {
        "stages/generate",
        "stages/score",
        "stages/join",
    }
    plan = make_plan(parse_config(bare, changes), read_contents(out))
    of_axis = {stage.name for stage in plan.stages.values() if "axis place" in stage.name}
    assert of_axis <= {*done, *finished}
    assert any(name.endswith("score axis place 2/2") for name in of_axis)
    for kept in (out, tmp_path / "local"):  # pruned alike
        assert len(list(kept.glob("stages/finetune-*/model/model.safetensors"))) == 2


@pytest.mark.slow
def test_nodes_that_share_nothing_meet_on_s3(bare, tmp_path, monkeypatch, s3, cluster):
    ray_cluster, _ = cluster
    changes = [*LONG[:3], "loop.keep_models=last", "executor.cpus=1"]
    bl.run(bare, s3, changes, executor="ray", address=ray_cluster.address)
    worked = [folder for n in range(2) for folder in tmp_path.glob(f"cache-{n}/mirrors/*/stages/*")]
    assert worked  # each node in a folder of its own
    assert not (tmp_path / "cache" / "stages").exists()  # the driver's: none of the base model

    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "another-cache"))
    bl.run(bare, tmp_path / "local", changes)
    whole = fetch(s3, tmp_path / "reader", whole=True)
    assert tables(whole) == tables(tmp_path / "local")
    assert verify(whole, tmp_path / "reader").sound
    files, root = fsspec.core.url_to_fs(s3)
    files.invalidate_cache()
    weights = [name for name in files.find(root) if "finetune-" in name and "/model/" in name]
    assert len([name for name in weights if name.endswith(".safetensors")]) == 1
    assert len({name.rsplit("/model/", 1)[0] for name in weights}) == 1  # deleted whole


def test_without_ray_the_message_says_how_to_get_it(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'biasloop\[ray\]'"):
        bl.run(tiny, tmp_path / "run", executor="ray")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_a_cluster_that_does_not_answer_is_told_of_at_once(tiny, tmp_path, monkeypatch, address):
    pytest.importorskip("ray", reason="ray is not installed: pip install 'biasloop[ray]'")
    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="nothing answers there"):
        bl.run(tiny, tmp_path / "run", executor="ray", address=address)


def test_an_address_needs_the_executor(tiny, tmp_path):
    with pytest.raises(InputError, match="needs --executor ray"):
        bl.run(tiny, tmp_path / "run", address="auto")
    with pytest.raises(InputError, match="known: local, ray"):
        bl.run(tiny, tmp_path / "run", executor="slurm")


class FakeRay:
    """Takes tasks in the order in which they are handed out, computes none, loses some."""

    class exceptions:  # noqa: N801
        class NodeDiedError(Exception): ...

        class ObjectLostError(Exception): ...

        class WorkerCrashedError(Exception): ...

        class OutOfMemoryError(Exception): ...

    def __init__(self, crash=(), kind="WorkerCrashedError"):
        self.crash, self.kind = list(crash), kind
        self.ran, self.reserved = [], {}

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 2.0}}]

    def get_runtime_context(self):
        return self

    def get_node_id(self):
        return "ab" * 28

    def remote(self, what):
        ray = self

        class Remote:
            def options(self, **options):
                self.chosen = options
                return self

            def remote(self, *arguments):
                if what is run_stage:
                    name = self.chosen["name"]
                    ray.reserved[name] = self.chosen
                    return name, lambda: ray.work(name, arguments)
                return ray.actor(what())

        return Remote()

    def actor(self, one):
        class Method:
            def __init__(self, method):
                self.remote = lambda *arguments: ("", lambda: method(*arguments))

        class Actor:
            tell, take = Method(one.tell), Method(one.take)

        return Actor()

    def work(self, name, arguments):
        if name in self.crash:
            self.crash.remove(name)
            raise getattr(self.exceptions, self.kind)("lost")
        self.ran.append(arguments[2])
        return Outcome(1.0, 10)

    def wait(self, references, num_returns, timeout):
        return references[:1], references[1:]

    def get(self, reference):
        return reference[1]()

    def cancel(self, reference, force): ...

    def kill(self, actor): ...


@pytest.fixture
def on_fake(tiny, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="ray is not installed: pip install 'biasloop[ray]'")
    plan = make_plan(parse_config(tiny, ["loop.shards=2"]))

    def run(fake, listen=lambda event: None):
        monkeypatch.setattr(ray_executor, "connected", lambda address: contextlib.nullcontext(fake))
        execute_on_ray(plan, Store(tmp_path / "run", tmp_path / "cache"), listen)
        return plan

    return run


CRASHED = "base model: generate 1/2"


@pytest.mark.parametrize(
    "fake",
    [
        FakeRay(),
        FakeRay([CRASHED] * 2),
        FakeRay([CRASHED] * 2, "OutOfMemoryError"),
        FakeRay([CRASHED] * 4, "NodeDiedError"),
    ],
)
def test_every_stage_runs_once_and_after_its_inputs(on_fake, fake):
    lost, warned = len(fake.crash), []
    plan = on_fake(
        fake, lambda event: warned.append(event.message) if event.event == "warning" else None
    )
    assert len(fake.ran) == len(set(fake.ran))
    assert set(fake.ran) == set(plan.stages)
    place = {key: number for number, key in enumerate(fake.ran)}
    for key, stage in plan.stages.items():
        assert all(place[source.key] < place[key] for source in stage.inputs.values())
    assert len(warned) == lost


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("WorkerCrashedError", "1/2: its worker process died, 3 times; .*generate.memory_gb"),
        ("OutOfMemoryError", "1/2: its node ran out of memory, 3 times"),
        ("NodeDiedError", "1/2: its node was lost, 5 times: .*generate.memory_gb"),
    ],
)
def test_a_stage_that_always_dies_is_not_tried_for_ever(on_fake, kind, says):
    with pytest.raises(BiasloopError, match=says):
        on_fake(FakeRay([CRASHED] * 99, kind))


def test_what_a_stage_says_reaches_the_user(tiny, tmp_path, monkeypatch):
    """In this process, each stage as a worker runs it; on a cluster, that takes one more."""

    class InProcess(FakeRay):
        def work(self, name, arguments):
            return run_stage(*arguments[:-1], self.actor(ray_executor.Channel()))

    monkeypatch.setattr(
        ray_executor, "connected", lambda address: contextlib.nullcontext(InProcess())
    )
    changes = ["generation.block_tokens=120", "metrics.names=[diversity]", "executor.cpus=1"]
    store = Store(tmp_path / "run", tmp_path / "cache")
    store.root.mkdir()
    with pytest.raises(InputError, match=r"more than the model's context of 128 tokens"):
        execute_on_ray(make_plan(parse_config(tiny, changes)), store, lambda event: None)


def test_what_reads_outside_files_runs_beside_the_driver(on_fake):
    fake = FakeRay()
    on_fake(fake)
    assert fake.reserved["corpus"]["num_cpus"] == 0
    assert fake.reserved["corpus"]["scheduling_strategy"].node_id == "ab" * 28
    assert "scheduling_strategy" not in fake.reserved[CRASHED]
    assert fake.reserved[CRASHED]["num_cpus"] == 2


def test_a_kind_that_fits_no_node_is_told_of(on_fake, tiny):
    told = []
    fake = FakeRay()
    fake.nodes = lambda: [{"Alive": True, "Resources": {"CPU": 0.0}}]
    on_fake(fake, told.append)
    messages = [event.message for event in told if event.event == "warning"]
    assert any("no node has the 1 cores" in m and "'generate'" in m for m in messages)


def test_a_stage_takes_what_the_config_says():
    def needs(kind, *changes, nodes=None):
        nodes = nodes or (Node(8, 0),)
        return needs_of(parse_config({}, changes), kind, nodes)

    assert (needs("generate").cpus, needs("generate").gpus) == (8, 0)
    with_gpus = (Node(4, 0), Node(64, 8))
    assert needs("finetune", nodes=with_gpus).gpus == 1
    assert needs("join", nodes=with_gpus).gpus == 0
    assert needs("finetune", nodes=(Node(64, 8),)).cpus == 8
    assert needs("finetune", nodes=(Node(0, 0), Node(2, 0))).cpus == 2  # a head computes nothing
    assert needs("finetune", "executor.cpus=3").cpus == 3
    own = needs("generate", "executor.cpus=3", "executor.stages.generate.cpus=5")
    assert own.cpus == 5
    half = "executor.stages.generate={gpus: 0.5, memory_gb: 2}"
    assert needs("generate", half, nodes=with_gpus).gpus == 0.5
    assert needs("generate", half, nodes=with_gpus).memory_gb == 2


def test_threads_are_pinned_and_put_back():
    import torch

    before = torch.get_num_threads()
    with threads(2):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before
    with threads(None):
        assert torch.get_num_threads() == before


def test_a_worker_of_another_version_says_so(tiny, tmp_path):
    config = parse_config(tiny)
    fake = FakeRay()
    outcome = run_stage(
        config.model_dump_json(),
        '{"corpus": "x", "base": null, "instruments": {}}',
        "0" * 64,
        str(tmp_path),
        str(tmp_path),
        "",
        1,
        fake.actor(ray_executor.Channel()),
    )
    assert outcome == Outcome(error="StoreError", message=outcome.message)
    assert "another version of biasloop" in outcome.message
