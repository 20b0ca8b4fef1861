"""Regimes that choose articles by their scores, in a run."""

import json

import polars as pl
import pytest

import biasloop as bl
from biasloop.config import parse_config
from biasloop.errors import InputError
from biasloop.loop import Store, contents_of, make_plan
from biasloop.loop.generation_stages import with_readings
from biasloop.metrics.base import SCORED_LEANINGS
from biasloop.tables import write_table


@pytest.fixture(scope="module")
def values(bare):
    return bare | {
        "loop": bare["loop"] | {"generations": 1},
        "metrics": bare["metrics"] | {"names": ["leaning", "perplexity"]},
        "regimes": [
            "synthetic",
            {"kind": "surprise", "drop": 0.25},
            {"kind": "verified", "quality": None, "perplexity": [0, 1e9]},
            {"kind": "balanced", "name": "even"},
        ],
    }


def test_regimes_that_write_otherwise_share_what_is_trained_alike(values):
    cool = {"kind": "synthetic", "name": "cool", "decoding": {"temperature": 0.5, "min_p": 0.1}}
    alike = {"kind": "synthetic", "name": "alike", "decoding": {"temperature": 1.0}}
    config = parse_config(values | {"regimes": ["synthetic", cool, alike, "real"]})
    plan = make_plan(config)
    of = lambda stages, label, g: stages[label, 0, g].key  # noqa: E731
    # Generation 0 is one model, which writes two sets; settings that are equal are one chain.
    assert of(plan.finetuned, "cool", 0) == of(plan.finetuned, "synthetic", 0)
    assert of(plan.generated, "cool", 0) != of(plan.generated, "synthetic", 0)
    assert of(plan.scored, "cool", 0) != of(plan.scored, "synthetic", 0)
    assert of(plan.finetuned, "cool", 1) != of(plan.finetuned, "synthetic", 1)
    assert of(plan.generated, "alike", 1) == of(plan.generated, "synthetic", 1)
    # What never reads its own text is trained alike however it writes.
    other = config.regimes[3].model_copy(update={"decoding": config.regimes[1].decoding})
    changed = make_plan(config.model_copy(update={"regimes": (*config.regimes[:3], other)}))
    assert of(changed.finetuned, "real_only", 1) == of(plan.finetuned, "real_only", 1)
    assert of(changed.generated, "real_only", 1) != of(plan.generated, "real_only", 1)
    assert config.generation.min_p == 0
    settings = plan.generated["cool", 0, 0].settings["generation"]
    assert (settings["temperature"], settings["min_p"]) == (0.5, 0.1)
    assert "min_p" not in plan.generated["synthetic", 0, 0].settings["generation"]


def test_a_decoding_that_nothing_samples_by_is_refused(values):
    cool = {"kind": "synthetic", "decoding": {"temperature": 0.5}}
    greedy = values["generation"] | {"decoding": "greedy"}
    with pytest.raises(InputError, match=r"decoding of its own, which needs .*nucleus"):
        parse_config(values | {"regimes": [cool], "generation": greedy})
    with pytest.raises(InputError, match="decoding changes nothing"):
        parse_config(values | {"regimes": [cool | {"decoding": {}}]})
    with pytest.raises(InputError, match=r"regimes\.0\.decoding\.min_p"):
        parse_config(values | {"regimes": [cool | {"decoding": {"min_p": 1}}]})


def trained_on(folder, plan, key):
    store = Store(folder, folder.parent / "cache")
    return json.loads((store.path(plan.finetuned[key]) / "training.json").read_text())["articles"]


def test_a_run_chooses_by_the_scores_of_the_generation_before(values, tmp_path, own_cache):
    # This model writes what is read as one leaning only: there is nothing to balance.
    values = values | {"regimes": values["regimes"][:-1]}
    run = bl.run(values, tmp_path / "run")
    plan = make_plan(parse_config(values))
    written = run.articles.filter(regime="surprise", generation=0).height
    assert trained_on(run.folder, plan, ("surprise", 0, 1)) == written - int(0.25 * written)
    assert trained_on(run.folder, plan, ("verified", 0, 1)) == written
    rows = run.scores.filter(regime="surprise", generation=0, metric="perplexity")
    table = with_readings(run.articles.filter(regime="surprise", generation=0), ("perplexity",), {
        "scores-perplexity": Store(run.folder, own_cache).path(
            plan.scored["surprise", 0, 0].inputs["perplexity-0"]
        )
    }, "scores-")  # fmt: skip
    assert dict(table.select("article_id", "perplexity").rows()) == dict(
        rows.select("article_id", "value").rows()
    )
    # Cut into shards it is the same model: what it chooses by has the same key.
    cut = make_plan(parse_config(values, ["loop.shards=2"]))
    assert cut.finetuned["surprise", 0, 1].key == plan.finetuned["surprise", 0, 1].key
    again = bl.run(values, tmp_path / "cut", ["loop.shards=2"])
    scores = [r.scores.filter(pl.col("generation") == 1) for r in (run, again)]
    assert scores[0].equals(scores[1])


def test_the_likeliest_leaning_stands_beside_an_article_and_of_equals_the_first(tmp_path):
    chances = {"x": (0.2, 0.5, 0.3), "y": (0.4, 0.2, 0.4), "z": (0.1, 0.1, 0.8)}
    rows = [
        (name, label, chance)
        for name, own in chances.items()
        for label, chance in zip("cab", own, strict=True)
    ]
    write_table(
        tmp_path / "leaning_scores.parquet",
        pl.DataFrame(rows, schema=SCORED_LEANINGS, orient="row"),
    )
    articles = pl.DataFrame({"article_id": ["z", "none", "y", "x"]})
    table = with_readings(articles, ("leaning",), {"scores-leaning": tmp_path}, "scores-")
    assert table["article_id"].equals(articles["article_id"])
    assert table["leaning"].to_list() == ["b", None, "c", "a"]


def test_a_choice_of_none_ends_in_one_error_and_what_is_finished_stays(values, tmp_path, own_cache):
    none = {"kind": "verified", "quality": None, "perplexity": [0, 1e-6]}
    config = values | {"regimes": ["synthetic", none]}
    with pytest.raises(InputError, match=r"'verified': of the \d+ articles .* none is accepted"):
        bl.run(config, tmp_path / "run")
    plan, store = make_plan(parse_config(config)), Store(tmp_path / "run", own_cache)
    assert store.has(plan.scored["verified", 0, 0])
    assert not store.path(plan.finetuned["verified", 0, 1]).exists()
    bl.run(config | {"regimes": ["synthetic"]}, tmp_path / "run")


def test_a_regime_that_chooses_nothing_has_the_inputs_that_it_had(values):
    config = parse_config(values)
    plan = make_plan(config, contents_of(config))
    assert set(plan.finetuned["synthetic", 0, 1].inputs) == {"corpus", "start", "generation-0"}
    assert set(plan.finetuned["even", 0, 1].inputs) == {
        "corpus", "start", "generation-0", "scores-leaning", "real-leaning"
    }  # fmt: skip
