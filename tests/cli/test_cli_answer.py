"""What `run` and `report` print at their end: the report's first screen."""

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from biasloop import api
from biasloop.cli.main import app

SENTENCE = "Trained on its own text, the model moved 27 points (22 to 34) towards [red]"
ANSWER = {
    "sentence": SENTENCE,
    "columns": ["Regime, trained on", "Bias change"],
    "rows": [
        [
            {"text": "synthetic", "note": "its own text only"},
            {"text": "+27 points", "note": "+22 to +34"},
        ],
        [{"text": "mix [bold]", "note": ""}, {"text": "-", "note": "62 % unreadable"}],
    ],
    "untold": "what another seed would do",
}


class MadeUp:
    """A run whose report says what it is told to; counts how often it was written."""

    def __init__(self, folder, written=None):
        self.folder, self.count = folder, 0
        if written is not None:
            self.write(written)

    def write(self, answer):
        (self.folder / "report.html").write_text("")
        (self.folder / "summary.json").write_text(json.dumps(answer))
        return self.folder / "report.html"

    def current_report(self):
        path = self.folder / "report.html"
        return path if path.exists() else None

    def report(self):
        self.count += 1
        return self.write({"answer": ANSWER})


def invoke(monkeypatch, run, *arguments):
    monkeypatch.setattr(api, "run", lambda *_: run)
    monkeypatch.setattr(api, "load_run", lambda _: run)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("command", [["run", "demo"], ["report", "there"]])
def test_sentence_table_and_path_in_this_order(monkeypatch, tmp_path, command):
    shown = invoke(monkeypatch, MadeUp(tmp_path), *command)
    flat = " ".join(shown.split())
    parts = [SENTENCE, "Bias change", "synthetic", "+27 points", "+22 to +34", "mix [bold]"]
    parts += ["62 % unreadable", "what another seed would do", "report:"]
    places = [flat.index(part) for part in parts]
    assert places == sorted(places)
    assert shown.splitlines()[-1] == f"report: {tmp_path / 'report.html'}"


@pytest.mark.parametrize(("written", "again"), [({"answer": ANSWER}, 0), ({"name": "old"}, 1)])
def test_a_report_is_written_again_only_where_it_has_no_answer(
    monkeypatch, tmp_path, written, again
):
    run = MadeUp(tmp_path, written)
    assert SENTENCE in " ".join(invoke(monkeypatch, run, "run", "demo").split())
    assert run.count == again


def test_json_has_the_same_answer(monkeypatch, tmp_path):
    shown = invoke(monkeypatch, MadeUp(tmp_path), "run", "demo", "--json")
    event = json.loads(shown.splitlines()[-1])
    assert event["event"] == "report"
    assert event["answer"] == ANSWER


def test_a_run_without_an_answer_prints_its_path_alone(monkeypatch, tmp_path):
    nothing = {"sentence": "No regime has one.", "columns": [], "rows": [], "untold": ""}
    run = SimpleNamespace(report=lambda: MadeUp(tmp_path).write({"answer": nothing}))
    lines = invoke(monkeypatch, run, "report", "there").split("\n")
    assert [line for line in lines if line] == [
        "No regime has one.",
        f"report: {tmp_path / 'report.html'}",
    ]
