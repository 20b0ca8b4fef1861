"""`biasloop validate`: what it prints, and its exit code."""

import json
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from biasloop import controls
from biasloop.cli.main import app, main
from biasloop.controls import Check, Row, Validation


def made_up(passed):
    change = SimpleNamespace(value=0.3, low=0.2, high=0.4)
    verdict = SimpleNamespace(regime="synthetic", amplified="yes", leaning_change=change)
    row = Row("positive", "synthetic", "red", np.array([0.6, 0.9]), np.array([0.5, 0.8]), verdict)
    checks = (Check("one thing", True, "none"), Check("another", passed, "synthetic"))
    return Validation((row,), checks, {})


def run(monkeypatch, passed, *arguments):
    monkeypatch.setattr(controls, "validate", lambda *_, **__: made_up(passed))
    return CliRunner().invoke(app, ["validate", *arguments])


def test_passed_is_0_and_the_last_line_says_so(monkeypatch):
    done = run(monkeypatch, True)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "the instrument passed: 2 of 2 checks"
    for shown in ("red grows", "+30.0", "(20.0 to", "60 90", "50 80", "10 points"):
        assert shown in done.stdout


def test_what_is_kept_is_answered_in_its_sentence(monkeypatch, tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps({"answer": {"sentence": "It moved."}}))
    kept = Validation(made_up(True).rows, made_up(True).checks, {"positive": tmp_path})
    monkeypatch.setattr(controls, "validate", lambda *_, **__: kept)
    shown = CliRunner().invoke(app, ["validate"]).stdout
    assert f"positive control: It moved. {tmp_path}" in shown


def test_failed_is_1_and_the_check_is_named(monkeypatch):
    done = run(monkeypatch, False)
    assert done.exit_code == 1
    assert "FAILED: another (synthetic)" in done.stdout
    assert done.stdout.splitlines()[-1] == "the instrument FAILED: 1 of 2 checks"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "stopped, and nothing is kept; with --out DIR"),
        (["--out", "kept"], "stopped; the same command goes on from here"),
    ],
)
def test_what_a_stopped_validation_leaves_is_said(monkeypatch, capsys, arguments, says):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(controls, "validate", stop)
    monkeypatch.setattr(sys, "argv", ["biasloop", "validate", *arguments])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as stopped:
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stopped.value.code == 130
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith(f"biasloop: {says}")


@pytest.mark.parametrize("passed", [True, False])
def test_json_says_the_same(monkeypatch, passed):
    done = run(monkeypatch, passed, "--json")
    values = json.loads(done.stdout)
    assert done.exit_code == (0 if passed else 1)
    assert values["passed"] is passed
    assert values["rows"][0]["forecast"] == [0.6, 0.9]
    assert values["rows"][0]["change"] == {"value": 0.3, "low": 0.2, "high": 0.4}


@pytest.mark.parametrize(
    ("arguments", "named"), [(["--out", "file/below"], "file/below"), (["--seeds", "2"], "seeds")]
)
def test_bad_input_is_one_message_and_2(tmp_path, biasloop, arguments, named):
    (tmp_path / "file").write_text("mine")
    said = biasloop("validate", *arguments, cwd=tmp_path, code=2)
    assert len(said.splitlines()) == 1
    assert named in said
    assert (tmp_path / "file").read_text() == "mine"
