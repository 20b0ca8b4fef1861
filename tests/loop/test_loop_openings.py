"""Runs that write from openings, several samples of each, and that train on real articles."""

import json
import re

import polars as pl
import pytest

import biasloop as bl
from biasloop.config import parse_config
from biasloop.errors import InputError
from biasloop.files import sha256_file
from biasloop.loop import Store, estimate, execute, gather, make_plan, measure_throughput, silent
from biasloop.loop.generation_stages import read_part
from biasloop.tables import BASE, REAL

pytestmark = pytest.mark.usefixtures("own_cache")

CONTENTS = {"corpus": "x", "base": None, "instruments": {}}
REGIMES = ["synthetic", "accumulation", "accumulate_subsample", "preservation"]


@pytest.fixture
def written(tiny):
    return tiny | {
        "corpus": tiny["corpus"] | {"fresh_sets": 1},
        "generation": {
            "prompts": "openings",
            "opening_tokens": 12,
            "new_tokens": 24,
            "samples_per_prompt": 2,
            "decoding": "nucleus",
        },
        "loop": {"generations": 1, "seeds": [0], "bias_direction": "auto"},
        "regimes": [*REGIMES, "real", {"kind": "real", "name": "fresh", "fresh": True}],
    }


def tables(folder):
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in sorted(folder.rglob("*.parquet"))
    }


def test_a_run_from_openings_has_every_sample_in_every_table(written, tmp_path):
    config = parse_config(written)
    cost = estimate(config, gather(config))
    run = bl.run(written, tmp_path / "run")
    real = run.results.real["article_id"].to_list()
    assert len(real) == 12
    samples = {f"{name}{mark}" for name in real for mark in ("", "#2")}
    labels = [regime.label for regime in config.regimes]
    assert labels == [*REGIMES, "real_only", "fresh"]
    sets = {(BASE, -1)} | {(label, g) for label in labels for g in (0, 1)}
    leanings = run.leaning_scores
    for table in (run.articles, leanings, run.scores.filter(pl.col("metric") == "quality")):
        own = table.filter(pl.col("regime") != REAL)
        ids = {key: set(part["article_id"]) for key, part in own.group_by("regime", "generation")}
        assert ids == dict.fromkeys(sets, samples)
    assert run.articles.height == len(sets) * len(samples)
    assert set(leanings.filter(pl.col("regime") == REAL)["article_id"]) == set(real)
    known = dict(run.results.real.select("article_id", "label").iter_rows())
    for article_id, label in run.articles.select("article_id", "label").iter_rows():
        assert known[article_id.removesuffix("#2")] == label

    plan, store = make_plan(config), Store(run.folder, tmp_path / "cache")
    logs = {
        key: json.loads((store.path(stage) / "training.json").read_text())
        for key, stage in plan.finetuned.items()
    }
    sizes = {key[0]: log["articles"] for key, log in logs.items() if key[2] == 1}
    assert sizes == {
        "synthetic": 24,
        "accumulation": 36,
        "accumulate_subsample": 12,
        "preservation": 25,
        "real_only": 12,
        "fresh": 12,
    }
    tokens = {plan.finetuned[key].key: log["tokens"] for key, log in logs.items()}
    assert sum(tokens.values()) == pytest.approx(cost.train_tokens["finetune"], rel=0.15)
    own = {stage.key for stage in plan.generated.values()}
    second = {stage.inputs["articles"].key for stage in plan.updated.values()}
    assert cost.generate_tokens == 24 * 24 * len(own | second)
    assert not own & second
    assert cost.prompt_tokens == 12 * 24 * len(own | second)

    updates = run.results.updates
    assert updates.height == len(labels) * 2 * 2
    assert (updates["low"] < updates["high"]).all()
    assert run.report().is_file()
    # Both kinds of real articles start from one Generation 0, and go apart from there.
    assert plan.finetuned["real_only", 0, 0].key == plan.finetuned["synthetic", 0, 0].key
    assert logs["real_only", 0, 1] != logs["fresh", 0, 1]
    corpus = store.path(plan.corpus)
    fresh = set(read_part(corpus, "fresh-1")["article_id"])
    others = ("real", "holdout", "instrument", "pretraining")
    assert len(fresh) == 12
    assert not fresh & {i for part in others for i in read_part(corpus, part)["article_id"]}


