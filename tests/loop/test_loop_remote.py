"""A run on an object store: what is there is whole, and is read back as it was."""

import json
import shutil
import uuid

import fsspec
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import biasloop as bl
from biasloop.errors import InputError, StoreError
from biasloop.files import sha256_file
from biasloop.loop import Remote, fetch, is_url, verify
from biasloop.loop.remote import mirror_of
from biasloop.loop.store import MANIFEST, PRUNED

SHORT = ["loop.generations=1", "regimes=[synthetic]", "loop.keep_models=last"]


@pytest.fixture
def url():
    return f"memory://{uuid.uuid4().hex}/run"


def stage(tmp_path, name="finetune-0123", files=("table.parquet", "model/weights", "model/a/b")):
    folder = tmp_path / name
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(f"content of {file}")
    record = {"files": {file: sha256_file(folder / file) for file in files}}
    (folder / MANIFEST).write_text(json.dumps(record))
    return folder


def content(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("s3://bucket/run", True),
        ("gs://b/r", True),
        ("runs/x", False),
        ("/a/b", False),
        ("C:/x", False),
    ],
)
def test_a_url_is_known_from_a_path(place, expected):
    assert is_url(place) is expected


def test_what_is_pushed_is_pulled_and_pruned(tmp_path, url):
    folder = stage(tmp_path / "one")
    mine = Remote(url)
    assert not mine.has(folder.name)
    mine.push(folder)
    other = Remote(url)  # another process, another machine
    assert other.has(folder.name)
    other.pull(tmp_path / "two" / folder.name)
    assert content(tmp_path / "two" / folder.name) == content(folder)

    other.prune(folder.name)
    assert not other.has(folder.name)
    mine.refresh()
    assert not mine.has(folder.name)
    assert mine.finished(folder.name)
    mine.pull(tmp_path / "two" / folder.name)
    assert set(content(tmp_path / "two" / folder.name)) == {MANIFEST, PRUNED, "table.parquet"}

    mine.push(folder)  # computed again, since somebody wanted its weights
    assert Remote(url).has(folder.name)
    Remote(url).pull(tmp_path / "two" / folder.name)
    assert content(tmp_path / "two" / folder.name) == content(folder)
    mine.remove(folder.name)
    assert not Remote(url).finished(folder.name)
    files, root = fsspec.core.url_to_fs(url)
    assert files.find(root) == []


@pytest.mark.parametrize("before", range(5))
@pytest.mark.parametrize("again", [False, True])
def test_a_push_that_is_cut_off_leaves_no_stage(tmp_path, url, monkeypatch, before, again):
    """Whether for the first time, or over a stage that was pruned there."""
    folder = stage(tmp_path / "one")
    if again:
        Remote(url).push(folder)
        Remote(url).prune(folder.name)
    put, calls = Remote._put, []

    def cut_off(self, path, name):
        if len(calls) == before:
            raise OSError("the line is dead")
        calls.append(name)
        put(self, path, name)

    monkeypatch.setattr(Remote, "_put", cut_off)
    if before < 4:
        with pytest.raises(StoreError, match=r"writing failed .*the line is dead"):
            Remote(url).push(folder)
    else:
        Remote(url).push(folder)
    assert Remote(url).has(folder.name) is (before == 4)


def test_a_manifest_cannot_name_a_file_outside(tmp_path, url):
    folder = stage(tmp_path / "one")
    Remote(url).push(folder)
    files, root = fsspec.core.url_to_fs(url)
    record = {"files": {"../../outside": "0" * 64}}
    files.pipe_file(f"{root}/stages/{folder.name}/{MANIFEST}", json.dumps(record).encode())
    with pytest.raises(StoreError, match="names a file outside it"):
        Remote(url).pull(tmp_path / "mirror" / "stages" / folder.name)
    assert not (tmp_path / "mirror" / "outside").exists()


def test_records_go_there_and_stages_and_locks_do_not(tmp_path, url):
    folder = tmp_path / "run"
    for name in ("run.json", "figures/a.png", "stages/x/stage.json", "partial/x/y", ".lock"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    Remote(url).push_records(folder)
    Remote(url).pull_records(tmp_path / "copy")
    assert set(content(tmp_path / "copy")) == {"run.json", "figures/a.png"}
    assert Remote(url).is_run
    assert not Remote(url).is_begun


def test_an_unknown_kind_of_url_is_named():
    with pytest.raises(InputError, match="nosuch"):
        Remote("nosuch://bucket/run")


def test_what_is_no_run_is_refused(tmp_path, url):
    with pytest.raises(InputError, match="is not a run"):
        fetch(url, tmp_path)


@pytest.mark.slow
def test_a_run_on_s3_is_that_on_disk(bare, tmp_path, monkeypatch, s3):
    def machine(name):
        """Have this process be another machine: nothing of the ones before is here."""
        monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / name))
        return tmp_path / name

    class StopError(Exception): ...

    finished = []

    def stop(event):
        if event.event == "finish":
            finished.append(event.name)
        if event.event == "start" and event.name.endswith("generation 1: generate"):
            raise StopError

    machine("one")
    with pytest.raises(StopError):
        bl.run(bare, s3, SHORT, stop)
    begun = list(finished)
    machine("two")
    with pytest.raises(InputError, match="belongs to another experiment"):
        bl.run(bare, s3, [*SHORT, "training.epochs=2"])
    finished.clear()
    bl.run(bare, s3, SHORT, lambda event: event.event == "finish" and finished.append(event.name))
    assert finished
    assert not set(begun) & set(finished)

    machine("three")
    local = bl.run(bare, tmp_path / "local", SHORT)
    here = machine("four")
    there = bl.load_run(s3)
    for table in ("scores", "leaning_scores", "articles", "summary"):
        mine, other = (getattr(run, table) for run in (there, local))
        assert_frame_equal(*(one() if callable(one) else one for one in (mine, other)))
    # The weights of a model are not needed to read a run, and stay where they are.
    assert not list(here.glob("mirrors/*/stages/finetune-*/model/*"))
    assert there.report().is_file()
    files, root = fsspec.core.url_to_fs(s3)
    names = {name[len(root) + 1 :] for name in files.find(root)}
    assert {"run.json", "config.yaml", "report.html", "summary.json"} <= names
    kept = [name for name in names if name.endswith("model.safetensors") and "finetune" in name]
    assert len(kept) == 1  # loop.keep_models: last

    folder = fetch(s3, here, whole=True)
    assert folder == mirror_of(s3, here)
    assert verify(folder, here).sound
    (altered,) = [
        n for n in names if n.startswith("stages/corpus") and n.endswith("articles.parquet")
    ]
    files.pipe_file(f"{root}/{altered}", b"not what it was")
    folder = fetch(s3, here, whole=True)
    found = verify(folder, here, repair=True, remote=Remote(s3))
    assert [str(d.path.relative_to(folder)) for d in found.damages] == [altered]
    assert not Remote(s3).finished(altered.split("/")[1])
    bl.run(bare, s3, SHORT)
    assert verify(fetch(s3, here, whole=True), here).sound
    assert isinstance(bl.load_run(s3).scores, pl.DataFrame)
    shutil.rmtree(here)
