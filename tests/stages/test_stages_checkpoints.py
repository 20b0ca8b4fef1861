"""A training that was stopped, and resumed, against one that was not: every byte."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch

from biasloop.config import PretrainingConfig, ScratchConfig, TrainingConfig
from biasloop.errors import StoreError
from biasloop.models.load import build_scratch_model, train_tokenizer
from biasloop.stages.finetune import finetune
from biasloop.stages.pretrain import pretrain
from biasloop.stages.train import train
from biasloop.tables import ARTICLES

pytestmark = pytest.mark.accelerator

TEXTS = ["The river runs to the sea and the sea is wide.", "We hold a vote. The vote is close."]
CONFIG = ScratchConfig(layers=2, width=32, heads=2, vocabulary=300, context=128, dropout=0.2)
#: Seven samples in batches of two: four steps an epoch, the last one of a single sample.
SAMPLES = [list(range(10 * i, 10 * i + 4 + 3 * i)) for i in range(7)]
SETTINGS = {
    "seed": 5,
    "batch_size": 2,
    "learning_rate": 1e-2,
    "weight_decay": 0.1,
    "epochs": 2.5,
    "warmup_steps": 2,
    "schedule": "cosine",
    "checkpoint_minutes": 0,
}


class StopError(Exception):
    pass


def fresh():
    return build_scratch_model(train_tokenizer(TEXTS, 300), CONFIG, seed=3)


def every_byte(loaded):
    return {
        name: tensor.detach().cpu().numpy().tobytes()
        for name, tensor in loaded.model.named_parameters()
    }


def stop_after(steps):
    told = []

    def progress(tokens):
        told.append(tokens)
        if len(told) == steps:
            raise StopError

    return progress


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def uninterrupted():
    loaded = fresh()
    log = train(loaded, SAMPLES, **SETTINGS)
    assert log.steps == 10
    return every_byte(loaded), log


# Before the first checkpoint, in the first epoch, at its end, at the start and in the middle of
# the second, in the last (half) epoch, and before the very last step.
@pytest.mark.parametrize("stops", [(1,), (2,), (5,), (6,), (8,), (10,), (3, 4, 3)])
def test_a_stopped_training_ends_in_the_same_bytes(tmp_path, uninterrupted, stops):
    for stop in stops:
        with pytest.raises(StopError):
            train(fresh(), SAMPLES, **SETTINGS, checkpoints=tmp_path, on_progress=stop_after(stop))
        assert len(list(tmp_path.iterdir())) <= 1, "the last checkpoint only, and nothing half done"
    loaded, told = fresh(), []
    log = train(loaded, SAMPLES, **SETTINGS, checkpoints=tmp_path, on_progress=told.append)
    assert len(told) == 10 - sum(stop - 1 for stop in stops), "it did not go on where it stopped"
    assert (every_byte(loaded), log) == uninterrupted
    assert not loaded.model.training


def test_keeping_checkpoints_changes_nothing(tmp_path, uninterrupted):
    loaded = fresh()
    log = train(loaded, SAMPLES, **SETTINGS, checkpoints=tmp_path)
    assert (every_byte(loaded), log) == uninterrupted
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-9"]
    assert not list(tmp_path.rglob("training_args.bin"))


def test_no_checkpoint_before_its_time(tmp_path):
    train(fresh(), SAMPLES, **SETTINGS | {"checkpoint_minutes": 5}, checkpoints=tmp_path)
    assert list(tmp_path.iterdir()) == []


def make_checkpoint(folder, steps=2):
    with pytest.raises(StopError):
        train(fresh(), SAMPLES, **SETTINGS, checkpoints=folder, on_progress=stop_after(steps))
    (checkpoint,) = folder.iterdir()
    return checkpoint


def steps_of_a_run(folder, samples=SAMPLES, **changes):
    told, loaded = [], fresh()
    log = train(
        loaded,
        samples,
        **SETTINGS | {"checkpoint_minutes": 5} | changes,
        checkpoints=folder,
        on_progress=told.append,
    )
    return len(told), every_byte(loaded), log


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "trainer_state.json"])
@pytest.mark.parametrize("damage", ["truncated", "gone", "altered"])
def test_a_damaged_checkpoint_is_not_resumed_from(tmp_path, uninterrupted, name, damage):
    file = make_checkpoint(tmp_path) / name
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:-1] if damage == "truncated" else b"x" + content[1:])
    steps, weights, log = steps_of_a_run(tmp_path)
    assert steps == 10
    assert (weights, log) == uninterrupted


@pytest.mark.parametrize("manifest", ["", "[]", '{"training": "x"}', '{"training": 3, "files": 4}'])
def test_a_spoilt_manifest_is_no_manifest(tmp_path, manifest):
    (make_checkpoint(tmp_path) / "manifest.json").write_text(manifest)
    assert steps_of_a_run(tmp_path)[0] == 10


def test_the_checkpoint_of_another_training_is_not_resumed_from(tmp_path):
    make_checkpoint(tmp_path)
    assert steps_of_a_run(tmp_path, seed=6)[0] == 10
    make_checkpoint(tmp_path)
    assert steps_of_a_run(tmp_path, samples=[*SAMPLES[:-1], [9, 9, 9]])[0] == 10


def test_what_else_lies_in_the_folder_stays(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    train(fresh(), SAMPLES, **SETTINGS, checkpoints=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(int(sys.argv[3]))
sys.path.insert(0, sys.argv[1])
from test_stages_checkpoints import SAMPLES, SETTINGS, fresh
from biasloop.stages.train import train
save = torch.save
def save_a_part(value, file, *rest, **named):
    if str(file).endswith("checkpoint-6/optimizer.pt"):
        Path(file).write_bytes(b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)
    save(value, file, *rest, **named)
torch.save = save_a_part
train(fresh(), SAMPLES, **SETTINGS, checkpoints=Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_killed_in_the_middle_of_a_checkpoint_the_one_before_counts(tmp_path, uninterrupted):
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, here, str(tmp_path), str(torch.get_num_threads())],
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "unfinished" / "checkpoint-6" / "optimizer.pt").exists()
    steps, weights, log = steps_of_a_run(tmp_path)
    assert steps == 5
    assert (weights, log) == uninterrupted
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]


def test_killed_while_two_checkpoints_lie_there_the_later_counts(tmp_path, uninterrupted):
    make_checkpoint(tmp_path / "a", 4)
    make_checkpoint(tmp_path / "b", 7).rename(tmp_path / "a" / "checkpoint-6")
    (tmp_path / "a" / ".checkpoint-6.x").mkdir()
    steps, weights, log = steps_of_a_run(tmp_path / "a")
    assert steps == 4
    assert (weights, log) == uninterrupted


def test_a_checkpoint_is_read_without_unpickling(tmp_path, monkeypatch):
    make_checkpoint(tmp_path)
    load, flags = torch.load, []

    def watched(*rest, **named):
        flags.append(named.get("weights_only"))
        return load(*rest, **named)

    monkeypatch.setattr(torch, "load", watched)
    assert steps_of_a_run(tmp_path)[0] == 9
    assert flags == [True] * 3


def test_a_checkpoint_that_cannot_be_written_says_so_and_leaves_the_one_before(
    tmp_path, monkeypatch
):
    save = torch.save

    def full(value, file, *rest, **named):
        if "checkpoint-4" in str(file):
            raise OSError(28, "No space left on device")
        save(value, file, *rest, **named)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(StoreError, match=r"cannot be written.*No space left.*make room"):
        train(fresh(), SAMPLES, **SETTINGS, checkpoints=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-3"]


def test_fine_tuning_and_pretraining_resume(tmp_path):
    articles = pl.DataFrame(
        {
            "article_id": ["a", "b", "c"],
            "title": "T",
            "body": [*TEXTS, TEXTS[0][5:]],
            "label": ["left", "right", "left"],
            "source": "",
        },
        schema=ARTICLES,
    )
    config = TrainingConfig(batch_size=1, learning_rate=1e-3, checkpoint_minutes=0)
    tuned, resumed = fresh(), fresh()
    log = finetune(tuned, articles, config, 0)
    with pytest.raises(StopError):
        finetune(fresh(), articles, config, 0, checkpoints=tmp_path, on_progress=stop_after(9))
    told = []
    assert (
        finetune(resumed, articles, config, 0, checkpoints=tmp_path, on_progress=told.append) == log
    )
    assert len(told) == log.steps - 8
    assert every_byte(tuned) == every_byte(resumed)

    scratch = CONFIG.model_copy(
        update={"pretraining": PretrainingConfig(steps=8, batch_size=2, tokens=16, warmup_steps=2)}
    )
    base, log = pretrain(articles, scratch, 0)
    place = tmp_path / "base"
    with pytest.raises(StopError):
        pretrain(articles, scratch, 0, stop_after(4), checkpoints=place, checkpoint_minutes=0)
    assert (
        json.loads((place / "checkpoint-3" / "trainer_state.json").read_text())["global_step"] == 3
    )
    again, log_again = pretrain(articles, scratch, 0, checkpoints=place, checkpoint_minutes=0)
    assert every_byte(again) == every_byte(base)
    assert log_again == log
