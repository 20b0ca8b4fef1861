"""Fine-tuning in several processes: on CPUs, where each holds the model whole."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import polars as pl
import pytest
import safetensors.torch
import torch

from biasloop.config import ScratchConfig, TrainingConfig
from biasloop.errors import BiasloopError, InputError
from biasloop.models.load import build_scratch_model, load_model, save_model, train_tokenizer
from biasloop.stages.finetune import finetune
from biasloop.stages.fsdp import finetune_sharded, processes_for
from biasloop.stages.train import _sharded
from biasloop.tables import ARTICLES

TRAINING = TrainingConfig(
    epochs=2, batch_size=4, samples="article", precision="float32", learning_rate=1e-3
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tokenizer = train_tokenizer([body(n) for n in range(8)], 300)
    scratch = ScratchConfig(layers=2, width=16, heads=2, vocabulary=300, context=128)
    path = tmp_path_factory.mktemp("model")
    save_model(build_scratch_model(tokenizer, scratch, 3), path)
    return path


def body(number):
    return " ".join(f"the fox {n} sees the dog {number * n}" for n in range(1, 5 + number % 3))


def articles(bodies=None):
    bodies = bodies or [body(number) for number in range(16)]
    columns = {name: [""] * len(bodies) for name in ARTICLES.names()}
    ids = [str(number) for number in range(len(bodies))]
    return pl.DataFrame({**columns, "article_id": ids, "body": bodies}, schema=ARTICLES)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(folder, tmp_path):
    told = []
    log = finetune_sharded(
        folder, articles(), TRAINING, 5, "both", told.append, None, tmp_path / "both", 2
    )
    alone = load_model(str(folder), precision="float32")
    expected = finetune(alone, articles(), TRAINING, 5)
    assert (log.steps, log.tokens) == (expected.steps, expected.tokens)
    assert log.losses == pytest.approx(expected.losses, rel=1e-2)
    assert sum(told) == log.tokens
    both = load_model(str(tmp_path / "both"), precision="float32")
    start = safetensors.torch.load_file(folder / "model.safetensors")
    for name, weights in alone.model.state_dict().items():
        torch.testing.assert_close(both.model.state_dict()[name], weights, rtol=0, atol=1e-4)
    moved = max(
        float((alone.model.state_dict()[name] - was).abs().max()) for name, was in start.items()
    )
    assert moved > 2e-3  # twenty times what the two may differ by
    # Weights and words only: the Trainer's own pickle is not kept.
    assert {p.suffix for p in (tmp_path / "both").iterdir()} <= {".json", ".safetensors", ".jinja"}


def test_what_a_process_says_reaches_the_user(folder, monkeypatch, tmp_path):
    """The launcher here says it at once; that a process does is the next test."""
    launcher = tmp_path / "python"
    error = json.dumps({"error": "InputError", "message": "nothing to train on"})
    launcher.write_text(
        f"#!/bin/sh\nfor job; do :; done\necho '{error}' > \"$job/error.json\"\nexit 1\n"
    )
    launcher.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(launcher))
    with pytest.raises(InputError, match="nothing to train on"):
        finetune_sharded(folder, articles(), TRAINING, 5, "x", print, None, tmp_path / "out", 1)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_any_process_may_be_the_first_to_say_why(tmp_path, rank):
    settings = {
        "model": str(tmp_path / "none"),
        "training": TRAINING.model_dump(mode="json"),
        "seed": 5,
        "run_name": "x",
        "checkpoints": None,
        "out": str(tmp_path / "out"),
    }
    (tmp_path / "job.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "biasloop.stages.fsdp", str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, env=os.environ | {"RANK": rank, "LOCAL_RANK": rank}
    ) as process:
        assert process.wait(120) == 1
    told = json.loads((tmp_path / "error.json").read_text())
    assert "no such model folder" in told["message"]


def test_the_last_words_of_a_process_that_dies_are_told(folder, monkeypatch, tmp_path):
    launcher = tmp_path / "python"
    launcher.write_text("#!/bin/sh\necho out of memory >&2\nexit 137\n")
    launcher.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(launcher))
    with pytest.raises(BiasloopError, match="x: a process of the fine-tuning died: out of memory"):
        finetune_sharded(folder, articles(), TRAINING, 5, "x", print, None, tmp_path / "out", 2)


def test_a_batch_that_cannot_be_shared_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match=r"batch_size: 4 cannot be shared out over 3"):
        finetune_sharded(folder, articles(), TRAINING, 5, "x", print, None, tmp_path, 3)


@pytest.mark.parametrize(
    ("gpus", "memory", "sharding", "expected"),
    [
        (0, 0, "auto", 1),
        (1, 1, "auto", 1),
        (4, 80e9, "auto", 1),
        (4, 1e5, "auto", 4),
        (4, 80e9, "fsdp", 4),
        (4, 1e5, "none", 1),
    ],
)
def test_sharding_chooses_itself(folder, monkeypatch, gpus, memory, sharding, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda number: SimpleNamespace(total_memory=memory)
    )
    assert processes_for(folder, sharding, TRAINING) == expected


def test_fsdp_needs_gpus(folder):
    with pytest.raises(InputError, match="this process has 0"):
        processes_for(folder, "fsdp", TRAINING)


def test_fsdp_is_asked_of_the_trainer_on_gpus_only(monkeypatch, tmp_path):
    from transformers import TrainingArguments

    assert _sharded(2) == {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert _sharded(1) == {}
    options = _sharded(2)
    monkeypatch.undo()
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **options)
    assert arguments.fsdp_plugin_args["fsdp_version"] == 2
    assert arguments.fsdp_plugin_args["state_dict_type"] == "FULL_STATE_DICT"


def test_processes_end_with_the_one_that_started_them():
    code = "from biasloop.stages.fsdp import _end_with_parent as end; end()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.close()
    assert process.wait(60) == 1