def test_it_goes_on_where_it_stopped_and_gives_the_same_bytes(written, tmp_path):
    plan = make_plan(parse_config(written, ["regimes=[synthetic]", "loop.shards=2"]))
    whole = Store(tmp_path / "whole", tmp_path / "cache")
    execute(plan, whole, silent)

    class StopError(Exception):
        pass

    def stop(event):
        if event.event == "start" and event.name == "synthetic seed 0 generation 1: generate 2/2":
            raise StopError

    store = Store(tmp_path / "part", tmp_path / "cache")
    with pytest.raises(StopError):
        execute(plan, store, stop)
    execute(plan, store, silent)
    assert tables(tmp_path / "part") == tables(tmp_path / "whole")
    joined = pl.read_parquet(whole.path(plan.generated["synthetic", 0, 1]) / "articles.parquet")
    assert joined.height == joined["article_id"].n_unique() == 24


def keys(config, *changes):
    plan = make_plan(parse_config(config, changes), CONTENTS)
    key = (config["regimes"][0], 0, 1)
    return plan.base.key, plan.generated[key].key


def test_settings_change_the_keys_of_their_own_protocol_only(tiny, written):
    plain, new = keys(tiny), keys(written)
    assert keys(tiny, "generation.prompts=blocks", "generation.max_article_tokens=null") == plain
    for change in ("opening_tokens=11", "samples_per_prompt=1", "new_tokens=25"):
        base, generated = keys(written, f"generation.{change}")
        assert base == new[0]
        assert generated != new[1]
    same = tiny | {"generation": {"decoding": "nucleus", "new_tokens": 24}}
    other = same | {"generation": same["generation"] | {"prompts": "openings"}}
    assert keys(same)[0] == keys(other)[0]
    assert keys(same)[1] != keys(other)[1]
    # Sets kept apart are not pre-trained on: the base model is another one.
    assert keys(tiny, "corpus.fresh_sets=1")[0] != plain[0]


@pytest.mark.parametrize("shards", [1, 5])
def test_articles_no_longer_than_the_opening_are_counted_over_the_whole_set(
    written, tmp_path, shards
):
    changes = [
        "generation.opening_tokens=190",
        "base.scratch.context=256",
        "regimes=[synthetic]",
        f"loop.shards={shards}",
    ]
    config = parse_config(written, changes)
    with pytest.raises(InputError) as told:
        estimate(config, gather(config))
    with pytest.raises(InputError) as met:
        bl.run(written, tmp_path / "run", changes)
    message = str(told.value)
    assert message in str(met.value)
    short = int(re.search(r"(\d+) of 12 articles are no longer than that", message)[1])
    assert 0 < short < 12


def test_a_dry_run_measures_speeds_from_openings(written, monkeypatch):
    monkeypatch.setattr("biasloop.loop.cost._SECONDS", 0.1)
    config = parse_config(written)
    assert measure_throughput(config, gather(config)).generate > 0


def test_too_few_articles_for_fresh_sets_says_how_many_there_are(written, tmp_path):
    changes = ["loop.generations=3", "corpus.fresh_sets=3"]
    # 20 of 40 a label go to the classifiers and 3 are held out: 17, where 4 x 6 are wanted.
    with pytest.raises(InputError, match=r"fresh_sets: 3.*27 per label[^$]*leave 17"):
        bl.run(written, tmp_path / "run", changes)


def test_a_run_recorded_with_a_fraction_for_every_regime_is_read(tiny, tmp_path):
    run = bl.run(tiny, tmp_path / "run", ["loop.generations=0"])
    expected = run.scores
    for name in ("run.json", "config.yaml"):
        path = tmp_path / "run" / name
        text = path.read_text()
        if name == "run.json":
            record = json.loads(text)
            for regime in record["config"]["regimes"]:
                regime.setdefault("fraction", 0.1)
            path.write_text(json.dumps(record))
        else:
            assert text.count("kind: synthetic\n") == 1
            path.write_text(text.replace("kind: synthetic\n", "kind: synthetic\n  fraction: 0.1\n"))
    assert bl.load_run(tmp_path / "run").scores.equals(expected)
    bl.run(tiny, tmp_path / "run", ["loop.generations=0"])
