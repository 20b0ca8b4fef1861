"""A few hundred hostile configs and corpora per target; tools/fuzz.py runs many thousands."""

import mmap
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

import pytest
from fuzzing import configs, corpora
from fuzzing.oracle import Judge, snapshot
from fuzzing.targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

from biasloop.config import CorpusConfig, load_config
from biasloop.corpus.load import load_corpus, read_unlabelled
from biasloop.errors import InputError, StoreError


def judged(judge, case_of):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "in")
        folder.mkdir()
        case = case_of(folder)
        return judge(case.act, Path(name), case.names)


@pytest.mark.parametrize("target", TARGETS)
def test_every_case_is_accepted_or_refused_with_one_message(judge, target):
    kinds = set()

    @given(st.integers(0, 2**64))
    @settings(max_examples=100, deadline=None, derandomize=True)
    def run(seed):
        outcome = judged(judge, lambda folder: TARGETS[target][0](Random(seed), folder))
        kinds.add(outcome.kind)
        assert outcome.kind != "finding", outcome.detail

    run()
    # Cases that are all refused at the door would test nothing.
    assert kinds == {"accepted", "refused"} or target == "place"


@pytest.mark.parametrize("name", configs.bombs())
def test_yaml_that_takes_time_memory_or_stack_is_refused(judge, tmp_path, name):
    path = tmp_path / "run.yaml"
    path.write_text(configs.bombs()[name])
    outcome = judge(lambda: load_config(path), tmp_path, ["run.yaml"])
    assert outcome.kind == "refused", outcome
    assert "more than 32 deep" in outcome.detail or not name.startswith("deep")


@pytest.mark.parametrize("bomb", ["billion laughs", "quadratic aliases", "deep flow lists"])
def test_a_bomb_in_an_override_or_in_a_run_folder_is_refused(judge, tmp_path, bomb):
    from biasloop.api import load_run

    text = configs.bombs()[bomb].replace("\n", " ")
    outcome = judge(
        lambda: load_config("demo", [f"corpus.label_map={{{text}}}"]), tmp_path, ["--set"]
    )
    assert outcome.kind == "refused", outcome
    (tmp_path / "run.json").write_text('{"config": {}, "provenance": {}}')
    (tmp_path / "config.yaml").write_text(configs.bombs()[bomb])
    outcome = judge(lambda: load_run(tmp_path), tmp_path, ["config.yaml"])
    assert outcome.kind == "refused", outcome
    with pytest.raises(StoreError):
        load_run(tmp_path)


@pytest.fixture(scope="module")
def bombs():
    # Not in pytest's folder, which stays: some have a length of terabytes, though all are holes.
    with tempfile.TemporaryDirectory() as folder:
        yield corpora.bombs(Path(folder))


@pytest.mark.parametrize(
    "name",
    ["many-rows", "long-value", "long-list", "one-value-often", "one-body-often", "wide-header",
     "holes-jsonl", "holes-csv", "holes-parquet"],
)  # fmt: skip
def test_a_small_file_that_would_fill_the_memory_is_refused(judge, bombs, name):
    path = bombs[name]
    config = CorpusConfig(source=str(path), on_bad_row="skip")
    for act in (lambda: load_corpus(config, 0), lambda: read_unlabelled(path)):
        outcome = judge(act, path.parent, [path.name])
        assert outcome.kind == "refused", outcome


