"""A classifier of transformers: batches, cuts, label maps, and folders that cannot be read."""

import json

import numpy as np
import polars as pl
import pytest

from biasloop.errors import InputError
from biasloop.metrics import METRICS
from biasloop.metrics.card import FILE
from biasloop.metrics.sequence_classifier import assign_labels, load_classifier

MAP = {"LEFT": "left", "CENTER": "left", "RIGHT": "right"}


def test_batches_change_nothing(classifier_folder, hostile):
    classifier = load_classifier(str(classifier_folder), ("left", "right"), MAP, "leaning")
    texts = hostile["body"].to_list()
    single = classifier.probabilities(texts, 1)
    np.testing.assert_allclose(classifier.probabilities(texts, 7), single, atol=1e-6)
    np.testing.assert_allclose(single.sum(axis=1), 1.0)


def test_a_repeated_text_is_read_once(classifier_folder):
    classifier = load_classifier(str(classifier_folder), ("left", "right"), MAP, "leaning")
    texts = ["one more time", "", "and again", "one more time", "", "one more time"]
    alone = np.concatenate([classifier.probabilities([text], 1) for text in texts])
    read = []
    classifier.model.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    np.testing.assert_allclose(classifier.probabilities(texts, 2), alone, atol=1e-6)
    assert sum(read) == 3
    assert classifier.probabilities([], 2).shape == (0, 2)


def test_bfloat16_is_near_float32_and_is_not_it(classifier_folder, hostile):
    arguments = (str(classifier_folder), ("left", "right"), MAP, "leaning")
    texts = hostile["body"].to_list()
    exact = load_classifier(*arguments).probabilities(texts, 8)
    near = load_classifier(*arguments, precision="bfloat16").probabilities(texts, 8)
    np.testing.assert_allclose(near, exact, atol=0.05)
    np.testing.assert_allclose(near.sum(axis=1), 1.0)
    assert not np.array_equal(near, exact)


def test_against_transformers_by_hand(classifier_folder):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(classifier_folder)
    model = AutoModelForSequenceClassification.from_pretrained(classifier_folder).eval()
    text = "some words that are longer than the sixty four tokens " * 5
    ids = tokenizer(text, truncation=True, max_length=32, return_tensors="pt")
    with torch.no_grad():
        expected = model(**ids).logits.softmax(-1)[0].numpy()
    labels = ("RIGHT", "LEFT", "CENTER")
    classifier = load_classifier(str(classifier_folder), labels, {}, "leaning")
    found = classifier.probabilities([text], 4, max_tokens=32)[0]
    np.testing.assert_allclose(found, expected[[2, 0, 1]], atol=1e-6)
    # A longer text differs, so the cut is what made them equal.
    assert not np.allclose(classifier.probabilities([text], 4)[0], found, atol=1e-4)


def test_the_tokenizers_own_limit_holds(classifier_folder):
    classifier = load_classifier(str(classifier_folder), ("left", "right"), MAP, "leaning")
    assert np.isfinite(classifier.probabilities(["word " * 1000], 1, max_tokens=500)).all()


@pytest.mark.parametrize(
    ("label_map", "said"),
    [
        ({}, "its label 'LEFT' stands for 'LEFT', which is none of ours"),
        ({"LEFT": "left", "RIGHT": "right"}, "its label 'CENTER'"),
        ({"LEFT": "left", "CENTER": "left", "RIGHT": "left"}, "no label of it stands for 'right'"),
        (MAP | {"MIDDLE": "left"}, "label_map names 'MIDDLE'"),
    ],
)
def test_a_map_must_cover_both_sides(label_map, said):
    outputs = {0: "LEFT", 1: "CENTER", 2: "RIGHT"}
    with pytest.raises(InputError) as raised:
        assign_labels(outputs, ("left", "right"), label_map, "x/y", "metrics.leaning")
    assert said in str(raised.value)
    assert "LEFT, CENTER, RIGHT" in str(raised.value)


def test_folders_that_cannot_be_read(tmp_path):
    (tmp_path / "config.json").write_text("{not json")
    with pytest.raises(InputError, match="read as a local folder"):
        load_classifier(str(tmp_path), ("left", "right"), {}, "leaning")
    with pytest.raises(InputError, match="no such folder"):
        load_classifier(str(tmp_path / "absent"), ("left", "right"), {}, "leaning")


def test_an_id_that_is_not_within_reach(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="looked for on the hub"):
        load_classifier("nobody/no-such-classifier", ("left", "right"), {}, "leaning")


def test_pickled_weights_are_not_read(classifier_folder, tmp_path):
    import shutil

    import torch

    copy = tmp_path / "copy"
    shutil.copytree(classifier_folder, copy)
    (copy / "model.safetensors").unlink()
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(InputError, match="safetensors"):
        load_classifier(str(copy), ("left", "right"), MAP, "leaning")


def test_leaning_with_a_classifier_by_folder(
    corpus, hostile, classifier_folder, make_context, tmp_path
):
    context = make_context(corpus, leaning={"classifier": str(classifier_folder), "label_map": MAP})
    METRICS["leaning"].fit(context, tmp_path)
    card = json.loads((tmp_path / FILE).read_text())
    assert card["trained_on"] == 0
    assert card["held_out"]["sources"] is None
    assert card["held_out"]["articles"]["n"] == len(corpus)
    metric = METRICS["leaning"].load(context, tmp_path)
    articles = pl.concat([corpus, hostile])
    sums = metric.score(articles).leaning_scores.group_by("article_id").agg(pl.sum("probability"))
    assert len(sums) == len(articles)
    assert np.allclose(sums["probability"], 1.0)


def test_quality_with_a_detector_by_folder(
    corpus, hostile, classifier_maker, make_context, tmp_path
):
    detector, out = tmp_path / "detector", tmp_path / "out"
    detector.mkdir()
    out.mkdir()
    classifier_maker(detector, ("clean", "mild gibberish", "noise", "word salad"))
    context = make_context(corpus, quality={"classifier": str(detector)})
    METRICS["quality"].fit(context, out)
    card = json.loads((out / FILE).read_text())
    assert card["labels"] == ["noise", "word salad", "mild gibberish", "clean"]
    assert card["held_out"]["articles"]["n"] == 600
    scored = METRICS["quality"].load(context, out).score(hostile)
    assert scored.scores["value"].is_between(0, 3).all()
    assert scored.scores["value"][0] == 0.0


def test_a_detector_without_the_four_grades(corpus, classifier_folder, make_context, tmp_path):
    context = make_context(corpus, quality={"classifier": str(classifier_folder)})
    with pytest.raises(InputError, match="LEFT, CENTER, RIGHT"):
        METRICS["quality"].fit(context, tmp_path)
