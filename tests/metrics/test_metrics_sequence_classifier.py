"""A classifier of transformers: batches, cuts, label maps, and folders that cannot be read."""

import json

import numpy as np
import polars as pl
import pytest

from biasloop.config import LeaningConfig
from biasloop.errors import InputError
from biasloop.metrics import METRICS
from biasloop.metrics.base import CARD_FILE
from biasloop.metrics.pretrained import assign_labels, load_classifier
from biasloop.metrics.zero_shot import load_entailment

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
    with pytest.raises(InputError, match="no such model folder"):
        load_classifier(str(tmp_path / "absent"), ("left", "right"), {}, "leaning")


def test_an_id_that_is_not_within_reach(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
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
    card = json.loads((tmp_path / CARD_FILE).read_text())
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
    card = json.loads((out / CARD_FILE).read_text())
    assert card["labels"] == ["noise", "word salad", "mild gibberish", "clean"]
    assert card["held_out"]["articles"]["n"] == 600
    scored = METRICS["quality"].load(context, out).score(hostile)
    assert scored.scores["value"].is_between(0, 3).all()
    assert scored.scores["value"][0] == 0.0


def test_a_detector_without_the_four_grades(corpus, classifier_folder, make_context, tmp_path):
    context = make_context(corpus, quality={"classifier": str(classifier_folder)})
    with pytest.raises(InputError, match="LEFT, CENTER, RIGHT"):
        METRICS["quality"].fit(context, tmp_path)


def test_numbers_that_are_not_finite_are_refused_when_the_instrument_is_fitted(
    corpus, classifier_folder, make_context, tmp_path
):
    import shutil

    from safetensors.torch import load_file, save_file

    for name, value in {n: float(n) for n in ("nan", "inf", "-inf")}.items():
        copy, out = tmp_path / name, tmp_path / f"{name}-out"
        shutil.copytree(classifier_folder, copy)
        out.mkdir()
        weights = load_file(copy / "model.safetensors")
        weights["classifier.bias"][1] = value
        save_file(weights, copy / "model.safetensors", {"format": "pt"})
        context = make_context(corpus, leaning={"classifier": str(copy), "label_map": MAP})
        with pytest.raises(InputError, match=r"no finite numbers for .* texts.*float32"):
            METRICS["leaning"].fit(context, out)


def decoder(folder, kind, pad=None, side="right"):
    """An untrained GPT-2 or Llama classifier, whose config names no padding token."""
    import torch
    import transformers

    from biasloop.models.load import train_tokenizer

    tokenizer = train_tokenizer(["left and right and center"], 300)
    tokenizer.pad_token = pad
    tokenizer.padding_side = side
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    labels = {"id2label": {0: "left", 1: "right"}, "label2id": {"left": 0, "right": 1}}
    shape = {"vocab_size": len(tokenizer), "pad_token_id": None, "initializer_range": 0.5, **labels}
    if kind == "GPT2":
        config = transformers.GPT2Config(
            n_embd=16, n_layer=1, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0, **shape
        )
    else:
        config = transformers.LlamaConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=64, **shape,
        )  # fmt: skip
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    model.save_pretrained(folder)
    return model.eval(), tokenizer


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pad", [None, "<|endoftext|>"])
@pytest.mark.parametrize("kind", ["GPT2", "Llama"])
def test_a_decoder_whose_config_names_no_padding_token(tmp_path, kind, pad, side):
    import torch

    model, tokenizer = decoder(tmp_path, kind, pad, side)
    assert "pad_token_id" not in json.loads((tmp_path / "config.json").read_text()) or (
        json.loads((tmp_path / "config.json").read_text())["pad_token_id"] is None
    )
    classifier = load_classifier(str(tmp_path), ("left", "right"), {}, "leaning")
    texts = ["left", "right and center and left", "one more", "and"]
    found = classifier.probabilities([*texts, ""], 8)
    for text, own in zip(texts, found, strict=False):
        ids = torch.tensor([tokenizer(text)["input_ids"]])  # alone, so that nothing is padded
        with torch.inference_mode():
            last = model.score(model.base_model(ids).last_hidden_state)[0, -1]
        np.testing.assert_allclose(own, last.softmax(-1).numpy(), atol=1e-5)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("kind", ["Camembert", "XLMRoberta", "MPNet", "Bert", "Electra"])
