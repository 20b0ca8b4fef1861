"""Whatever a command does, the Python API does by one call."""

import json

import pytest
from typer.testing import CliRunner

import biasloop as bl
from biasloop import api
from biasloop.cli.main import app

#: Command -> the call that does the same.
CALLS = {
    "run": "run",
    "report": "Run.report",
    "compare": "compare",
    "dose": "find_dose",
    "verify": "verify",
    "clean": "clean",
    "validate": "validate",
    "score": "score",
    "neurons": "find_neurons",
    "ablate": "ablate",
    "intervene": "intervene",
    "export": "export_model",
    "push": "push",
    "audit": "audit_set",
    "label": "read_labels",
    "power": "power",
    "reproduce": "reproduce",
    "simulate": "simulate",
    "download": "download",
    "config": "config_schema",
}
#: It tells what this machine has: nothing to compute with.
NONE = {"doctor"}


def test_every_command_has_a_call():
    commands = {command.name for command in app.registered_commands}
    commands |= {group.name for group in app.registered_groups}
    assert commands == set(CALLS) | NONE
    for call in CALLS.values():
        found = bl
        for name in call.split("."):
            found = getattr(found, name)
        assert callable(found)
    assert set(api.__all__) - {"AssetInfo"} <= set(bl.__all__)


def test_the_command_line_plans_with_the_same_figures():
    options = ["--change", "5", "--accuracy", "0.8", "--share", "40", "--seeds", "3", "--json"]
    said = json.loads(CliRunner().invoke(app, ["power", *options]).output)
    said.pop("notes")
    assert bl.power(change=0.05, accuracy=0.8, share=0.4, seeds=3) == said
    with pytest.raises(bl.InputError, match="correlation"):
        bl.power(change=0.05, corelation=0.2)


def test_simulations_are_those_of_the_command_line(tmp_path):
    chain = bl.simulate("wmle", samples=500, generations=3, seed=1, out=tmp_path / "figures")
    options = ["wmle", "--samples", "500", "--generations", "3", "--seed", "1", "--json"]
    said = json.loads(CliRunner().invoke(app, ["simulate", *options]).output)
    from biasloop.theory import report

    assert json.loads(json.dumps(report(chain))) == said
    assert list((tmp_path / "figures").glob("*.png"))
