"""Further axes: scored by stages of their own, with data that are checked before anything runs."""

import json
from pathlib import Path

import polars as pl
import pytest
import yaml
from made_up import COMMON, WORDS

import biasloop as bl
from biasloop.config import load_config, parse_config
from biasloop.loop import make_plan
from biasloop.loop.generation_stages import read_part

pytestmark = pytest.mark.usefixtures("own_cache")

SETTINGS = {"candidates": ["word-tfidf"], "damage_articles": 20}


def axis(file, **more):
    return {"name": "place", "labels": ["north", "south"], "data": {"source": str(file)}} | more


def write_axis(path, labels=("north", "south"), each=12):
    """A file of text and label, whose labels are told apart by words that the corpus has, too."""
    rows = [
        {"body": " ".join([*own, *COMMON] * 2) + f" {i}.", "label": label}
        for label, own in zip(labels, WORDS.values(), strict=False)
        for i in range(each)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def axis_file(tmp_path):
    return write_axis(tmp_path / "places.jsonl")


def test_a_new_axis_reads_old_articles_and_reads_as_the_main_axis_would(
    bare, tmp_path, axis_file, command
):
    started = []
    one = {**bare, "loop": {**bare["loop"], "generations": 1}, "regimes": ["synthetic"]}
    one["report"] = {"bootstrap": 100, "outside_share": 1}
    first = bl.run(one, tmp_path / "run")
    corpus = next(first.folder.glob("stages/corpus-*"))
    read_part(corpus, "instrument").write_ndjson(tmp_path / "same.jsonl")
    columns = {name: name for name in ("article_id", "title", "source")}
    same = axis(tmp_path / "same.jsonl", name="same", labels=first.results.labels, **SETTINGS)
    same["data"]["columns"] = columns
    metrics = {**bare["metrics"], "axes": [axis(axis_file, **SETTINGS), same]}
    grown = bl.run(
        {**one, "metrics": metrics}, first.folder, listen=lambda e: started.append((e.event, e))
    )
    names = [event.name for kind, event in started if kind == "start"]
    sets = ["real articles", "base model", *(f"synthetic seed 0 generation {g}" for g in (0, 1))]
    assert sorted(names) == sorted(
        name
        for axis in ("place", "same")
        for name in (f"axis {axis}: instrument", *(f"{one}: score axis {axis}" for one in sets))
    )
    assert grown.scores.equals(first.scores)
    assert grown.articles.equals(first.articles)

    # An instrument made of the main one's articles is the main one.
    results = grown.results
    own = results.axes["same"]
    assert own.leaning_scores.equals(results.leaning_scores)
    assert own.cards == results.cards
    assert own.labels == results.labels
    assert results.axes["place"].labels == ("north", "south")
    assert results.axes["place"].leaning_scores["article_id"].n_unique() == results.real.height

    # Every command on the run goes on; the first screen has a row per axis.
    code, out, errors = command("report", grown.folder)
    assert code == 0, errors
    assert "Further axis" in out
    summary = json.loads((grown.folder / "summary.json").read_text())
    assert [row[0]["text"] for row in summary["answer"]["axes"]["rows"]] == ["place", "same"]
    ((main,), (other,)) = summary["verdicts"], summary["axes"]["same"]["verdicts"]
    of_text = {"signs", "collapsed", "quality"}
    assert {k: other[k] for k in other if k not in of_text} == {
        k: main[k] for k in main if k not in of_text
    }
    assert command("compare", grown.folder, grown.folder)[0] == 0

    # `score` takes an axis's instrument from the run.
    given = results.articles.filter(generation=1).drop("regime", "seed", "generation")
    scored = bl.score(given, ["leaning"], run=grown, axis="place")[1]
    kept = results.axes["place"].leaning_scores.filter(generation=1)
    assert scored.equals(kept.select(scored.columns))
    with pytest.raises(bl.InputError, match=r"no axis 'plaec'.*did you mean 'place'"):
        bl.score(given, ["leaning"], run=grown, axis="plaec")


def test_articles_of_the_loop_teach_no_axis(bare, tmp_path):
    """A corpus whose file has a second label is an axis's data, less what the loop reads."""
    lines = Path(bare["corpus"]["source"]).read_text().splitlines()
    rows = list(map(json.loads, lines))
    for place, row in enumerate(rows):
        row["place"] = ("north", "south")[place % 2]
    file = tmp_path / "both.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    own = axis(file, **SETTINGS)
    own["data"]["columns"] = {"label": "place"}
    config = {**bare, "corpus": {**bare["corpus"], "source": str(file)}, "regimes": ["synthetic"]}
    config |= {"loop": {"generations": 0}, "metrics": {**bare["metrics"], "axes": [own]}}
    run = bl.run(config, tmp_path / "run")
    corpus = next(run.folder.glob("stages/corpus-*"))
    card = run.results.axes["place"].cards[0]
    kept = read_part(corpus, "instrument").height
    assert card["trained_on"] == kept
    assert f"{80 - kept} articles of its data are articles of the loop: left out" in card["notes"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "metrics.axes.0.labels"),
        ({"labels": ["north"]}, "metrics.axes.0.labels: list should have at least 2 items"),
        ({"labels": ["north", "north"]}, "metrics.axes.0: labels: 'north' stands twice"),
        ({"data": None}, "metrics.axes.0: this classifier is trained here, so it needs labelled"),
        ({"data": {"source": "gone.csv"}}, "axis 'place': its data.*gone.csv: no such file"),
        ({"columns": {"label": "where"}}, "no column 'where'.*Its columns are: body, label"),
        ({"labels": ["north", "east"]}, "12 x unknown label 'south'"),
        ({"labels": ["north", "south", "east"]}, "axis 'place'.*too few articles of 'east'"),
        (
            {"mentions": ["Zoe"]},
            "too few: north \\(0\\), south \\(0\\) \\(24 articles.*none of the names",
        ),
        ({"mentions": [" "]}, "metrics.axes.0.mentions.0"),
        ({"mention": ["Zoe"]}, "unknown key 'metrics.axes.0.mention': did you mean 'mentions'"),
        ({"name": "a b"}, "metrics.axes.0.name"),
        ({"kind": "judge"}, "name a model in classifier beside it"),
    ],
)
def test_bad_axes_are_one_error_and_nothing_is_computed(
    bare, tmp_path, axis_file, biasloop, change, message
):
    own = axis(axis_file) | {key: value for key, value in change.items() if key != "columns"}
    if "columns" in change:
        own["data"] = {**own["data"], "columns": change["columns"]}
    own = {key: value for key, value in own.items() if value is not None}
    config = {**bare, "metrics": {**bare["metrics"], "axes": [own]}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    errors = biasloop("run", "c.yaml", "--out", "run", cwd=tmp_path, code=2)
    assert pl.Series([errors.replace("\n", " ")]).str.contains(message).all(), errors
    assert not (tmp_path / "run").exists()


def test_two_axes_of_one_name_are_refused(bare, axis_file):
    metrics = {"axes": [axis(axis_file), axis(axis_file)]}
    with pytest.raises(bl.InputError, match=r"metrics\.axes: two axes are called 'place'"):
        parse_config({**bare, "metrics": metrics})


def test_axes_change_no_other_key_and_follow_content_not_place(bare, tmp_path, axis_file):
    def keys(config):
        return set(make_plan(config).stages)

    without = keys(parse_config(bare))
    (tmp_path / "other").mkdir()
    axis_file.rename(tmp_path / "other" / axis_file.name)
    own = axis(f"other/{axis_file.name}")
    config = {**bare, "metrics": {**bare["metrics"], "axes": [own]}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    here = keys(load_config(tmp_path / "c.yaml"))
    assert without < here
    own |= {"name": "region"}  # what it is called computes nothing
    (tmp_path / "other" / "c.yaml").write_text(yaml.safe_dump(config))
    moved = [f"metrics.axes.0.data.source={tmp_path / 'other' / axis_file.name}"]
    assert keys(load_config(tmp_path / "other" / "c.yaml", moved)) == here
    write_axis(tmp_path / "other" / axis_file.name, each=13)
    assert without == keys(load_config(tmp_path / "c.yaml")) & here
