"""Regimes that change models or read files, and what is kept of a choice, in one run."""

import json

import numpy as np
import polars as pl
import pytest

import biasloop as bl
from biasloop.analysis import selections
from biasloop.config import parse_config, with_doses
from biasloop.errors import InputError
from biasloop.loop import Store, contents_of, make_plan
from biasloop.models.load import load_model
from biasloop.neurons import ASSOCIATIONS
from biasloop.tables import write_table

UNITS = {0: [1, 3, 4]}


def associations(path, neurons=(1, 3, 4), metrics=("leaning:red",)):
    rows = [
        (0, neuron, "mlp_out", "weight_mean", metric, 0.5, 1.0, 0.1, 0.01 * place, 0.1)
        for metric in metrics
        for place, neuron in enumerate(neurons)
    ]
    write_table(path, pl.DataFrame(rows, schema=ASSOCIATIONS, orient="row"))
    return path


@pytest.fixture(scope="module")
def values(bare, tmp_path_factory):
    place = tmp_path_factory.mktemp("inputs")
    (place / "pairs.csv").write_text("river,school\nstone,health\n")
    edited = {"kind": "edited", "file": str(associations(place / "edit.parquet")), "top": 3}
    return bare | {
        "loop": bare["loop"] | {"generations": 1, "keep_models": "all"},
        "metrics": bare["metrics"] | {"names": ["leaning", "perplexity"]},
        "regimes": [
            "synthetic",
            edited,
            edited | {"name": "held", "intervention": "mean", "top": 2},
            {"kind": "counterfactual", "file": str(place / "pairs.csv"), "probability": 1},
            "detector",
            {"kind": "verified", "quality": None, "perplexity": [0, 1e9]},
            {"kind": "surprise", "drop": 0.3},
            {"kind": "anchored", "kl": 0, "interpolate": 0.25},
            {"kind": "anchored", "name": "to-base", "kl": 2, "to": "base"},
            {"kind": "synthetic", "name": "cool", "decoding": {"temperature": 0.4, "min_p": 0.1}},
        ],
    }


@pytest.fixture(scope="module")
def run(values, tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIASLOOP_CACHE", str(place / "cache"))
        yield bl.run(values, place / "run")


@pytest.fixture(scope="module")
def weights(values, run):
    plan, store = make_plan(parse_config(values)), Store(run.folder, run.folder.parent / "cache")

    def of(regime, generation):
        folder = store.path(plan.finetuned[regime, 0, generation]) / "model"
        return load_model(str(folder), precision="float32").model.state_dict()

    return of


def test_the_edited_model_is_the_trained_one_but_for_the_neurons(weights):
    trained, edited, first = weights("synthetic", 1), weights("edited", 1), weights("edited", 0)
    name = "transformer.h.0.mlp.c_proj.weight"
    rest = [unit for unit in range(trained[name].shape[1]) if unit not in UNITS[0]]
    for part, units in ((name, np.s_[:, UNITS[0]]), (name.replace("weight", "bias"), UNITS[0])):
        assert (edited[part][units] == first[part][units]).all()
        assert (trained[part][units] != first[part][units]).any()
    assert (edited[name][:, rest] == trained[name][:, rest]).all()
    for other in trained.keys() - {name, name.replace("weight", "bias")}:
        assert (edited[other] == trained[other]).all(), other
    held = weights("held", 1)
    assert (held[name][:, UNITS[0][:2]] == 0).all()
    assert (held[name][:, UNITS[0][2:]] == trained[name][:, UNITS[0][2:]]).all()


def test_an_anchored_model_lies_between_the_trained_one_and_its_anchor(weights):
    trained, mixed, first = weights("synthetic", 1), weights("anchored", 1), weights("anchored", 0)
    for name, value in mixed.items():
        expected = 0.75 * trained[name] + 0.25 * first[name]
        assert np.allclose(value, expected, atol=1e-6), name
    held = weights("to-base", 1)
    assert any((held[name] != trained[name]).any() for name in held)


def test_an_edit_is_another_model_by_its_file_and_generation_0_is_shared(values, tmp_path):
    config = parse_config(values)
    plan = make_plan(config)
    other = str(associations(tmp_path / "other.parquet", (2, 5, 6)))
    regimes = [config.regimes[0], config.regimes[1].model_copy(update={"file": other})]
    changed = make_plan(config.model_copy(update={"regimes": tuple(regimes)}))
    assert changed.finetuned["edited", 0, 1].key != plan.finetuned["edited", 0, 1].key
    assert plan.finetuned["edited", 0, 0].key == plan.finetuned["synthetic", 0, 0].key
    assert set(contents_of(config)["regimes"]) == {"edited", "held", "counterfactual"}
    assert "regimes" not in contents_of(config.model_copy(update={"regimes": config.regimes[:1]}))
    # Where the file lies is no part of it, and a finished run is read without it.
    moved = tmp_path / "moved.parquet"
    moved.write_bytes(b"not looked at")
    regimes[1] = regimes[1].model_copy(update={"file": str(moved)})
    again = make_plan(config.model_copy(update={"regimes": tuple(regimes)}), changed.contents)
    assert again.finetuned["edited", 0, 1].key == changed.finetuned["edited", 0, 1].key


@pytest.mark.parametrize(
    ("kind", "doses"),
    [
        ("edited", [0, 2, 3]),
        ("counterfactual", [0, 0.5, 1]),
        ("detector", [0, 0.5, 1]),
        ("reweighted", [0, 0.5, 1]),
        ("anchored", [0, 0.1, 1]),
    ],
)
def test_each_has_a_dose_of_which_0_is_synthetic(values, kind, doses):
    config = parse_config(values)
    plan = make_plan(with_doses(config, kind, doses))
    labels = [one.label for one in plan.config.regimes]
    assert labels == ["synthetic", *(f"{kind}-{dose:g}" for dose in doses[1:])]
    models = [{plan.finetuned[label, 0, g].key for label in labels} for g in (0, 1)]
    assert list(map(len, models)) == [1, 3]
    # What a Ray worker makes of the plan is the same plan.
    there = json.loads(json.dumps([plan.config.model_dump(mode="json"), dict(plan.contents)]))
    assert make_plan(parse_config(there[0]), there[1]).stages.keys() == plan.stages.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "nowhere.parquet"}, r"'edited': file nowhere\.parquet: there is no such file"),
        ({"top": 4}, "only 3 neurons have a p-value"),
        ({"metric": "quality"}, "no metric 'quality'"),
    ],
)
def test_neurons_that_are_not_there_are_refused_before_anything_runs(values, change, message):
    config = parse_config(values)
    wrong = config.regimes[1].model_copy(update=change)
    with pytest.raises(InputError, match=message):
        make_plan(config.model_copy(update={"regimes": (config.regimes[0], wrong)}))


