"""Zero-shot by entailment, held against the model's logits read by hand, one pair at a time."""

import json
import shutil

import numpy as np
import pytest
from tiny_models import WORDS, tiny_bert, words_tokenizer

from biasloop.config import LeaningConfig, parse_config
from biasloop.errors import InputError
from biasloop.metrics import METRICS, zero_shot
from biasloop.metrics.base import CARD_FILE
from biasloop.metrics.damage import read_by_all
from biasloop.metrics.evaluation import evaluate

LABELS = ("left", "center", "right")
HYPOTHESIS = "This text is {label} ."
NLI = ("CONTRADICTION", "Entailment", "NEUTRAL")


def load_entailment(folder, labels, label_names, hypothesis):
    settings = LeaningConfig(
        classifier=folder, kind="entailment", label_names=label_names, hypothesis=hypothesis
    )
    return zero_shot.load_entailment(settings, labels)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """An untrained model of inference."""
    return tiny_bert(
        "BertForSequenceClassification",
        words_tokenizer(WORDS),
        tmp_path_factory.mktemp("nli"),
        labels=NLI,
    )


def changed(folder, to, **config):
    shutil.copytree(folder, to)
    settings = json.loads((to / "config.json").read_text()) | config
    (to / "config.json").write_text(json.dumps(settings))
    return str(to)


TEXTS = ["w1 aaaa w3", "", "bbbb " * 30, "w1 aaaa w3", "cccc [SEP] left", "w2 " * 600]


def test_entailment_against_the_logits_by_hand(folder):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    classifier = load_entailment(str(folder), LABELS, {}, HYPOTHESIS)
    found = classifier.probabilities(TEXTS, 4)
    for text, own in zip(TEXTS, found, strict=True):
        chances = []
        for label in LABELS:
            plain = text.replace("[SEP]", "[ SEP ]")
            pair = tokenizer(
                plain, f"This text is {label} .", truncation="only_first", max_length=256,
                return_tensors="pt",
            )  # fmt: skip
            assert pair["token_type_ids"].max() == 1
            with torch.no_grad():
                chances.append(float(model(**pair).logits.softmax(-1)[0, 1]))
        np.testing.assert_allclose(own, np.array(chances) / sum(chances), atol=1e-5)
    np.testing.assert_allclose(classifier.probabilities(TEXTS, 1), found, atol=1e-6)
    assert classifier.probabilities([], 4).shape == (0, 3)


def test_a_long_text_is_cut_and_counted_and_the_hypothesis_stays(folder):
    classifier = load_entailment(str(folder), LABELS, {}, HYPOTHESIS)
    assert classifier.room() == 256 - 3 - 5
    assert classifier.room(20) == 20
    texts = ["w1 " * 20, "w1 " * 21, "w1 " * 5000]
    assert classifier.cut(texts, 20) == 2
    classifier.probabilities(["w1"], 1)  # which tries whether padding changes anything
    read = []
    classifier.model.register_forward_pre_hook(
        lambda module, args, kwargs: read.extend(kwargs["input_ids"].tolist()), with_kwargs=True
    )
    found = classifier.probabilities(texts, 8, 20)
    np.testing.assert_allclose(found[1:], found[[0, 0]], atol=1e-6)
    end = classifier.tokenizer.convert_tokens_to_ids([".", "[SEP]"])
    assert all(ids[26:28] == end for ids in read)


def test_sigmoids_where_each_label_has_its_own_probability(folder, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    name = changed(folder, tmp_path / "multi", problem_type="multi_label_classification")
    found = load_entailment(name, LABELS, {}, HYPOTHESIS).probabilities(["w1 aaaa"], 4)[0]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    pairs = tokenizer(["w1 aaaa"] * 3, [f"This text is {x} ." for x in LABELS], return_tensors="pt")
    with torch.no_grad():
        each = model(**pairs).logits[:, 1].sigmoid().numpy()
    np.testing.assert_allclose(found, each / each.sum(), atol=1e-5)


def test_it_is_measured_as_other_instruments_are(folder, marked, make_context, tmp_path):
    leaning = {
        "classifier": str(folder),
        "kind": "entailment",
        "hypothesis": HYPOTHESIS,
        "damage_articles": 20,
    }
    context = make_context(marked, labels=LABELS, leaning=leaning)
    METRICS["leaning"].fit(context, tmp_path)
    card = json.loads((tmp_path / CARD_FILE).read_text())
    classifier = load_entailment(str(folder), LABELS, {}, HYPOTHESIS)
    read = classifier.probabilities(read_by_all(marked["body"].to_list(), 500), 64, 500)
    truth = np.array([LABELS.index(label) for label in marked["label"]])
    assert card["held_out"]["articles"] == evaluate(LABELS, truth, read, marked["source"].to_list())
    counts = np.array([level["confusion"] for level in card["damage"]["levels"]])
    assert counts.sum(axis=(1, 2)).max() == len(marked)
    assert (counts.sum(axis=(1, 2)) > 0).sum() > 2
    assert any("This text is left . This text is center ." in note for note in card["notes"])
    scored = METRICS["leaning"].load(context, tmp_path).score(marked).leaning_scores
    np.testing.assert_allclose(scored["probability"].to_numpy().reshape(-1, 3), read, atol=1e-6)


def test_what_is_no_model_of_inference_is_refused(folder, authors_folder, tmp_path):
    with pytest.raises(InputError, match=r"none of its labels \(LABEL_0, .*kind: sequence"):
        load_entailment(str(authors_folder), LABELS, {}, HYPOTHESIS)
    outputs = {0: "not_entailment", 1: "other", 2: "x"}
    with pytest.raises(InputError, match="none of its labels"):
        load_entailment(changed(folder, tmp_path / "a", id2label=outputs), LABELS, {}, HYPOTHESIS)
    with pytest.raises(InputError, match="no such model folder"):
        load_entailment(str(tmp_path / "absent"), LABELS, {}, HYPOTHESIS)


@pytest.mark.parametrize(
    ("names", "hypothesis", "said"),
    [
        ({"left": "w1", "right": "w1"}, HYPOTHESIS, "have the same tokens"),
        ({"left": "unheard", "right": "unread"}, HYPOTHESIS, "of 'left' and 'right'"),
        ({"up": "w1"}, HYPOTHESIS, "'up' is none of the labels"),
        ({}, "w1 " * 240 + "{label}", "leaves room for 12 tokens"),
    ],
)
def test_hypotheses_that_cannot_be_told_apart_or_leave_no_room(folder, names, hypothesis, said):
    with pytest.raises(InputError, match=said):
        load_entailment(str(folder), LABELS, names, hypothesis)


def test_a_hypothesis_without_a_label_is_refused():
    leaning = {"classifier": "x/y", "kind": "entailment", "hypothesis": "This is it."}
    with pytest.raises(InputError, match=r"metrics.leaning.hypothesis: \{label\} is missing"):
        parse_config({"metrics": {"leaning": leaning}})


def test_numbers_that_are_not_finite_are_refused(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    name = changed(folder, tmp_path / "nan")
    weights = load_file(tmp_path / "nan" / "model.safetensors")
    weights["classifier.bias"][0] = float("nan")
    save_file(weights, tmp_path / "nan" / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="no finite numbers for 1 of 1 texts"):
        load_entailment(name, LABELS, {}, HYPOTHESIS).probabilities(["w1"], 2)