#: What made an earlier version hang, fill the memory or end with a traceback.
CONFIGS = {
    "an empty number": b'seed: !!int ""',
    "an empty float": b'training: {epochs: !!float "_"}',
    "a truth value that is none": b"name: !!bool maybe",
    "a date that is none": b"name: !!timestamp x",
    "a list that calls itself a mapping": b"corpus: !!map [1]",
    "a character beyond all": b'name: "\\UFFFFFFFF"',
    "a number too long to print": b"seed: 0x" + b"f" * 5000,
    "a key too long to print": b"0x" + b"f" * 5000 + b": 1",
    "sixty to the many": b"seed: " + b":".join([b"1"] * 40_000),
    "sixty to the many and a half": b"seed: " + b":".join([b"1"] * 400) + b".5",
    "a lone surrogate as a key": b'corpus: {label_map: {"\\ud800": left}}',
    "infinite epochs": b"training: {epochs: .inf}",
    "an infinite temperature": b"generation: {temperature: .inf}",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_that_once_broke_the_reader(judge, tmp_path, name):
    path = tmp_path / "run.yaml"
    path.write_bytes(CONFIGS[name])
    outcome = judge(lambda: load_config(path), tmp_path, ["run.yaml"])
    assert outcome.kind == "refused", outcome


@pytest.mark.parametrize(
    "override",
    ["regimes.².fraction=1", "regimes." + "9" * 5000 + ".x=1", ".".join(["a"] * 20_000) + "=1",
     "corpus.label_map.\udcff=left", "seed=0x" + "f" * 5000, 'name="\\UFFFFFFFF"'],
)  # fmt: skip
def test_overrides_that_once_broke_the_reader(judge, tmp_path, override):
    outcome = judge(lambda: load_config("demo", [override]), tmp_path, ["--set"])
    assert outcome.kind == "refused", outcome


@pytest.mark.parametrize(
    "source", ["~nosuchuser/x", "x" * 5000, "a\0b", "/dev/zero", "/dev/stdin/x"]
)
def test_paths_that_once_broke_a_reader(judge, tmp_path, source):
    outcome = judge(lambda: load_config(source), tmp_path, [source[:40], repr(source)[1:40]])
    assert outcome.kind == "refused", outcome
    for act in (
        lambda: load_corpus(CorpusConfig(source=source), 0),
        lambda: read_unlabelled(Path(source)),
    ):
        outcome = judge(act, tmp_path, [source[:40], repr(source)[1:40]])
        assert outcome.kind == "refused", outcome


@pytest.mark.parametrize("name", ["run.yaml", "a.jsonl", "a.csv", "a.parquet"])
def test_a_pipe_is_refused_and_not_waited_for(judge, tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path)
    config = CorpusConfig(source=str(path))
    for act in (
        lambda: load_config(path),
        lambda: load_corpus(config, 0),
        lambda: read_unlabelled(path),
    ):
        outcome = judge(act, tmp_path, [name])
        assert outcome.kind == "refused", outcome


def test_a_model_path_in_a_config_file_may_be_no_path(tmp_path):
    from biasloop.models.load import resolve_model

    path = tmp_path / "run.yaml"
    for name in ("~nosuchuser/x", "x" * 5000):
        path.write_text(f"base: {{model: '{name}'}}")
        with pytest.raises(InputError, match="is no path of a model"):
            resolve_model(load_config(path).base.model)


def test_the_judge_sees_what_it_is_for(judge, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside"

    def refuse():
        raise InputError("some other thing")

    def grow():
        # Not from the C library, which may have as much of its own from a test before.
        area = mmap.mmap(-1, 500 * 2**20)
        for _ in range(500):
            area.write(b"x" * 2**20)
        kept.append(area)

    kept: list[mmap.mmap] = []
    inside = tmp_path / "inside"
    faults = {
        "ValueError": lambda: int("x"),
        "outside the allowed": lambda: outside.write_text("x"),
        "not as it was": lambda: os.close(os.open(inside, os.O_CREAT | os.O_RDWR)),
        "os.system": lambda: os.system("true"),
        "noise on stderr": lambda: os.write(2, b"panicked"),
        "names neither": refuse,
        "MB of memory": grow,
    }
    for words, act in faults.items():
        outcome = judge(act, tmp_path, ["a.jsonl"])
        assert outcome.kind == "finding", words
        assert words in outcome.detail or words == "not as it was", outcome
    short = Judge(seconds=0.2)
    outcome = short(lambda: os.read(os.pipe()[0], 1), tmp_path, ["a"])
    assert "more than 0.2 s" in outcome.detail
    assert snapshot(tmp_path).keys() == {str(inside)}


def test_a_case_is_the_same_for_a_seed(judge):
    from fuzz import run_case

    for target in TARGETS:
        kinds = [[run_case(judge, target, 3, n).kind for n in range(8)] for _ in range(2)]
        assert kinds[0] == kinds[1]


def test_the_tool_counts_its_cases_and_fails_on_a_finding():
    tool = Path(__file__).parents[2] / "tools" / "fuzz.py"
    command = [sys.executable, str(tool), "--cases", "40", "--target", "jsonl", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    total = done.stdout.splitlines()[-2].split()
    assert total[:2] == ["all", "40"]
    assert int(total[2]) + int(total[3]) == 40
    # Every case takes more than less than nothing.
    strict = [*command, "--megabytes", "-1"]
    done = subprocess.run(strict, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "finding: jsonl 0: " in done.stdout
