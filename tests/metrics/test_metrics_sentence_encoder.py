"""Sentence embeddings of any encoder, held against its states pooled by hand."""

import json
import shutil

import numpy as np
import pytest
from tiny_models import WORDS, tiny_bert, words_tokenizer

from biasloop.config import LeaningConfig
from biasloop.errors import InputError
from biasloop.metrics import METRICS
from biasloop.metrics.base import CARD_FILE
from biasloop.metrics.sentence_encoder import POOLINGS, EmbeddingCandidate, pooling_of

LABELS = ("left", "center", "right")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """An untrained encoder without a pooler."""
    from safetensors.torch import load_file, save_file

    place = tiny_bert("BertModel", words_tokenizer(WORDS), tmp_path_factory.mktemp("encoder"))
    weights = load_file(place / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("pooler")}
    save_file(kept, place / "model.safetensors", {"format": "pt"})
    return place


def pooling(folder, to, **modes):
    shutil.copytree(folder, to)
    (to / "1_Pooling").mkdir()
    content = {"word_embedding_dimension": 24} | {
        f"pooling_mode_{m}": on for m, on in modes.items()
    }
    (to / "1_Pooling" / "config.json").write_text(json.dumps(content))
    return to


def encoder(folder, **settings):
    config = LeaningConfig(classifier=str(folder), kind="embedding", **settings)
    return EmbeddingCandidate("embedding", 10.0, config).load()


TEXTS = ["w1 aaaa w3", "bbbb " * 30, "", "w1 aaaa w3", "cccc [SEP] left", "w2 w4 " * 300]


def by_hand(folder, text, pool):
    """Pool each piece alone, so that nothing is padded."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    ids = tokenizer(text.replace("[SEP]", "[ SEP ]"), add_special_tokens=False)["input_ids"]
    total = np.zeros(1)
    for at in range(0, len(ids), 254):
        with torch.no_grad():
            states = model(torch.tensor([[2, *ids[at : at + 254], 3]])).last_hidden_state[0]
        vector = pool(states.double().numpy())
        total = total + vector / np.linalg.norm(vector)
    return total / np.linalg.norm(total)


HAND = {
    "cls_token": lambda states: states[0],
    "max_tokens": lambda states: states.max(axis=0),
    "mean_tokens": lambda states: states.mean(axis=0),
    "mean_sqrt_len_tokens": lambda states: states.sum(axis=0) / np.sqrt(len(states)),
    "weightedmean_tokens": lambda states: np.average(
        states, axis=0, weights=np.arange(1, len(states) + 1)
    ),
    "lasttoken": lambda states: states[-1],
}


@pytest.mark.parametrize("mode", POOLINGS)
def test_every_pooling_against_the_states_by_hand(folder, tmp_path, mode):
    place = pooling(folder, tmp_path / mode, **dict.fromkeys(POOLINGS, False) | {mode: True})
    found = encoder(place, batch_size=3).encode(TEXTS)
    for text, own in zip(TEXTS, found, strict=True):
        if text:
            np.testing.assert_allclose(own, by_hand(place, text, HAND[mode]), atol=1e-5)
        else:
            assert not own.any()


def test_the_mean_where_no_file_says_otherwise_and_several_joined(folder, tmp_path):
    assert pooling_of(folder) == ("mean_tokens",)
    plain = encoder(folder).encode(TEXTS)
    np.testing.assert_allclose(plain[1], by_hand(folder, TEXTS[1], HAND["mean_tokens"]), atol=1e-5)
    both = pooling(folder, tmp_path / "both", mean_tokens=True, cls_token=True)
    found = encoder(both).encode(TEXTS)
    joined = by_hand(
        folder, TEXTS[1], lambda s: np.concatenate([HAND["cls_token"](s), s.mean(axis=0)])
    )
    np.testing.assert_allclose(found[1], joined, atol=1e-5)
    assert encoder(both).encode([""]).shape == (1, 48)


def test_a_short_limit_makes_pieces_and_cuts_nothing(folder):
    text = "w1 w2 w3 w4 w5 w6 w7 w8"
    short = encoder(folder, max_tokens=8).encode([text, "w1 w2 w3 w4 w5 w6", "w7 w8"])
    total = short[1] + short[2]
    np.testing.assert_allclose(short[0], total / np.linalg.norm(total), atol=1e-6)


def test_it_is_fitted_measured_and_read_back(authors_folder, marked, make_context, tmp_path):
    """An encoder that knows the marks; its vectors tell the leanings of unseen sources."""
    leaning = {"classifier": str(authors_folder), "kind": "embedding", "damage_articles": 45}
    context = make_context(marked, labels=LABELS, leaning=leaning)
    one, two = tmp_path / "one", tmp_path / "two"
    for out in (one, two):
        out.mkdir()
        METRICS["leaning"].fit(context, out)
    files = sorted(path for path in one.rglob("*") if path.is_file())
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    assert all(path.read_bytes() == (two / path.relative_to(one)).read_bytes() for path in files)
    card = json.loads((one / CARD_FILE).read_text())
    assert card["held_out"]["articles"]["macro_f1"] > 0.95
    assert card["held_out"]["sources"]["macro_f1"] > 0.95
    assert card["damage"]["levels"][0]["readable"]
    assert card["trained_on"] == len(marked)
    assert "sentence embeddings of" in card["instrument"]
    assert any("pooled by mean_tokens" in note for note in card["notes"])
    first, again = (METRICS["leaning"].load(context, out).score(marked) for out in (one, two))
    assert first.leaning_scores.equals(again.leaning_scores)
    likeliest = first.leaning_scores["probability"].to_numpy().reshape(-1, 3).argmax(axis=1)
    assert (np.array(LABELS)[likeliest] == marked["label"].to_numpy()).mean() > 0.95


def test_what_is_no_encoder_is_refused(folder, tmp_path):
    import transformers
    from safetensors.torch import load_file, save_file

    with pytest.raises(InputError, match="no such model folder"):
        encoder(tmp_path / "absent")
    odd = pooling(folder, tmp_path / "odd", mean_tokens=False, magic=True)
    with pytest.raises(InputError, match=r"1_Pooling/config.json: .*not known, 'magic'"):
        encoder(odd)
    none = pooling(folder, tmp_path / "none", mean_tokens=False)
    with pytest.raises(InputError, match="names none"):
        encoder(none)
    (none / "1_Pooling" / "config.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        encoder(none)
    nan = tmp_path / "nan"
    shutil.copytree(folder, nan)
    weights = load_file(nan / "model.safetensors")
    weights["embeddings.LayerNorm.bias"][0] = float("nan")
    save_file(weights, nan / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="no finite numbers for 2 of 2 texts"):
        encoder(nan).encode(["w1", "w2"])
    both = tmp_path / "both"
    words_tokenizer(WORDS).save_pretrained(both)
    transformers.T5Model(
        transformers.T5Config(
            vocab_size=100, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, pad_token_id=0
        )
    ).save_pretrained(both)
    with pytest.raises(InputError, match="encoder only"):
        encoder(both)


def test_another_pooling_than_it_was_fitted_with_is_refused(folder, tmp_path):
    place = pooling(folder, tmp_path / "a", cls_token=True)
    config = LeaningConfig(classifier=str(place), kind="embedding")
    candidate = EmbeddingCandidate("embedding", 10.0, config)
    meta, arrays = candidate.load().save()
    assert candidate.restore(meta, arrays).pooling == ("cls_token",)
    shutil.rmtree(place / "1_Pooling")
    with pytest.raises(InputError, match="fitted with cls_token"):
        candidate.restore(meta, arrays)
