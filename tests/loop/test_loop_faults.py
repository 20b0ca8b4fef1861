"""Faults of the disk, made for real where the machine lets us: one message, nothing else lost."""

import json
import os
import shutil
import subprocess
import threading

import pytest
from typer.testing import CliRunner

import biasloop as bl
from biasloop.cli.main import app
from biasloop.errors import InputError, StoreError
from biasloop.files import sha256_file
from biasloop.loop import Store, execute, locked, make_plan, silent, verify
from biasloop.loop.store import explained

CHANGES = ["loop.generations=0", "regimes=[synthetic]"]

pytestmark = pytest.mark.usefixtures("own_cache")


def contents(*folders):
    return {
        str(path.relative_to(folder.parent)): sha256_file(path)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("stage.json", "run.json", ".lock")
    }


@pytest.fixture(scope="module")
def made(bare, tmp_path_factory):
    place = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIASLOOP_CACHE", str(place / "cache"))
        bl.run(bare, place / "run", CHANGES)
    return place


@pytest.fixture
def finished(made, tmp_path, own_cache):
    shutil.copytree(made / "cache", own_cache)
    return shutil.copytree(made / "run", tmp_path / "run")


def find(folder, pattern):
    (path,) = folder.glob(pattern)
    return path


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def alter(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, alter, os.unlink])
@pytest.mark.parametrize(
    "name",
    [
        "stages/corpus-*/articles.parquet",
        "stages/finetune-*/model/model.safetensors",
        "stages/instrument-*/instrument/card.json",
    ],
)
def test_a_damaged_input_is_named_and_can_be_repaired(bare, finished, own_cache, name, damage):
    before = contents(finished, own_cache)
    path = next(iter(sorted(finished.glob(name))))
    damage(path)
    shutil.rmtree(next(iter(sorted(finished.glob("stages/generate-*")))))
    for kind in ("score", "join"):
        for scored in finished.glob(f"stages/{kind}-*"):
            shutil.rmtree(scored)
    damaged = contents(finished, own_cache)
    with pytest.raises(StoreError, match=path.name):
        bl.run(bare, finished, CHANGES)
    after = contents(finished, own_cache)
    assert {name: after[name] for name in damaged} == damaged

    found = verify(finished, own_cache)
    assert [d.path for d in found.damages] == [path]
    assert verify(finished, own_cache, repair=True).repaired
    assert verify(finished, own_cache).sound
    bl.run(bare, finished, CHANGES)
    assert contents(finished, own_cache) == before


@pytest.mark.parametrize("damage", [truncate, alter, os.unlink])
def test_a_damaged_table_is_not_reported_on(finished, own_cache, damage):
    (stage,) = (
        manifest.parent
        for manifest in finished.glob("stages/join-*/stage.json")
        if json.loads(manifest.read_text())["name"] == "real articles: join scores"
    )
    path = stage / "scores.parquet"
    damage(path)
    with pytest.raises(StoreError, match=r"scores\.parquet"):
        _ = bl.load_run(finished).scores
    result = CliRunner().invoke(app, ["verify", str(finished)])
    assert isinstance(result.exception, StoreError)
    assert result.exception.exit_code == 3
    assert str(path) in result.output


def test_a_damaged_manifest_is_named(bare, finished, own_cache):
    path = find(finished, "stages/corpus-*/stage.json")
    path.write_text(path.read_text().replace('"seconds": ', '"seconds": 1'))
    with pytest.raises(StoreError, match=r"stage\.json: was altered"):
        _ = bl.load_run(finished).scores
    assert [d.path for d in verify(finished, own_cache, repair=True).damages] == [path]
    bl.run(bare, finished, CHANGES)
    assert verify(finished, own_cache).sound


def test_a_file_that_is_not_of_a_stage_is_named(finished, own_cache):
    stray = find(finished, "stages/corpus-*") / "notes.txt"
    stray.write_text("mine")
    assert [d.path for d in verify(finished, own_cache).damages] == [stray]


@pytest.mark.parametrize("damage", [truncate, os.unlink])
@pytest.mark.parametrize("name", ["run.json", "config.yaml"])
def test_a_damaged_record_of_the_run(bare, finished, own_cache, name, damage):
    before = contents(finished, own_cache)
    damage(finished / name)
    with pytest.raises((StoreError, InputError), match=name.replace(".", r"\.")):
        bl.load_run(finished)
    if (finished / "run.json").exists():
        assert verify(finished, own_cache, repair=True).damages[0].path == finished / name
    bl.run(bare, finished, CHANGES)
    assert contents(finished, own_cache) == before
    assert verify(finished, own_cache).sound


def test_a_config_that_was_altered_is_not_taken_for_the_runs(finished):
    path = finished / "config.yaml"
    path.write_text(path.read_text().replace("top_p: 0.9", "top_p: 0.8"))
    with pytest.raises(StoreError, match="not the config that is recorded"):
        bl.load_run(finished)


