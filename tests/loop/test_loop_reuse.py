"""Finished stages are taken from the cache or another run: whole, held against their hashes."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

import biasloop as bl
from biasloop.cli.main import app
from biasloop.config import parse_config
from biasloop.errors import InputError, StoreError
from biasloop.loop import Store, execute, make_plan, silent

pytestmark = pytest.mark.usefixtures("own_cache")

ONE = ["regimes=[synthetic]", "loop.generations=0"]


class Ran:
    """Counts the stages that ran, and keeps what was warned of."""

    def __init__(self):
        self.names = []
        self.warnings = []

    def __call__(self, event):
        if event.event == "start":
            self.names.append(event.name)
        if event.event == "warning":
            self.warnings.append(event.message)


def content(folder):
    """Every file of the stages but the manifests, which tell the time, and weights."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.glob("stages/**/*"))
        if path.is_file() and path.name != "stage.json" and "model" not in path.parts
    }


def test_what_a_killed_run_had_not_shared_yet_is_shared_when_it_goes_on(bare, tmp_path, own_cache):
    bl.run(bare, tmp_path / "one", ONE)
    entry = min(own_cache.glob("stages/generate-*"))
    half = entry.with_name(f".{entry.name}.0123456789abcdef")
    entry.rename(half)  # killed while it was copied
    again = Ran()
    bl.run(bare, tmp_path / "one", ONE, again)
    assert again.names == []
    assert (entry / "stage.json").is_file()
    assert not half.exists()


def test_a_new_folder_computes_only_what_no_run_has(bare, tmp_path, own_cache):
    first, second, third = Ran(), Ran(), Ran()
    one = bl.run(bare, tmp_path / "one", ONE, first)
    assert any(name.endswith("fine-tune") for name in first.names)
    two = bl.run(bare, tmp_path / "two", ONE, second)
    assert second.names == []
    assert content(two.folder).keys() - content(one.folder).keys() == {
        name
        for name in content(two.folder)
        if name.endswith("/pruned")  # no weights in the cache
    }
    assert two.scores.equals(one.scores)
    assert two.results.trained.equals(one.results.trained)
    assert not [*own_cache.glob("stages/finetune-*/model")]
    # Another metric reads the articles that were taken, and writes none.
    bl.run(bare, tmp_path / "three", [*ONE, "metrics.names=[leaning, diversity]"], third)
    assert third.names
    assert all("diversity" in name or "join scores" in name for name in third.names)


def test_reuse_takes_weights_of_another_run_and_nothing_where_it_is_none(
    bare, tmp_path, monkeypatch
):
    one = bl.run(bare, tmp_path / "one", [*ONE, "loop.keep_models=all"])
    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "another"))
    ran = Ran()
    two = bl.run(bare, tmp_path / "two", [*ONE, "loop.keep_models=all"], ran, reuse=[one.folder])
    assert ran.names == ["base model: pre-train"] or ran.names == []
    weights = next(two.folder.glob("stages/finetune-*/model/*.safetensors"))
    other = one.folder / weights.relative_to(two.folder)
    assert weights.stat().st_ino == other.stat().st_ino
    # A table is a copy: one that is altered in one run is sound in the other.
    table = next(two.folder.glob("stages/generate-*/articles.parquet"))
    assert table.stat().st_ino != (one.folder / table.relative_to(two.folder)).stat().st_ino

    (tmp_path / "no-run").mkdir()
    with pytest.raises(InputError, match="is not a run folder"):
        bl.run(bare, tmp_path / "three", ONE, reuse=[tmp_path / "no-run"])
    assert not (tmp_path / "three").exists()
    config = tmp_path / "c.json"
    config.write_text(json.dumps(bare))
    done = CliRunner().invoke(
        app,
        ["run", str(config), "--reuse", str(tmp_path / "no-run"), "--out", str(tmp_path / "four")],
    )
    assert isinstance(done.exception, InputError)
    assert done.exception.exit_code == 2


def test_a_damaged_entry_is_noticed_removed_and_computed_again(bare, tmp_path, own_cache):
    one = bl.run(bare, tmp_path / "one", ONE)
    entry = next(own_cache.glob("stages/generate-*"))
    table = entry / "articles.parquet"
    sound = table.read_bytes()
    table.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    gone = next(own_cache.glob("stages/instrument-*"))
    (gone / "stage.json").write_text("{")
    ran = Ran()
    two = bl.run(bare, tmp_path / "two", ONE, ran)
    assert any(name.endswith("generate") for name in ran.names)
    assert any(str(table) in message for message in ran.warnings)
    assert any(str(gone) in message for message in ran.warnings)
    assert table.read_bytes() == sound
    assert two.scores.equals(one.scores)
    assert not [*two.folder.glob("stages/.*")]


def test_an_entry_that_names_a_file_outside_or_is_of_another_stage_is_not_taken(tiny, tmp_path):
    from biasloop.loop.store import copy_stage, seal

    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (tmp_path / "outside").write_text("x")
    (source / "stage.json").write_text(json.dumps(seal({"key": "k", "files": {"../outside": "0"}})))
    with pytest.raises(StoreError, match="outside its folder"):
        copy_stage(source, target, "k", weights=True)
    with pytest.raises(StoreError, match="of another stage"):
        copy_stage(source, target, "other", weights=True)
    assert [*target.iterdir()] == []


def test_runs_that_share_at_once_leave_one_whole_entry(tiny, tmp_path):
    plan, cache = make_plan(parse_config(tiny)), tmp_path / "cache"
    stores = [Store(tmp_path / str(place), cache, share=True) for place in range(4)]
    for store in stores:
        # By itself, so that each has computed it before any shares.
        execute(plan, Store(store.root, cache), silent, [plan.corpus])
    together = threading.Barrier(len(stores))

    def share(store):
        together.wait()
        store.share(plan.corpus)

    with ThreadPoolExecutor(len(stores)) as pool:
        list(pool.map(share, stores))
    entries = [path.name for path in (cache / "stages").iterdir() if path.is_dir()]
    assert entries == [plan.corpus.folder_name]
    late = Store(tmp_path / "late", cache, share=True)
    late.root.mkdir()
    assert late.take(plan.corpus)
    assert late.checked(plan.corpus) == late.path(plan.corpus)


def test_a_disk_that_is_full_leaves_nothing_of_what_was_being_taken(bare, tmp_path, monkeypatch):
    bl.run(bare, tmp_path / "one", ONE)

    def full(source, target, *_):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr("biasloop.loop.store.shutil.copyfile", full)
    with pytest.raises(StoreError, match="the disk is full") as error:
        bl.run(bare, tmp_path / "two", ONE)
    assert error.value.exit_code == 3
    assert [*(tmp_path / "two" / "stages").iterdir()] == []
