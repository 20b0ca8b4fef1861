"""`biasloop dose` from its command line to its files, and what it refuses."""

from __future__ import annotations

import json

import polars as pl
import pytest
from made_up import experiment, write_corpus
from typer.testing import CliRunner

from biasloop import api
from biasloop.api import runs
from biasloop.cli.main import app
from biasloop.config import parse_config, with_doses
from biasloop.errors import InputError
from biasloop.loop import contents_of, make_plan
from biasloop.theory import least_real_share, two_leanings_threshold


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dose")
    values = experiment(write_corpus(folder / "articles.jsonl"))
    values["loop"] = {"generations": 1, "seeds": [0], "bias_direction": "none"}
    return values | {
        "metrics": values["metrics"] | {"names": ["leaning"]},
        "neurons": {"sites": []},
    }


@pytest.fixture(autouse=True, scope="module")
def _no_pictures(blank):
    """Write the report without its pictures; not without that of the doses."""


def test_chains_share_generation_0_and_the_dose_0_is_synthetic(values):
    config = with_doses(parse_config(values), "preservation", [0.5, 0, 0.1])
    assert [one.label for one in config.regimes] == [
        "synthetic", "preservation-0.1", "preservation-0.5"
    ]  # fmt: skip
    contents = contents_of(config)
    plan, usual = (make_plan(one, contents) for one in (config, parse_config(values)))
    first = {plan.finetuned[one.label, 0, 0].key for one in config.regimes}
    assert first == {usual.finetuned["synthetic", 0, 0].key}
    for mine, theirs in (("synthetic", "synthetic"), ("preservation-0.1", "preservation")):
        assert plan.finetuned[mine, 0, 1].key == usual.finetuned[theirs, 0, 1].key


def test_a_regime_of_real_articles_stays_and_other_settings_are_kept(values):
    own = [{"kind": "preservation", "epochs": 2}, "real", "accumulation"]
    config = with_doses(parse_config(values | {"regimes": own}), "preservation", [0, 1])
    assert [one.label for one in config.regimes] == ["synthetic", "preservation-1", "real_only"]
    assert [one.epochs for one in config.regimes] == [None, 2, None]


@pytest.mark.parametrize(
    ("regime", "tried", "message"),
    [
        ("preservations", [0, 1], "did you mean 'preservation'"),
        ("accumulation", [0, 1], r"no dose.*preservation \(fraction\)"),
        ("preservation", [0.1], "two values"),
        ("preservation", [0.1, 0.1, 0.2], "each once"),
        ("preservation", [0, 1.5], r"fraction: .*less than or equal to 1 \(it is 1.5\)"),
        ("preservation", [-0.1, 0.5], "greater than 0"),
        ("preservation", [0, float("nan")], "finite"),
    ],
)
def test_what_cannot_be_a_dose_is_refused(values, regime, tried, message):
    with pytest.raises(InputError, match=message):
        with_doses(parse_config(values), regime, tried)


def test_a_run_of_doses_ends_in_a_table_a_figure_and_a_sentence(values, tmp_path, monkeypatch):
    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(json.dumps(values))
    command = ["dose", "tiny.yaml", "--regime", "preservation", "--values", "0,0.5"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0
    folder = tmp_path / "runs" / "tiny-preservation-dose"
    assert (folder / "dose.png").read_bytes().startswith(b"\x89PNG")
    assert str(folder / "dose.png") in done.stdout.replace("\n", "")
    found = json.loads((folder / "dose.json").read_text())
    assert found["sentence"].split()[0] in done.stdout
    run = api.load_run(folder)
    real = run.results.real.height
    assert [one["real_articles"] for one in found["doses"]] == [0, round(0.5 * real)]
    verdicts = {one.regime: one for one in run.verdicts()}
    trained = run.results.trained.group_by("regime", "seed").agg(pl.col("tokens").sum())
    for one in found["doses"]:
        own = trained.filter(regime=one["regime"])["tokens"]
        assert one["tokens"] == pytest.approx(own.mean())
        judged = verdicts[one["regime"]]
        for label, moved in (judged.corrected or judged.changes).items():
            assert one["changes"][label]["low"] == pytest.approx(moved.low)
    assert (found["looks"], found["level"]) == (1, 0.95)
    assert run.dose("preservation", 3).machine["looks"] == 3
    again = run.dose("preservation").machine
    assert (again["looks"], again["level"]) == (3, pytest.approx(1 - 0.05 / 3))
    (folder / "dose.json").write_text("[]")
    with pytest.raises(InputError, match=r"dose\.json: does not say how often"):
        run.dose("preservation")
    shown = json.loads((folder / "summary.json").read_text())["answer"]["frontier"]
    assert [row[0]["text"] for row in shown["rows"]] == ["synthetic", "preservation-0.5"]
    assert shown["sentence"] in (folder / "report.html").read_text()
    # Six red and six blue articles: half of each set must be real, which adds as many again.
    assert found["theory"]["real_share"] == two_leanings_threshold(0.5) == 0.5
    assert "fraction of 1" in found["theory"]["text"]


class Looked:
    """What `api.run` gives: at every look, which doses are clear."""

    def __init__(self, clear):
        self.clear, self.rows = clear, (0, 1, 2)

    def dose(self, regime, looks):
        assert (regime, looks) == ("preservation", 3)
        return self


def test_a_dose_that_is_clear_gets_no_more_chains(values, monkeypatch):
    ran, clear = [], [("synthetic",), ("synthetic", "preservation-0.1"), ("synthetic",)]

    def run(config, *_, **__):
        ran.append(config)
        return Looked(clear[len(ran) - 1])

    monkeypatch.setattr(runs, "run", run)
    seeds = values | {"loop": values["loop"] | {"seeds": list(range(9))}}
    api.find_dose(seeds, "preservation", [0, 0.1, 0.5], looks=3)
    chains = [[len(one.seeds_of(regime)) for regime in one.regimes] for one in ran]
    assert chains == [[3, 3, 3], [3, 6, 6], [3, 6, 9]]
    last = ran[-1]
    made = make_plan(last, contents_of(last)).finetuned
    assert {seed for label, seed, _ in made if label == "preservation-0.1"} == {*range(6)}
    assert [one.label for one in last.regimes] == [
        "synthetic",
        "preservation-0.1",
        "preservation-0.5",
    ]
    # All clear at the first look: there is no second.
    clear[:], ran[:] = [("synthetic", "preservation-0.1", "preservation-0.5")], []
    api.find_dose(seeds, "preservation", [0, 0.1, 0.5], looks=3)
    assert len(ran) == 1


def test_a_regime_has_chains_of_the_loop_only(values):
    with pytest.raises(InputError, match=r"'synthetic': seeds: loop\.seeds does not have 4"):
        parse_config(values | {"regimes": [{"kind": "synthetic", "seeds": [0, 4]}]})


def test_the_command_ends_with_2_where_values_are_no_numbers(tmp_path, monkeypatch):
    done = CliRunner().invoke(
        app, ["dose", "demo", "--regime", "preservation", "--values", "0,much"]
    )
    assert isinstance(done.exception, InputError)
    assert done.exception.exit_code == 2


def test_the_least_real_share_is_known_of_two_leanings_and_of_several_in_balance():
    assert least_real_share([0.4, 0.6]) == two_leanings_threshold(0.6)
    assert least_real_share([1, 1, 1]) == pytest.approx(3 * (3 - 2 * 2**0.5))
    assert least_real_share([0.2, 0.3, 0.5]) is None
    assert least_real_share([0.0, 1.0]) is None
