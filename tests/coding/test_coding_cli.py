"""`biasloop label` on a tiny run: sheets written, coded, and read back."""

from __future__ import annotations

import json

import pytest
from filled import fill
from made_up import experiment, write_corpus
from typer.testing import CliRunner

import biasloop as bl
from biasloop.cli.main import app
from biasloop.errors import InputError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("label")
    config = experiment(write_corpus(folder / "articles.jsonl"))
    config |= {
        "regimes": ["synthetic"],
        "corpus": {**config["corpus"], "articles_per_label": 13},
        "generation": {"block_tokens": 64, "new_tokens": 8, "decoding": "nucleus"},
        "loop": {"generations": 1, "seeds": [0], "bias_direction": "none"},
        "metrics": {**config["metrics"], "names": ["leaning"]},
        "neurons": {"sites": []},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIASLOOP_CACHE", str(folder / "cache"))
        yield bl.run(config, folder / "run").folder


def call(*arguments):
    return CliRunner().invoke(app, ["label", *map(str, arguments)], catch_exceptions=False)


def test_a_round_trip(run, tmp_path):
    out = tmp_path / "coding"
    written = call("write", run, "--articles", 30, "--coders", 2, "--overlap", 50, "--out", out)
    assert written.exit_code == 0
    assert "3 sets" in written.output
    assert str(out / "key.json") in written.output.replace("\n", "")
    key = json.loads((out / "key.json").read_text())["articles"]

    def truth(name):
        """Generation 0 is blue by a half, Generation 1 red, throughout."""
        regime, _, generation, article = key[name]["sets"][0]
        if regime == "real":
            return article.partition("-")[0]
        return "red" if generation == 1 or sum(map(ord, name)) % 2 else "blue"

    for sheet in (out / "sheets").glob("*.csv"):
        fill(sheet, truth)
    shown = call("read", run, out)
    assert shown.exit_code == 0
    assert "coders with each other: alpha 1.00" in shown.output
    assert "26 of 26" in shown.output
    found = json.loads(call("read", run, out / "sheets", "--json").output)
    assert found["agreement"]["value"] == 1
    shares = {(row["regime"], row["generation"], row["leaning"]): row for row in found["shares"]}
    assert shares["real", -1, "red"]["corrected"] == pytest.approx(0.5)
    assert shares["real", -1, "red"]["low"] < 0.5 < shares["real", -1, "red"]["high"]
    assert shares["synthetic", 1, "red"]["corrected"] == pytest.approx(1)
    change = {row["leaning"]: row for row in found["changes"]}["red"]
    assert change["low"] < 0.5 < change["high"]
    assert change["low"] > 0.1
    assert change["pvalue"] < 0.01
    one = call("read", run, out / "sheets" / "coder-1.csv")
    assert "no article was coded by two coders" in one.output
    assert "no interval of the change of synthetic: " in one.output
    assert "labels: an interval needs 25" in one.output
    assert call("read", run, out, "--json").output == call("read", run, out, "--json").output


def test_sheets_are_written_into_the_run_where_they_do_not_disturb_it(run):
    assert call("write", run, "--articles", 2, "--coders", 1).exit_code == 0
    assert (run / "labelling" / "sheets" / "coder-1.html").is_file()
    with pytest.raises(InputError, match="give another --out"):
        call("write", run)
    with pytest.raises(InputError, match="no row has a label"):
        call("read", run)
    assert CliRunner().invoke(app, ["verify", str(run)]).exit_code == 0


def test_another_run_s_key_is_refused(run, tmp_path):
    out = tmp_path / "coding"
    call("write", run, "--articles", 2, "--out", out)
    key = out / "key.json"
    content = json.loads(key.read_text())
    key.write_text(json.dumps({**content, "run": "0" * 64}))
    with pytest.raises(InputError, match=r"key\.json: is the key of another run"):
        call("read", run, out)