@pytest.fixture
def disk(tmp_path):
    """A file system of one megabyte, and how to mount it anew with other options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(*options):
        return subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)],
            capture_output=True,
            check=False,
        ).returncode

    if shutil.which("mount") is None or mount("size=1m"):
        pytest.skip("this machine does not let us mount a file system")

    def remount(*options):
        assert mount("remount", *options) == 0

    yield place, remount
    subprocess.run(["umount", "-l", str(place)], check=True)


def bind(folder, *options):
    subprocess.run(["mount", *options, str(folder), str(folder)], check=True)


def test_a_full_disk(bare, finished, disk, own_cache):
    place, remount = disk
    (place / "filler").write_bytes(b"0" * 900_000)
    with pytest.raises(StoreError, match=r"the disk is full .* MB free.* goes on from there"):
        bl.run(bare, place / "run", CHANGES)
    assert not [p for p in (place / "run" / "stages").iterdir() if p.name.startswith(".")]
    remount("size=50m")
    bl.run(bare, place / "run", CHANGES)
    assert contents(place / "run") == contents(finished)


def test_a_disk_that_becomes_read_only(bare, finished, disk):
    place, remount = disk
    remount("size=50m")
    stages = place / "run" / "stages"

    def listen(event):
        if event.event == "start" and event.stage == "generate":
            bind(stages, "--bind")
            bind(stages, "-o", "remount,bind,ro")

    with pytest.raises(StoreError, match=r"is the folder read-only\?.*goes on from there"):
        bl.run(bare, place / "run", CHANGES, listen)
    with pytest.raises(StoreError, match="read-only"):
        bl.run(bare, place / "run", CHANGES)
    kept = contents(place / "run")
    assert kept
    assert not bl.load_run(place / "run").results.real.is_empty()
    bind(stages, "-o", "remount,bind,rw")
    bl.run(bare, place / "run", CHANGES)
    assert contents(place / "run") == contents(finished)
    assert kept.items() <= contents(place / "run").items()


def test_a_run_folder_removed_while_it_runs(bare, finished, tmp_path):
    folder = tmp_path / "again" / "run"

    def listen(event):
        if event.event == "start" and event.stage == "generate":
            shutil.rmtree(folder)

    with pytest.raises(StoreError, match="is gone"):
        bl.run(bare, folder, CHANGES, listen)
    bl.run(bare, folder, CHANGES)
    assert contents(folder) == contents(finished)


def test_an_input_removed_while_it_runs(bare, tmp_path):
    folder = tmp_path / "again"

    def listen(event):
        if event.event == "start" and event.stage == "finetune":
            find(folder, "stages/corpus-*/articles.parquet").unlink()

    with pytest.raises(StoreError, match=r"articles\.parquet"):
        bl.run(bare, folder, CHANGES, listen)


def test_two_runs_in_one_folder(bare, tmp_path):
    with locked(tmp_path / "run"), pytest.raises(InputError, match="another process is running"):
        bl.run(bare, tmp_path / "run", CHANGES)
    bl.run(bare, tmp_path / "run", CHANGES)


def test_a_shared_stage_is_computed_once_by_two_runs(bare, tmp_path):
    from biasloop.config import parse_config

    plan = make_plan(parse_config(bare, CHANGES))
    first, second = (Store(tmp_path / name, tmp_path / "cache") for name in ("one", "two"))
    execute(plan, first, silent, [plan.corpus])
    execute(plan, second, silent, [plan.corpus])
    heard = []
    with first.alone(plan.base):
        waiting = threading.Thread(
            target=execute, args=(plan, second, heard.append, [plan.base]), daemon=True
        )
        waiting.start()
        with first.writing(plan.base) as folder:
            inputs = {"corpus": first.path(plan.corpus)}
            plan.base.run(folder, inputs, lambda tokens: None, first.scratch(plan.base))
            first.record(plan.base, folder, 1.0)
        made = contents(first.path(plan.base))
    waiting.join(60)
    assert not waiting.is_alive()
    (finish,) = [event for event in heard if event.event == "finish"]
    assert finish.seconds == 0
    assert contents(first.path(plan.base)) == made


def test_what_a_kill_left_half_made_is_cleared(bare, finished):
    for place in (finished / "stages" / ".score-1.abc", finished / "partial" / "finetune-1"):
        place.mkdir(parents=True)
    (finished / "figures").mkdir()
    half_made = [".config.yaml.abc", ".report.html.abc", "figures/.quality.png.abc"]
    for name in half_made:
        (finished / name).write_text("half")
    (finished / ".mine").write_text("kept")
    bl.run(bare, finished, CHANGES)
    assert not (finished / "stages" / ".score-1.abc").exists()
    assert not [name for name in half_made if (finished / name).exists()]
    assert (finished / ".mine").exists()


def test_a_run_killed_as_it_opened_its_folder_can_be_run(bare, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".run.json.abc").write_text("{")
    (folder / ".lock").touch()
    bl.run(bare, folder, CHANGES)
    assert not (folder / ".run.json.abc").exists()


def test_other_errors_are_left_as_they_are(tmp_path):
    with pytest.raises(ZeroDivisionError), explained("dividing", tmp_path):
        print(1 / 0)
    with (
        pytest.raises(StoreError, match="the disk is full"),
        explained("saving", tmp_path),
    ):
        raise RuntimeError("SafetensorError: I/O error: No space left on device (os error 28)")