def test_other_files_are_refused_too(values, tmp_path):
    config, path = parse_config(values), tmp_path / "file"
    edited, pairs = config.regimes[1], config.regimes[3]

    def refused(regime, message):
        one = regime.model_copy(update={"file": str(path)})
        with pytest.raises(InputError, match=message):
            make_plan(config.model_copy(update={"regimes": (one,)}))

    path.write_text("no table")
    refused(edited, "cannot be read")
    refused(pairs, "pair 1 has 1 words")
    associations(path, metrics=("leaning:red", "leaning:blue"))
    refused(edited, "name one of those .*leaning:blue, leaning:red")


def test_a_file_that_changes_after_the_plan_is_not_read(values, tmp_path):
    path = associations(tmp_path / "edit.parquet")
    config = parse_config(values | {"regimes": [{"kind": "edited", "file": str(path), "top": 2}]})
    stage = make_plan(config).finetuned["edited", 0, 1]
    associations(path, (2, 5, 6))
    for _ in range(2):
        with pytest.raises(InputError, match="is gone, or has changed since"):
            stage.run(tmp_path / "out", {}, lambda tokens: None, tmp_path)
        path.unlink(missing_ok=True)


def test_a_neuron_of_another_model_ends_the_run_and_what_is_finished_stays(
    values, run, tmp_path, monkeypatch
):
    monkeypatch.setenv("BIASLOOP_CACHE", str(run.folder.parent / "cache"))
    path = associations(tmp_path / "wide.parquet", (1, 3, 400))
    edited = {"kind": "edited", "file": str(path), "top": 3}
    with pytest.raises(InputError, match="has neuron 400 of layer 0"):
        bl.run(values | {"regimes": ["synthetic", edited]}, tmp_path / "run")
    bl.run(values | {"regimes": ["synthetic"]}, tmp_path / "run")


def test_what_a_regime_chose_is_kept_and_its_bias_is_that_of_brute_force(run):
    results = run.results
    assert set(results.chosen["regime"]) == {"detector", "verified", "surprise"}
    assert results.detectors.select("regime", "generation").rows() == [("detector", 0)]
    table = selections(results)
    surprise = results.chosen.filter(regime="surprise", generation=1)
    scores = results.scores.filter(regime="surprise", generation=0, metric="perplexity")
    dropped = int(0.3 * scores.height)
    kept = scores.sort("value", descending=True)["article_id"].head(scores.height - dropped)
    assert set(surprise["article_id"]) == set(kept)
    read = {}
    for row in results.leaning_scores.filter(regime="surprise", generation=0).iter_rows(named=True):
        if row["probability"] > read.get(row["article_id"], ("", 0))[1]:
            read[row["article_id"]] = (row["leaning"], row["probability"])
    for label in results.labels:
        (row,) = table.filter(regime="surprise", leaning=label).to_dicts()
        hits = {name: leaning == label for name, (leaning, _) in read.items()}
        assert row["of_all"] == pytest.approx(np.mean([*hits.values()]))
        assert row["of_taken"] == pytest.approx(np.mean([hits[name] for name in kept]))
        assert row["low"] <= row["value"] <= row["high"]
        assert row["taken"] == pytest.approx(1 - dropped / scores.height)
        (whole,) = table.filter(regime="verified", leaning=label).to_dicts()
        assert whole["value"] == whole["low"] == whole["high"] == 0
    page = run.report().read_text()
    assert page.count("what it takes of its own articles") == 3
    assert page.count("<b>Decoding of its own.</b> cool: its Generation 0") == 1
    machine = json.loads((run.folder / "summary.json").read_text())
    assert len(machine["selections"]) == table.height
    assert machine["detectors"][0]["auc"] == pytest.approx(results.detectors["auc"][0])


def test_a_cooler_model_of_the_same_weights_writes_less_variously(run):
    first = run.results.articles.filter(generation=0)
    bodies = {name: " ".join(first.filter(regime=name)["body"]) for name in ("synthetic", "cool")}
    assert bodies["synthetic"] != bodies["cool"]
    kinds = {name: len(set(text.split())) for name, text in bodies.items()}
    assert kinds["cool"] < kinds["synthetic"]


def test_swapped_words_are_what_the_next_generation_reads(run, values):
    counts = run.results.trained.filter(generation=1)
    assert set(counts["regime"]) >= {"counterfactual", "edited", "held"}
    assert (
        counts.filter(regime="edited")["tokens"][0]
        == counts.filter(regime="synthetic")["tokens"][0]
    )
