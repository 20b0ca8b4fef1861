"""The check of a GPU, on what there is: tiny models, and checks that fail, die or hang."""

import json
import time

import gpu_check
import pytest


@pytest.mark.parametrize("name", ["training", "generation", "resume"])
def test_what_a_gpu_is_asked_holds_on_a_processor(name, tmp_path, monkeypatch):
    monkeypatch.setattr("stage_speed.clock._TWICE", 0.0)
    monkeypatch.setattr("stage_speed.peak._SECONDS", 0.01)
    gpu_check.make(name, True, tmp_path / "found.json")
    found = gpu_check.Found(**json.loads((tmp_path / "found.json").read_text()))
    assert found.faults == []
    values = {what: value for what, value, _ in found.figures}
    speeds = [value for _, value, unit in found.figures if unit in ("tokens/s", "%", "GiB")]
    assert all(value > 0 for value in speeds)
    assert values.get("a float32 batch writes the tokens of model.generate", 4) == 4
    assert values.get("weights equal, byte for byte", "yes") == "yes"


def test_a_check_that_hangs_dies_or_raises_is_a_fault(tmp_path, monkeypatch):
    begun = time.monotonic()
    (fault,) = gpu_check.limited("machine", True, 0.1).faults
    assert "stopped after its limit of 0 s" in fault
    assert time.monotonic() - begun < 5
    monkeypatch.setattr(gpu_check, "__file__", str(tmp_path / "absent.py"))
    (fault,) = gpu_check.limited("machine", True, 20).faults
    assert "its process ended with code 2" in fault
    monkeypatch.setitem(gpu_check.CHECKS, "machine", (lambda tiny, found: 1 / 0, 1))
    gpu_check.make("machine", True, tmp_path / "found.json")
    (fault,) = json.loads((tmp_path / "found.json").read_text())["faults"]
    assert fault.startswith("ZeroDivisionError: division by zero (")


def test_every_check_is_printed_and_written_and_a_fault_is_the_exit_code(
    tmp_path, monkeypatch, capsys
):
    found = {
        "machine": gpu_check.Found([("memory of the card", 79.1, "GiB")], seconds=4.0),
        "training": gpu_check.Found(faults=["weights differ by 1e-2"]),
    }
    monkeypatch.setattr(gpu_check, "limited", lambda name, tiny, seconds: found[name])
    out = tmp_path / "gpu.json"
    assert gpu_check.main(["--only", "machine", "--out", str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["machine", "memory", "of", "the", "card", "79.1", "GiB"]
    assert said[-1].split()[:3] == ["machine", "ok", "4"]
    assert gpu_check.main(["--only", "machine", "--only", "training", "--out", str(out)]) == 1
    assert "FAILED" in capsys.readouterr().out.splitlines()[-1]
    written = json.loads(out.read_text())["checks"]
    assert written["machine"]["figures"] == [["memory of the card", 79.1, "GiB"]]
    assert written["training"]["faults"] == ["weights differ by 1e-2"]
    assert gpu_check.main(["--only", "machine", "--total", "1"]) == 0
    assert "skipped" in capsys.readouterr().out


def test_a_gap_is_that_of_the_first_tokens_that_differ():
    from stage_speed.settings import DEMO, BenchSettings
    from stage_speed.subjects import language_model

    model = language_model(BenchSettings(DEMO, quick=True)).model
    assert gpu_check._gap(model, [5, 6], [7, 8], [7, 8]) == 0
    assert gpu_check._gap(model, [5, 6], [7, 8], [7]) == float("inf")
    assert gpu_check._gap(model, [5, 6], [7, 8, 9], [7, 3, 9]) > 0
