"""Article embeddings, with a tiny encoder in the place of the asset."""

import shutil

import numpy as np
import pytest

from biasloop.errors import InputError
from biasloop.metrics import METRICS, sentence_encoder
from biasloop.metrics.classifier import CANDIDATES, fit_builtin, load_builtin
from biasloop.metrics.embedding import vendi


@pytest.fixture
def asset(classifier_folder, tmp_path, monkeypatch):
    folder = tmp_path / "minilm"
    shutil.copytree(classifier_folder, folder)
    monkeypatch.setattr(sentence_encoder, "asset_path", lambda name: {"minilm": folder}[name])
    return folder


def test_against_mean_pooling_by_hand(asset):
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(asset)
    model = AutoModel.from_pretrained(asset).eval()
    text = "a bc def " * 40
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    chunks = [ids[at : at + 62] for at in range(0, len(ids), 62)]  # the tiny encoder reads 64
    assert len(chunks) > 2
    vectors = []
    for chunk in chunks:
        with torch.no_grad():
            states = model(torch.tensor([[2, *chunk, 3]])).last_hidden_state[0]
        mean = states.mean(dim=0).double().numpy()
        vectors.append(mean / np.linalg.norm(mean))
    expected = np.mean(vectors, axis=0)
    expected /= np.linalg.norm(expected)
    found = CANDIDATES["minilm"].load().encode(["other", text, ""])
    np.testing.assert_allclose(found[1], expected, atol=1e-6)
    assert not found[2].any()


def test_as_a_candidate_it_is_fitted_and_read_back(asset, corpus, tmp_path):
    texts = corpus["body"].to_list()[:40]
    truth = np.arange(40) % 2
    fitted = fit_builtin(texts, truth, [""] * 40, 2, ["minilm"], 0)
    out = tmp_path / "out"
    fitted.classifier.save(out)
    expected = fitted.classifier.probabilities(texts)
    assert np.array_equal(load_builtin(out).probabilities(texts), expected)


def test_the_vendi_score_is_of_its_vectors(asset, corpus, make_context, tmp_path):
    context = make_context(corpus, embedding={"encoder": "minilm", "articles": 20})
    out = tmp_path / "out"
    out.mkdir()
    METRICS["embedding"].fit(context, out)
    scores = METRICS["embedding"].load(context, out).score(corpus[:20]).scores
    vectors = CANDIDATES["minilm"].load().encode(corpus["body"][:20].to_list())
    expected = vendi(vectors @ vectors.T)
    assert scores.filter(metric="vendi")["value"].mean() == pytest.approx(expected)


def test_another_encoder_is_refused(asset, tmp_path):
    meta, arrays = CANDIDATES["minilm"].load().save()
    weights = asset / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(InputError, match="not the sentence encoder"):
        CANDIDATES["minilm"].restore(meta, arrays)


def test_an_asset_that_cannot_be_read(asset):
    (asset / "config.json").write_text("{")
    with pytest.raises(InputError, match="sentence encoder cannot be read"):
        CANDIDATES["minilm"].load().encode(["x"])
