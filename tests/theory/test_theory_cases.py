"""Bias and collapse apart: four cases; and what a simulation writes."""

import json

import numpy as np
import polars as pl
import pytest
import typer
from closed_forms import mle_chain, wmle_chain
from typer.testing import CliRunner

from biasloop.cli.plans import simulate
from biasloop.errors import InputError
from biasloop.theory import (
    command,
    measure,
    run,
    save,
    settings,
    summarise,
    verdict,
)
from biasloop.theory.settings import unlimited

APP = typer.Typer()
APP.command("simulate")(simulate)
APP.command("other")(lambda: None)

#: By `ChainVerdict.case`. `command` gives the command line of each.
CASES = {
    # The paper's: the model's density weighs the data, the mean goes to the mode.
    "bias and collapse": settings("wmle"),
    # Two leanings, 40 % unweighted real data: 5 points of bias grow to 22 and stay.
    "bias without collapse": settings(
        "wmle",
        family="categorical",
        pretrained=(0.45, 0.55),
        real=(0.5, 0.5),
        generations=21,
        regime="preservation",
        real_fraction=0.4,
        real_weight="one",
    ),
    # The same weights with nothing to lean on.
    "collapse without bias": settings("wmle", pretrained=(2.0, 2.0), real=(2.0, 2.0)),
    # No weights, and data enough that sampling errors stay small.
    "neither bias nor collapse": settings("mle"),
}


def call(*words):
    return CliRunner().invoke(APP, ["simulate", *words])


@pytest.mark.parametrize("case", CASES)
def test_each_case_is_what_it_is_called(case):
    assert verdict(run(CASES[case])).case == case
    assert verdict(run(unlimited(CASES[case]))).case == case


@pytest.mark.parametrize("case", CASES)
def test_each_case_has_a_command(case, tmp_path):
    words = command(CASES[case]).split()[2:]
    result = call(*words, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["verdict"]["case"] == case
    assert summary["command"] == command(CASES[case])


def test_bias_without_collapse_amplifies_and_keeps_variance_entropy_and_tails():
    chain = run(CASES["bias without collapse"])
    assert verdict(chain).amplified
    measured = measure(chain)
    assert measured["bias"][-1, 0] > 4 * measured["bias"][0, 0]
    assert measured["variance"][-1, 0] > 0.75 * 0.25
    assert measured["entropy"][-1, 0] > 0.8 * np.log(2)
    assert measured["tail"][-1, 0] > 0.5


def test_known_variance_is_biased_but_not_amplified():
    outcome = verdict(wmle_chain(family="normal-known-variance", samples=None))
    assert (outcome.biased, outcome.amplified, outcome.collapsed) == (True, False, False)


def test_classical_collapse_needs_no_bias():
    chain = mle_chain(family="normal", samples=20, generations=101, replicates=200)
    assert verdict(chain).case == "collapse without bias"


def test_summary_has_medians_and_percentiles():
    chain = wmle_chain(replicates=30, samples=200, generations=3)
    rows = summarise(chain)
    values = measure(chain)["variance"][2]
    assert rows[2]["generation"] == 2
    assert rows[2]["variance"] == pytest.approx(np.median(values))
    assert rows[2]["variance_low"] == pytest.approx(np.quantile(values, 0.025))
    assert rows[2]["variance_high"] == pytest.approx(np.quantile(values, 0.975))


def test_json():
    result = call("wmle", "--samples", "inf", "--json")
    printed = json.loads(result.stdout)
    assert list(printed) == ["generations"]
    assert [row["generation"] for row in printed["generations"]] == list(range(11))
    last = printed["generations"][10]
    assert (last["a"], last["b"]) == pytest.approx((3073, 2049), rel=1e-9)
    assert last["mean"] == pytest.approx(3073 / 5122)
    assert last["variance"] == pytest.approx(3073 * 2049 / (5122**2 * 5123))
    assert "mean_low" not in last
    replicated = json.loads(
        call("mle", "--replicates", "5", "--samples", "100", "--generations", "2", "--json").stdout
    )
    assert replicated["generations"][1]["a_low"] < replicated["generations"][1]["a_high"]


def test_json_has_no_nan():
    result = call("mle", "--real", "0.5,0.5", "--samples", "inf", "--json")
    assert json.loads(result.stdout)["generations"][0]["mode"] is None


def test_table():
    result = call("wmle", "--samples", "inf", "--generations", "2")
    assert result.exit_code == 0
    assert "0.5833" in result.output
    assert "variance" in result.output


def test_folder(tmp_path):
    chain = wmle_chain(replicates=3, samples=100, generations=4)
    paths = save(chain, tmp_path / "one")
    save(chain, tmp_path / "two")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(
        path.name for path in paths
    )
    for path in paths:
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    table = pl.read_parquet(tmp_path / "one" / "paths.parquet")
    assert table.height == 12
    row = table.filter(pl.col("generation") == 2, pl.col("replicate") == 1)
    assert row["a"].item() == chain.parameters[2, 1, 0]
    assert paths[0].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("family", ["normal", "normal-known-variance", "categorical"])
def test_every_family_can_be_drawn(family, tmp_path):
    result = call("wmle", "--family", family, "--generations", "3", "--out", str(tmp_path / "o"))
    assert result.exit_code == 0, result.output


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save(wmle_chain(samples=None, generations=2), tmp_path / "file")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["wmle", "--samples", "many"], "--samples 'many'"),
        (["wmle", "--real", "2;2"], "--real '2;2'"),
        (["wmle", "--real", "2"], "two positive numbers"),
        (["wml"], "did you mean"),
    ],
)
def test_wrong_words(words, text):
    result = call(*words)
    assert isinstance(result.exception, InputError)
    assert text in str(result.exception)


def test_theory_needs_no_torch():
    import subprocess
    import sys

    code = (
        "import sys, biasloop.theory as t; t.run(t.settings(samples=100, generations=2));"
        "assert not {'torch', 'matplotlib', 'polars'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
