"""`biasloop neurons` on a whole run: its files, its counts and what it refuses."""

import json
import shutil

import pytest
from typer.testing import CliRunner

import biasloop as bl
from biasloop.cli.main import app
from biasloop.errors import InputError
from biasloop.neurons import ASSOCIATIONS
from biasloop.tables import read_table

pytestmark = pytest.mark.usefixtures("own_cache")


def test_neurons_of_a_run_and_of_two(tiny, tmp_path):
    names = ["metrics.names=[leaning,diversity]", "loop.bias_direction=none"]
    bl.run(tiny, tmp_path / "one", names)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    one, two = (str(tmp_path / place) for place in ("one", "two"))
    metrics = ["--metric", "distinct_1", "--metric", "vocabulary"]
    done = CliRunner().invoke(app, ["neurons", one, *metrics])
    assert done.exit_code == 0, done.output
    assert "distinct_1: " in done.output
    assert "expected of independent sets" in done.output
    assert done.output.count("model versions are few") == 2
    folder = tmp_path / "one" / "neurons"
    table = read_table(folder / "associations.parquet", ASSOCIATIONS)
    assert table.group_by("metric").len()["len"].to_list() == [16, 16]
    assert (folder / "counts.png").is_file()

    both = CliRunner().invoke(
        app, ["neurons", one, two, *metrics, "--quantity", "activation", "--method", "published",
              "--out", str(tmp_path / "both"), "--json"]
    )  # fmt: skip
    assert both.exit_code == 0, both.output
    counts = json.loads(both.output)["counts"]
    assert set(counts) == {"distinct_1", "vocabulary"}
    assert counts["vocabulary"]["tests"] == 16
    refused = CliRunner().invoke(app, ["neurons", one, two, *metrics])
    assert isinstance(refused.exception, InputError)
    assert "--out" in str(refused.exception)
