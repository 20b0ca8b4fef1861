"""Bad input, each way a user can give it: exit code 2, one message, no traceback, nothing lost."""

import json
import signal
import subprocess
import sys

import pytest
import yaml

ROWS = [
    {
        "id": f"{label}-{i}",
        "title": "T",
        "body": f"Some words about {label} number {i}. " * 8,
        "label": label,
        "source": f"s{i}",
    }
    for label in ("left", "right")
    for i in range(24)
]


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "cache"))

    def write(rows=ROWS, **sections):
        (tmp_path / "articles.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        values = {
            "corpus": {"source": "articles.jsonl", "articles_per_label": 4, "holdout_per_label": 1},
            "base": {"model": "scratch"},
        }
        for name, section in sections.items():
            values[name] = {**values.get(name, {}), **section}
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": {"epoch": 3}}, "unknown key 'training.epoch': did you mean 'epochs'?"),
        ({"corpus": {"source": "missing.jsonl"}}, "missing.jsonl"),
        ({"base": {"model": "./no-such-model"}}, "./no-such-model: no such model folder"),
        ({"metrics": {"names": ["leening"]}}, "did you mean 'leaning'"),
        ({"corpus": {"articles_per_label": 500}}, "500"),
    ],
)
def test_a_bad_config_is_one_message(project, biasloop, sections, message):
    folder = project(**sections)
    shown = biasloop("run", "run.yaml", cwd=folder, code=2)
    assert message in shown
    assert shown.startswith("biasloop: ")


def test_a_new_process_ends_with_the_exit_code_and_the_message(project):
    done = subprocess.run(
        [sys.executable, "-c", "from biasloop.cli import main; main()", "run", "absent.yaml"],
        capture_output=True,
        text=True,
        cwd=project(),
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("biasloop: absent.yaml: no such file")


def test_a_bad_override_and_a_missing_config(project, biasloop):
    folder = project()
    assert "dotted.key=value" in biasloop(
        "run", "run.yaml", "--set", "nonsense", cwd=folder, code=2
    )
    assert "no such file" in biasloop("run", "absent.yaml", cwd=folder, code=2)
    assert "is not a run folder" in biasloop("report", folder, cwd=folder, code=2)
    assert "--schema" in biasloop("config", cwd=folder, code=2)


def test_an_empty_corpus_and_a_label_with_one_article(project, biasloop):
    assert "articles.jsonl" in biasloop("run", "run.yaml", cwd=project(rows=[]), code=2)
    lonely = [row for row in ROWS if row["label"] == "left"] + [ROWS[-1]]
    shown = biasloop("run", "run.yaml", cwd=project(rows=lonely), code=2)
    assert "right" in shown
    assert "1" in shown


def test_an_unreadable_model_folder(project, biasloop):
    folder = project(base={"model": "model"})
    (folder / "model").mkdir()
    assert "config.json" in biasloop("run", "run.yaml", cwd=folder, code=2)
    (folder / "model" / "config.json").write_text("{ not json")
    assert "cannot be read" in biasloop("run", "run.yaml", cwd=folder, code=2)


def test_a_full_output_folder_is_left_alone(project, biasloop):
    folder = project()
    (folder / "out").mkdir()
    (folder / "out" / "mine.txt").write_text("mine")
    assert "is not empty" in biasloop("run", "run.yaml", "--out", "out", cwd=folder, code=2)
    assert [path.name for path in (folder / "out").iterdir()] == ["mine.txt"]


def test_schema_and_examples_can_be_used(project, biasloop):
    folder = project()
    schema = json.loads(biasloop("config", "--schema", cwd=folder))
    assert "corpus" in schema["properties"]
    (folder / "demo.yaml").write_text(biasloop("config", "--example", "demo", cwd=folder))
    from biasloop.config import load_config

    assert load_config(folder / "demo.yaml") == load_config("demo")


def test_a_closed_form_simulation_as_json(project, biasloop):
    shown = biasloop("simulate", "wmle", "--samples", "inf", "--json", cwd=project())
    for row in json.loads(shown)["generations"]:
        g = row["generation"]
        assert row["a"] == pytest.approx(1 + 3 * 2**g, rel=1e-9)
        assert row["b"] == pytest.approx(1 + 2 * 2**g, rel=1e-9)


def test_score_prints_means_and_writes_tables(project, biasloop):
    folder = project(metrics={"names": ["diversity", "quality"]})
    (folder / "mine.csv").write_text("body\n" + "Our own words stand here in a row. " * 6 + "\n")
    out = biasloop(
        "score", "mine.csv", "--metric", "diversity,quality", "--config", "run.yaml",
        "--out", "scored", cwd=folder,
    )  # fmt: skip
    assert "distinct_2" in out
    assert "quality" in out
    assert {path.name for path in (folder / "scored").iterdir()} == {
        "scores.parquet",
        "leaning_scores.parquet",
        "set_scores.parquet",
    }
    message = biasloop("score", "mine.csv", "--metric", "diversity", cwd=folder, code=2)
    assert "--run RUN" in message
    assert "--config CONFIG" in message


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_how_to_go_on_and_leaves_nothing_half_written(project, sent):
    scratch = {"model": "scratch", "scratch": {"pretraining": {"steps": 100_000}}}
    folder = project(base=scratch)
    run = subprocess.Popen(
        [sys.executable, "-c", "from biasloop.cli import main; main()", "run", "run.yaml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    assert run.stdout is not None
    while not run.stdout.readline().startswith("[1/"):
        assert run.poll() is None
    run.send_signal(sent)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert errors.strip().splitlines()[-1] == (
        "biasloop: stopped; the same command goes on from here"
    )
    assert "Traceback" not in errors
    stages = [path for path in folder.glob("runs/*/stages/*") if path.is_dir()]
    assert stages
    assert all((stage / "stage.json").is_file() for stage in stages)


def test_a_traceback_is_shown_where_it_is_asked_for(monkeypatch, tmp_path, command):
    def wrong(*_, **__):
        raise FileNotFoundError(2, "No such file or directory", "inner/table.parquet")

    monkeypatch.setattr("biasloop.api.load_run", wrong)
    code, _, plain = command("report", str(tmp_path))
    assert code == 3
    assert plain == "biasloop: inner/table.parquet: No such file or directory\n"
    code, _, shown = command("--traceback", "report", str(tmp_path))
    assert code == 3
    assert "Traceback" in shown
    assert "in wrong" in shown
    assert shown.endswith(plain)


def test_the_version_is_printed(command):
    from biasloop import __version__

    code, shown, _ = command("--version")
    assert (code, shown) == (0, f"biasloop {__version__}\n")


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "biasloop", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("biasloop ")


@pytest.mark.parametrize(
    "words",
    [
        ["neurons", "URL"],
        ["ablate", "URL"],
        ["export", "URL", "new"],
        ["power", "--change", "5", "--run", "URL"],
        ["score", "articles.csv", "--metric", "diversity", "--run", "URL"],
    ],
)
def test_a_url_reaches_what_opens_runs_as_it_is_given(monkeypatch, tmp_path, command, words):
    from biasloop.errors import InputError

    def opened(place):
        raise InputError(f"asked for {place}")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "articles.csv").write_text("body\nSome words.\n")
    monkeypatch.setattr("biasloop.api.load_run", opened)
    arguments = ["s3://bucket/runs/one" if word == "URL" else word for word in words]
    code, _, errors = command(*arguments)
    assert (code, errors) == (2, "biasloop: asked for s3://bucket/runs/one\n")
