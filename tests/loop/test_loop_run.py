"""A whole run on made-up text: sharing, resuming, reproducing, refusing."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

import biasloop as bl
from biasloop.analysis import summarise
from biasloop.cli.main import app
from biasloop.config import parse_config
from biasloop.errors import InputError, StoreError
from biasloop.files import sha256_file
from biasloop.loop import Store, config_hash, contents_of, execute, make_plan, silent
from biasloop.loop.execute import missing_stages

pytestmark = pytest.mark.usefixtures("own_cache")


def tables(folder):
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in sorted(folder.rglob("*.parquet"))
    }


class Count:
    def __init__(self):
        self.finished = []

    def __call__(self, event):
        if event.event == "finish":
            self.finished.append(event.name)


@pytest.mark.accelerator
def test_run_shares_resumes_and_reproduces(tiny, tmp_path, monkeypatch):
    listen = Count()
    run = bl.run(tiny, tmp_path / "one", listen=listen)
    fine_tuned = [name for name in listen.finished if name.endswith("fine-tune")]
    # Two regimes, three generations: Generation 0 once.
    assert len(fine_tuned) == 5
    scores = run.scores
    sets = scores.select("regime", "seed", "generation").unique()
    assert set(sets.rows()) == {("real", 0, -1), ("base", 0, -1)} | {
        (regime, 0, g) for regime in ("synthetic", "preservation") for g in range(3)
    }
    for metric in ("quality", "perplexity", "distinct_2", "outside_domain", "holdout_perplexity"):
        assert metric in set(scores["metric"])
    zero = scores.filter(pl.col("generation") == 0).sort("article_id", "metric")
    shared = [
        zero.filter(pl.col("regime") == r).drop("regime") for r in ("synthetic", "preservation")
    ]
    assert shared[0].equals(shared[1])
    probabilities = run.leaning_scores.group_by("regime", "generation", "article_id").agg(
        pl.col("probability").sum()
    )
    assert probabilities["probability"].is_between(1 - 1e-9, 1 + 1e-9).all()
    assert run.articles.filter(pl.col("regime") == "synthetic").height == 12 * 3

    updates = run.results.updates
    assert updates.height == 2 * 3 * 2  # regimes, generations, leanings
    assert updates["direction"].unique().to_list() == ["gradient"]
    assert (updates["low"] < updates["high"]).all()
    assert (updates["norm"] > 0).all()
    neurons = run.results.neurons
    assert neurons.group_by("regime", "generation").len()["len"].n_unique() == 1
    assert set(neurons.select("regime", "generation").unique().rows()) == {("base", -1)} | {
        (regime, g) for regime in ("synthetic", "preservation") for g in range(3)
    }

    plan, store = make_plan(parse_config(tiny)), Store(tmp_path / "one", tmp_path)
    records = {key: store.path(stage) / "training.json" for key, stage in plan.finetuned.items()}
    # Of every model, its weights deleted or not.
    assert run.results.trained.rows() == [
        (*key, json.loads(path.read_text())["tokens"]) for key, path in records.items()
    ]

    again = Count()
    bl.run(tiny, tmp_path / "one", listen=again)
    assert again.finished == []

    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "another-cache"))
    bl.run(tiny, tmp_path / "two")
    assert tables(tmp_path / "one") == tables(tmp_path / "two")

    altered = tmp_path / "two" / records["synthetic", 0, 1].relative_to(tmp_path / "one")
    altered.write_text(altered.read_text().replace('"tokens": ', '"tokens": 1'))
    with pytest.raises(StoreError, match=r"training\.json"):
        bl.load_run(tmp_path / "two").report()

    changes = ["loop.seeds=[1]", "loop.generations=0", "metrics.names=[diversity]"]
    other = bl.run(tiny, tmp_path / "three", changes)
    zero = pl.col("regime") == "synthetic", pl.col("generation") == 0
    mine = other.articles.filter(*zero).drop("seed")
    assert mine.height
    assert not mine.equals(run.articles.filter(*zero).drop("seed"))


@pytest.mark.accelerator
def test_a_run_goes_on_where_it_stopped(bare, tmp_path):
    config = parse_config(bare)
    plan = make_plan(config)
    whole = Store(tmp_path / "whole", tmp_path / "cache")
    execute(plan, whole, silent)

    class StopError(Exception):
        pass

    def stop(event):
        if event.event == "start" and event.name == "preservation seed 0 generation 1: generate":
            raise StopError

    store = Store(tmp_path / "part", tmp_path / "cache")
    with pytest.raises(StopError):
        execute(plan, store, stop)
    rest = missing_stages(plan, store)
    assert 0 < len(rest) < len(missing_stages(plan, Store(tmp_path / "none", tmp_path / "cache")))
    done = next(stage for stage in plan.finetuned.values() if store.has(stage))
    left = store.scratch(done)  # killed between its end and the removal of its checkpoints
    left.mkdir(parents=True)
    execute(plan, store, silent, [])
    assert left.is_dir()  # what goes on later may need such a folder
    execute(plan, store, silent)
    assert not left.parent.exists()
    assert missing_stages(plan, store) == []
    assert tables(tmp_path / "whole") == tables(tmp_path / "part")


def test_weights_are_kept_as_the_config_says(bare, tmp_path):
    for policy, expected in (("all", 5), ("ends", 3), ("last", 2), ("none", 0)):
        folder = tmp_path / policy
        bl.run(bare, folder, [f"loop.keep_models={policy}", "generation.new_tokens=4"])
        assert len(list(folder.glob("stages/finetune-*/model/model.safetensors"))) == expected


def test_start_base_differs_from_start_previous(tiny):
    previous = make_plan(parse_config(tiny))
    base = make_plan(parse_config(tiny, ["loop.start=base"]))
    key = ("synthetic", 0, 2)
    assert base.finetuned[key].inputs["start"] is base.base
    assert previous.finetuned[key].inputs["start"] is previous.finetuned["synthetic", 0, 1]
    assert base.finetuned["synthetic", 0, 0].key == previous.finetuned["synthetic", 0, 0].key
    assert base.finetuned[key].key != previous.finetuned[key].key


def test_every_setting_that_matters_changes_the_key(tiny):
    plain = make_plan(parse_config(tiny)).scored["synthetic", 0, 1].key
    for change in (
        "seed=1",
        "training.epochs=2",
        "generation.top_p=0.5",
        "corpus.holdout_per_label=2",
        "base.scratch.pretraining.steps=9",
        "metrics.self_bleu_articles=3",
    ):
        assert make_plan(parse_config(tiny, [change])).scored["synthetic", 0, 1].key != plain
    assert (
        make_plan(parse_config(tiny, ["report.examples=1"])).scored["synthetic", 0, 1].key == plain
    )


def test_a_run_moves_with_its_inputs(bare, corpus_file, tmp_path):
    one = bl.run(bare, tmp_path / "one")
    moved = tmp_path / "elsewhere" / corpus_file.name
    moved.parent.mkdir()
    shutil.copy(corpus_file, moved)
    elsewhere = {**bare, "corpus": {**bare["corpus"], "source": str(moved)}}
    other = bl.run(elsewhere, tmp_path / "one")
    # With the times at which they ended.
    assert_frame_equal(other.results.stages, one.results.stages)
    contents = contents_of(parse_config(elsewhere))
    renamed = moved.with_suffix(".json")
    others = {**bare, "corpus": {**bare["corpus"], "source": str(renamed)}}
    assert config_hash(parse_config(others)) != config_hash(parse_config(bare))
    keys = make_plan(parse_config(others), contents).stages.keys()
    assert keys.isdisjoint(make_plan(parse_config(elsewhere), contents).stages.keys())


def test_a_run_grows_in_its_folder_and_computes_only_what_is_new(bare, tmp_path):
    small = ["regimes=[synthetic]", "loop.generations=1", "metrics.names=[leaning]"]
    folder = tmp_path / "grown"
    grown = []

    def grow(*more):
        grown.extend(more)
        listen = Count()
        bl.run(bare, folder, [*small, *grown], listen=listen)
        return Counter(stage_kind(name) for name in listen.finished), listen.finished

    first, _ = grow()
    assert first["fine-tune"] == first["generate"] - 1 == 2  # the base model writes, too

    assert not grow("name=another", "report.examples=1", "executor.cpus=1")[0]

    seed, names = grow("loop.seeds=[0,1]")
    assert seed == {"fine-tune": 2, "generate": 2, "score leaning": 2, "held out": 2, "join": 2}
    assert all("seed 1" in name for name in names)

    later, names = grow("loop.generations=2")
    assert later == dict.fromkeys(seed, 2)
    assert all("generation 2" in name for name in names)

    sets = 2 * 3 + 2  # chains times generations, the base model and the real articles
    again = {"score leaning": sets, "score diversity": sets, "join": sets}
    metrics, _ = grow(
        "metrics.names=[leaning,diversity]", "metrics.leaning.candidates=[character-tfidf]"
    )
    assert metrics == {"instrument": 2, **again}

    regime, names = grow("regimes=[synthetic,preservation]")
    per_set = {"score leaning": 4, "score diversity": 4, "held out": 4, "join": 4}
    assert regime == {"fine-tune": 4, "generate": 4, **per_set}
    assert all("preservation" in name for name in names)

    whole = bl.run(bare, tmp_path / "at-once", [*small, *grown])
    there = bl.load_run(folder)
    assert_frame_equal(there.scores, whole.scores)
    assert_frame_equal(there.articles, whole.articles)

    assert not grow("regimes=[synthetic]")[0]
    assert set(bl.load_run(folder).scores["regime"]) == {"synthetic", "base", "real"}

    def stages(run):
        return {path.name for path in (run / "stages").iterdir()}

    def clean(*options):
        said = CliRunner().invoke(app, ["clean", str(folder), *options])
        assert said.exit_code == 0, said.output

    before, needed = stages(folder), stages(tmp_path / "at-once")
    clean("--dry-run")
    assert stages(folder) == before > needed
    clean()
    assert stages(folder) < needed
    assert len(needed - stages(folder)) == sum(regime.values())


def stage_kind(name):
    what = name.split(": ")[-1]
    return {"score on held-out text": "held out", "join scores": "join"}.get(what, what)


def test_a_folder_of_another_experiment_is_refused_and_left_alone(bare, tmp_path):
    folder = tmp_path / "run"
    bl.run(bare, folder, ["loop.generations=0"])
    before = tables(folder)
    for change in ("training.epochs=2", "corpus.holdout_per_label=2", "loop.start=base", "seed=3"):
        with pytest.raises(InputError, match=f"another experiment.*{change.split('=')[0]}"):
            bl.run(bare, folder, ["loop.generations=0", change])
    assert tables(folder) == before


def test_a_folder_with_other_files_is_refused(tiny, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is not empty"):
        bl.run(tiny, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_score_takes_a_runs_instruments_or_fits_them(tiny, tmp_path):
    run = bl.run(tiny, tmp_path / "run", ["loop.generations=0"])
    articles = run.results.real
    _scores, leanings, sets = bl.score(articles, ["leaning", "diversity"], run=run)
    own = run.leaning_scores.filter(pl.col("regime") == "real")
    assert leanings["probability"].to_list() == own["probability"].to_list()
    assert set(sets["metric"]) == {"vocabulary"}
    fitted = bl.score(articles, ["leaning"], config=tiny)
    assert fitted[1].equals(leanings)
    with pytest.raises(InputError, match="needs instruments"):
        bl.score(articles, ["leaning"])
    with pytest.raises(InputError, match="leaning"):
        bl.score(articles, ["leening"], run=run)


def test_a_removed_cache_does_not_undo_a_finished_run(bare, tmp_path, own_cache):
    bl.run(bare, tmp_path / "run", ["loop.generations=0"])
    shutil.rmtree(own_cache)
    listen = Count()
    bl.run(bare, tmp_path / "run", ["loop.generations=0"], listen=listen)
    assert listen.finished == []


def test_greedy_text_is_held_against_models_of_each_leaning(tiny, tmp_path):
    changes = ["generation.decoding=greedy", "loop.generations=1", "regimes=[synthetic]"]
    run = bl.run(tiny, tmp_path / "run", [*changes, "metrics.names=[leaning]"])
    updates = run.results.updates
    assert updates["direction"].unique().to_list() == ["contrast"]
    assert updates.group_by("generation").len().sort("generation").rows() == [(0, 2), (1, 2)]
    # Two labels: what points towards one points away from the other.
    by_label = updates.sort("generation", "leaning").partition_by("leaning")
    assert by_label[0]["projection"].to_list() == pytest.approx(
        [-value for value in by_label[1]["projection"]]
    )
    with pytest.raises(InputError, match="a choice has no gradient"):
        parse_config(tiny, [*changes, "loop.bias_direction=gradient"])


def test_updates_are_measured_on_articles_that_no_model_is_trained_on(tiny, tmp_path):
    changes = ["loop.generations=1", "loop.keep_models=all", "neurons.sites=[]"]
    run = bl.run(tiny, tmp_path / "run", changes)
    plan = make_plan(parse_config(tiny, changes))
    store = Store(run.folder, tmp_path / "cache")
    trained_on = {stage.key for stage in plan.generated.values()}
    for key, stage in plan.updated.items():
        stream = stage.inputs["articles"]
        assert stream.key not in trained_on
        before = ("base", 0, -1) if key[2] == 0 else (key[0], key[1], key[2] - 1)
        assert stream.inputs["model"].key == plan.generated[before].inputs["model"].key
        blocks, scored = (
            pl.read_parquet(store.path(found) / "blocks.parquet")
            for found in (stream, plan.generated[before])
        )
        assert blocks["prompt"].equals(scored["prompt"])
        same = (blocks["continuation"] == scored["continuation"]).mean()
        assert same < 0.2
        leanings = pl.read_parquet(store.path(stage.inputs["scores"]) / "leaning_scores.parquet")
        assert leanings["article_id"].n_unique() == blocks["article_id"].n_unique()
        scores = pl.read_parquet(store.path(stage.inputs["scores"]) / "scores.parquet")
        assert "quality" not in scores["metric"].unique()
    # Regimes that share Generation 0 share its second stream; none is asked for by default.
    streams = {stage.inputs["articles"].key for stage in plan.updated.values()}
    assert len(streams) == 2
    assert parse_config({}).bias_direction == "none"


def test_no_direction_and_no_sites_leave_out_their_stages(tiny):
    plan = make_plan(parse_config(tiny, ["loop.bias_direction=none", "neurons.sites=[]"]))
    assert not plan.updated
    assert not plan.neurons
    assert {stage.kind for stage in plan.stages.values()}.isdisjoint({"update", "neurons"})


def test_articles_about_one_event_hang_together(bare, corpus_file, tmp_path):
    """As articles of one source do, where the events are the sources."""
    rows = [json.loads(line) for line in corpus_file.read_text().splitlines()]
    told = tmp_path / "told.jsonl"
    told.write_text(
        "\n".join(json.dumps(row | {"story": f"story {i % 4}"}) for i, row in enumerate(rows))
    )
    stories = {row["id"]: f"story {i % 4}" for i, row in enumerate(rows)}
    openings = {"prompts": "openings", "opening_tokens": 9, "new_tokens": 8}
    several = {"generation": {**openings, "samples_per_prompt": 2, "decoding": "nucleus"}}
    changes = [f"corpus.source={told}", "loop.generations=0", "regimes=[synthetic]"]
    with pytest.raises(InputError, match=r"name its column in corpus\.columns\.event"):
        parse_config(bare, ["report.cluster=event"])
    events = [*changes, "corpus.columns.event=story", "report.cluster=event"]
    run = bl.run(bare | several, tmp_path / "run", events)
    assert run.results.events == stories
    own = bl.load_run(tmp_path / "run").summary()
    as_sources = replace(
        run.results,
        config=parse_config(bare | several, [*events[:-1], "report.cluster=source"]),
        **{
            name: getattr(run.results, name).with_columns(
                pl.col("article_id")
                .str.replace(r"#\d+$", "")
                .replace_strict(stories)
                .alias("source")
            )
            for name in ("real", "holdout", "articles")
        },
    )
    assert own.equals(summarise(as_sources, 100, run.config.seed))
    apart = replace(
        as_sources, config=parse_config(bare | several, [*changes, "report.cluster=article"])
    )
    assert not own.equals(summarise(apart, 100, run.config.seed))
    assert "the events of the articles (4 of them)" in run.report().read_text("utf-8")
    # What reads no event is what it was before there were any.
    assert "event" not in parse_config(bare).model_dump()["corpus"]["columns"]


def test_a_finished_run_is_read_when_its_corpus_is_gone(bare, corpus_file, tmp_path):
    moved = tmp_path / "articles.jsonl"
    shutil.copy(corpus_file, moved)
    changes = [f"corpus.source={moved}", "loop.generations=0", "regimes=[synthetic]"]
    run = bl.run(bare, tmp_path / "run", changes)
    scores = run.scores
    moved.unlink()
    again = bl.load_run(tmp_path / "run")
    assert again.scores.equals(scores)
    assert again.report().is_file()
    with pytest.raises(InputError, match=r"articles\.jsonl"):
        bl.run(bare, tmp_path / "run", changes)
