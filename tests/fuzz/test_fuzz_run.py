"""Whole runs of hostile material: nothing is written but the run folder and the cache."""

import json
import sys
import tempfile
from html.parser import HTMLParser

import pytest
import yaml
from fuzzing.oracle import snapshot

from biasloop.cli import main

HOSTILE = (
    "../../x",
    "/tmp/biasloop-escaped",
    "..\\..\\x",
    "<script>pwned()</script>",
    "</script><script>pwned()</script>",
    "<img src=x onerror=pwned()>",
    '"><svg onload=pwned()>',
    "{{ 7 * 7 }}",
    "\x1b[2J red",
    "a\nb",
    "\u202etxt.exe",
    "$(touch /tmp/biasloop-escaped)",
)


def rows():
    labels = ("../../<script>pwned()</script>", "<img src=x onerror=pwned()>")
    for number in range(48):
        word = HOSTILE[number % len(HOSTILE)]
        yield {
            "id": f"{word} {number}" if number >= len(HOSTILE) else word,
            "title": f"{word} title",
            "body": f"{word} Some words stand here in row {number} and go on. " * 6,
            "label": labels[number % 2],
            "source": f"../{word}",
        }


def config(**changes):
    values = {
        "name": "hostile",
        "corpus": {"source": "articles.jsonl", "articles_per_label": 3, "holdout_per_label": 1},
        "base": {
            "model": "scratch",
            "scratch": {
                "layers": 1,
                "width": 16,
                "heads": 2,
                "vocabulary": 300,
                "context": 128,
                "pretraining": {"steps": 2, "batch_size": 2, "tokens": 32},
            },
        },
        "training": {"epochs": 1, "samples": "article"},
        "generation": {"block_tokens": 32, "new_tokens": 8, "decoding": "nucleus"},
        "loop": {"generations": 1},
        "regimes": [{"kind": "synthetic", "name": "a..b"}],
        "metrics": {"leaning": {"candidates": ["word-tfidf"]}, "self_bleu_articles": 4},
        "report": {"bootstrap": 100},
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            values[section] = {**values[section], name: value}
        else:
            values[section] = value
    return yaml.safe_dump(values)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project two folders deep, so that ``../../x`` would be seen in the snapshot."""
    folder = tmp_path / "home" / "user" / "project"
    folder.mkdir(parents=True)
    (folder / "articles.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BIASLOOP_CACHE", str(folder / "cache"))
    # The Trainer wants a folder for a while; it must leave none.
    (folder / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    yield folder
    assert list((folder / "tmp").glob("biasloop*")) == []


def biasloop(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["biasloop", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return stop.code or 0
    return 0


class Page(HTMLParser):
    """Everything in a page that would run."""

    def __init__(self):
        super().__init__()
        self.runs = []
        self.inside = False

    def handle_starttag(self, tag, attributes):
        self.inside = tag == "script"
        if self.inside:
            self.runs.append("")
        self.runs += [value for name, value in attributes if name.startswith("on")]
        self.runs += [value for _, value in attributes if (value or "").startswith("javascript:")]

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.runs[-1] += data


def test_a_run_of_hostile_articles_stays_in_its_folder_and_its_report_is_inert(
    judge, project, monkeypatch, capfd
):
    (project / "run.yaml").write_text(config())
    out = project / "runs" / "hostile"
    (project / "runs").mkdir()
    # What libraries do when they are first loaded is not the articles' doing.
    import matplotlib.pyplot  # noqa: F401

    assert biasloop(monkeypatch, "run", "run.yaml", "--dry-run", "--no-calibrate") == 0
    before = snapshot(project.parents[2])
    with judge.watch.allowing(out, project / "cache", project / "tmp", may_start=True) as seen:
        assert biasloop(monkeypatch, "run", "run.yaml", "--out", out) == 0
        assert biasloop(monkeypatch, "report", out) == 0
    assert seen == []
    own = (str(out), str(project / "cache"))
    after = {path: state for path, state in snapshot(project.parents[2]).items()
             if not path.startswith(own)}  # fmt: skip
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed <= {str(project), str(project / "runs"), str(project / "tmp")}
    page = Page()
    text = (out / "report.html").read_text(encoding="utf-8")
    page.feed(text)
    assert "pwned" in text  # what the articles say is shown,
    for script in page.runs:  # and in scripts is at most data: no tag ends there, none begins
        assert not script.strip().startswith("pwned")
        assert "<script>pwned" not in script
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../../x"},
        {"name": "/tmp/biasloop-escaped"},
        {"regimes": [{"kind": "synthetic", "name": "../../x"}]},
        {"regimes": ["../../x"]},
        {"regimes": [{"kind": "synthetic", "name": "a\nb"}]},
        {"base__model": "../../x"},
        {"base__model": "/etc/passwd"},
        {"base__model": "../.."},
        {"base__model": "a\u0000b"},
        {"corpus__source": "../../x.jsonl"},
        {"corpus__source": "/dev/zero"},
        {"corpus__source": "hub:../../x"},
        {"corpus__format": "../../x"},
        {"metrics__names": ["../../x"]},
        {"metrics__leaning": {"classifier": "../../x"}},
        {"metrics__leaning": {"candidates": ["../../x"]}},
        {"report__leaning": "../../x"},
        {"loop__generations": 10**9},
    ],
    ids=str,
)
def test_a_config_that_points_elsewhere_is_refused_and_writes_nothing_there(
    judge, project, monkeypatch, capsys, changes
):
    (project / "run.yaml").write_text(config(**changes))
    before = snapshot(project.parents[2])
    runs = project / "runs"
    with judge.watch.allowing(runs, project / "cache", project / "tmp", may_start=True) as seen:
        code = biasloop(monkeypatch, "run", "run.yaml")
    assert seen == []
    assert code in (2, 3)
    assert capsys.readouterr().err.startswith("biasloop: ")
    own = (str(runs), str(project / "cache"))
    after = snapshot(project.parents[2])
    changed = {path for path in before.keys() | after.keys()
               if before.get(path) != after.get(path) and not path.startswith(own)}  # fmt: skip
    assert changed <= {str(project), str(project / "tmp")}


def test_a_message_shows_controls_of_a_terminal_and_does_not_send_them(
    project, monkeypatch, capsys
):
    (project / "run.yaml").write_text('"\\x1b[2J\\u202e": 1')
    assert biasloop(monkeypatch, "run", "run.yaml") == 2
    assert "unknown key '\\u001b[2J\\u202e'" in capsys.readouterr().err


def test_the_page_reader_sees_what_would_run():
    page = Page()
    page.feed("<script>pwned()</script><img src=x onerror=pwned()><a href='javascript:x'>")
    assert page.runs == ["pwned()", "pwned()", "javascript:x"]