def test_a_text_is_cut_at_the_positions_that_there_are(classifier_folder, tmp_path, kind):
    import shutil

    import transformers

    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(classifier_folder / file, tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings["model_max_length"] = 10**30
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=57, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=34, pad_token_id=1, embedding_size=16,
        id2label={0: "left", 1: "right"}, label2id={"left": 0, "right": 1},
    )  # fmt: skip
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    model.save_pretrained(tmp_path)
    classifier = load_classifier(str(tmp_path), ("left", "right"), {}, "leaning")
    read = []
    classifier.model.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    found = classifier.probabilities(["word " * 100, "a"], 1, max_tokens=600)
    assert np.isfinite(found).all()
    assert max(read) == (34 if kind in ("Bert", "Electra") else 32)


def test_an_adapter_and_a_tokenizer_with_more_tokens_than_the_model(classifier_folder, tmp_path):
    import shutil

    from transformers import AutoTokenizer

    shutil.copytree(classifier_folder, tmp_path / "more")
    tokenizer = AutoTokenizer.from_pretrained(classifier_folder)
    tokenizer.add_tokens(["extra"])
    tokenizer.save_pretrained(tmp_path / "more")
    with pytest.raises(InputError, match=r"number 57 \('extra'\), but the model knows 57 tokens"):
        load_classifier(str(tmp_path / "more"), ("left", "right"), MAP, "leaning")
    (tmp_path / "more" / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="holds a PEFT adapter of the type 'None'"):
        load_classifier(str(tmp_path / "more"), ("left", "right"), MAP, "leaning")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"id2label": {"1": "left", "2": "right", "3": "x"}}, "numbers the labels 1, 2, 3"),
        ({"id2label": {"0": 0, "1": 1, "2": 2}}, r"the labels of the classifier .* \(0, 1, 2\)"),
        ({"id2label": {"0": "left"}}, r"no weights for classifier\.bias.* of shape \[1\]"),
        ({"problem_type": "regression"}, "its outputs are amounts"),
    ],
)
def test_a_config_that_does_not_say_what_the_outputs_are(
    classifier_folder, tmp_path, settings, words
):
    import shutil

    shutil.copytree(classifier_folder, tmp_path, dirs_exist_ok=True)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | settings))
    with pytest.raises(InputError, match=words):
        load_classifier(str(tmp_path), ("left", "right"), MAP, "leaning")
    if "id2label" not in settings or len(settings["id2label"]) == 3:
        asked = LeaningConfig(classifier=str(tmp_path), kind="entailment")
        with pytest.raises(InputError, match=r"numbers the|amounts|means entailment"):
            load_entailment(asked, ("left", "right"))


def of_kind(classifier_folder, folder, kind, length=64, **config):
    import shutil

    import torch
    import transformers

    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(classifier_folder / file, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["model_max_length"] = length
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    torch.manual_seed(0)
    shape = {
        "vocab_size": 57, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 32, "initializer_range": 0.5, "pad_token_id": 1,
        "id2label": {0: "left", 1: "right"}, "label2id": {"left": 0, "right": 1},
    }  # fmt: skip
    made = getattr(transformers, f"{kind}Config")(**(shape | config))
    getattr(transformers, f"{kind}ForSequenceClassification")(made).save_pretrained(folder)
    return load_classifier(str(folder), ("left", "right"), {}, "leaning")


@pytest.mark.parametrize("kind", ["FNet", "XLNet", "ConvBert"])
def test_a_model_that_takes_padding_in_reads_a_text_as_alone(classifier_folder, tmp_path, kind):
    own = {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32} if kind == "XLNet" else {}
    classifier = of_kind(classifier_folder, tmp_path, kind, embedding_size=16, **own)
    texts = ["left", "a text of some more words than the others", "two words", "a", ""]
    alone = np.concatenate([classifier.probabilities([text], 1) for text in texts])
    np.testing.assert_allclose(classifier.probabilities(texts, 8), alone, atol=1e-5)
    assert np.ptp(alone[:, 0]) > 1e-4 or kind == "XLNet"


def test_a_model_that_fails_and_one_that_reads_next_to_nothing(classifier_folder, tmp_path):
    classifier = of_kind(classifier_folder, tmp_path, "Nystromformer", segment_means_seq_len=64,
                         num_landmarks=4)  # fmt: skip
    with pytest.raises(InputError, match=r"cannot read a text \(RuntimeError: shape .*max_tokens"):
        classifier.probabilities(["a text"], 1)
    with pytest.raises(InputError, match=r"room for 2 tokens .* is model_max_length right"):
        of_kind(classifier_folder, tmp_path, "Bert", length=4)
    assert of_kind(classifier_folder, tmp_path, "Bert", length=-1).room() == 512
