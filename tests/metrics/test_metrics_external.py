"""Leaning classifiers that came trained: what they are given, and labels mistaken for others."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import WORDS, tiny_bert, words_tokenizer

from biasloop.config import load_config
from biasloop.errors import InputError
from biasloop.metrics import METRICS
from biasloop.metrics.base import CARD_FILE
from biasloop.metrics.evaluation import exchanged
from biasloop.metrics.pretrained import load_classifier
from biasloop.tables import as_given

LABELS = ("left", "center", "right")


def fitted(context, folder):
    METRICS["leaning"].fit(context, folder)
    return METRICS["leaning"].load(context, folder), json.loads((folder / CARD_FILE).read_text())


def test_the_presets_read_the_authors_classifier_as_their_scripts_do(
    authors_folder, marked, make_context, tmp_path
):
    for name in ("paper-gpt2-webis", "paper-gpt2-center"):
        settings = load_config(name).metrics.leaning
        assert settings.classifier == "wu981526092/bias_classifier_roberta"
        assert as_given(settings.input, "T", "B\n{title}") == "title: T\nbody: B\n{title}"
    leaning = settings.model_dump() | {"classifier": str(authors_folder), "damage_articles": 20}
    metric, card = fitted(make_context(marked, labels=LABELS, leaning=leaning), tmp_path)
    assert card["held_out"]["articles"]["macro_f1"] > 0.95
    assert not any("wrong way round" in warning for warning in card["warnings"])
    assert any("given titles" in note for note in card["notes"])
    scores = metric.score(marked).leaning_scores
    likeliest = scores.group_by("article_id").agg(
        pl.col("leaning").sort_by("probability").last().alias("read")
    )
    both = marked.join(likeliest, on="article_id")
    assert (both["label"] == both["read"]).mean() > 0.95


def test_a_title_is_given_and_is_not_damaged(authors_folder, marked, make_context, tmp_path):
    """With the mark in the title alone, every damaged article is read right as well."""
    bodies = marked["body"].str.replace_all("aaaa|bbbb|cccc", "w0")
    marks = marked["body"].str.extract("(aaaa|bbbb|cccc)")
    moved = marked.with_columns(body=bodies, title=marks + " " + marks + " " + marks + " " + marks)
    leaning = {
        "classifier": str(authors_folder),
        "label_map": {"LABEL_0": "right", "LABEL_1": "left", "LABEL_2": "center"},
        "damage_articles": 60,
    }
    accuracies = {}
    for name, template in {"with": "{title} {title} {body}", "without": "{body}"}.items():
        (tmp_path / name).mkdir()
        context = make_context(moved, labels=LABELS, leaning=leaning | {"input": template})
        _, card = fitted(context, tmp_path / name)
        counts = sum(np.array(level["confusion"]) for level in card["damage"]["levels"])
        accuracies[name] = np.trace(counts) / counts.sum()
    assert accuracies["with"] > 0.9
    assert accuracies["without"] < 0.5


@pytest.mark.parametrize(
    ("label_map", "said"),
    [
        (
            {"LABEL_0": "left", "LABEL_1": "right", "LABEL_2": "center"},
            ["'left' is mostly 'right'", "'right' is mostly 'left'", "against chance"],
        ),
        (
            {"LABEL_0": "left", "LABEL_1": "center", "LABEL_2": "right"},
            ["far below chance (0.33)", "would be 1.00", "metrics.leaning.label_map"],
        ),
    ],
)
def test_an_inverted_map_is_noticed(
    label_map, said, authors_folder, marked, make_context, tmp_path
):
    leaning = {
        "classifier": str(authors_folder),
        "label_map": label_map,
        "damage_articles": 20,
    }
    _, card = fitted(make_context(marked, labels=LABELS, leaning=leaning), tmp_path)
    assert all(part in card["warnings"][0] for part in said)
    assert "wrong way round" in card["warnings"][0]


@given(st.permutations(range(4)), st.integers(0, 2**31))
def test_the_exchange_of_labels_is_found_and_noise_is_not(order, seed):
    random = np.random.default_rng(seed)
    sound = np.eye(4, dtype=int) * 30 + random.integers(0, 5, (4, 4))
    # The classifier calls label order[k] by the name k.
    found = exchanged(sound[:, order])
    assert (found is None) == (list(order) == list(range(4)))
    assert found is None or found == list(order)


def test_chance_and_a_single_answer_are_no_exchange():
    random = np.random.default_rng(0)
    noise = [
        np.array([random.multinomial(n, [1 / 3] * 3) for n in (40, 90, 25)]) for _ in range(500)
    ]
    assert sum(exchanged(counts) is not None for counts in noise) <= 2
    assert exchanged(np.array([[0, 0, 90], [0, 0, 40], [0, 0, 20]])) is None


def test_a_head_of_several_labels_gives_sigmoids_divided_by_their_sum(
    authors_folder, marked, make_context, tmp_path
):
    import shutil

    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder, out = tmp_path / "model", tmp_path / "out"
    out.mkdir()
    shutil.copytree(authors_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["problem_type"] = "multi_label_classification"
    (folder / "config.json").write_text(json.dumps(config))
    names = {"LABEL_0": "right", "LABEL_1": "left", "LABEL_2": "center"}
    classifier = load_classifier(str(folder), LABELS, names, "leaning")
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    text = marked["body"][0]
    with torch.no_grad():
        ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
        each = model(**ids).logits.sigmoid()[0].double().numpy()[[1, 2, 0]]
    found = classifier.probabilities([text, "w1"], 2)
    np.testing.assert_allclose(found[0], each / each.sum(), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    leaning = {"classifier": str(folder), "label_map": names, "damage_articles": 20}
    _, card = fitted(make_context(marked, labels=LABELS, leaning=leaning), out)
    assert any("multi-label" in note for note in card["notes"])


def test_texts_that_are_cut_are_counted(authors_folder, marked, make_context, tmp_path):
    leaning = {
        "classifier": str(authors_folder),
        "label_map": {"LABEL_0": "right", "LABEL_1": "left", "LABEL_2": "center"},
        "damage_articles": 20,
        "max_tokens": 41,
    }
    _, card = fitted(make_context(marked, labels=LABELS, leaning=leaning), tmp_path)
    assert any(note.startswith("90 of 90 articles have more tokens") for note in card["notes"])
    few = leaning | {"max_tokens": 42}
    (tmp_path / "few").mkdir()
    _, card = fitted(make_context(marked, labels=LABELS, leaning=few), tmp_path / "few")
    assert any(note.startswith("0 of 90 articles have more tokens") for note in card["notes"])


def test_a_model_that_was_trained_for_something_else_is_refused(tmp_path):
    tiny_bert("BertModel", words_tokenizer(WORDS), tmp_path)
    with pytest.raises(InputError, match=r"no weights for classifier.bias.*kind right"):
        load_classifier(str(tmp_path), ("LABEL_0", "LABEL_1"), {}, "leaning")
