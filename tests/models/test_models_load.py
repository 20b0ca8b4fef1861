"""Folders that are no model to go on from are refused before anything is made of them."""

import pytest

from biasloop.config import ScratchConfig
from biasloop.errors import InputError
from biasloop.models.load import build_scratch_model, load_model, save_model, train_tokenizer


@pytest.fixture
def folder(tmp_path):
    tokenizer = train_tokenizer(["a model of a few words"], 300)
    config = ScratchConfig(layers=1, width=16, context=128)
    save_model(build_scratch_model(tokenizer, config, 0), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("weights", [True, False])
def test_a_tokenizer_with_more_tokens_than_the_model(folder, weights):
    loaded = load_model(str(folder), weights=weights)
    known = loaded.model.config.vocab_size
    loaded.tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    loaded.tokenizer.save_pretrained(folder)
    words = rf"number {known} \('\[PAD\]'\), but the model knows {known} tokens.*resize_token_emb"
    with pytest.raises(InputError, match=words):
        load_model(str(folder), weights=weights)
    # As the message says.
    loaded = load_again(folder)
    loaded.resize_token_embeddings(known + 1)
    loaded.save_pretrained(folder)
    assert load_model(str(folder)).tokenizer.pad_token == "[PAD]"


def load_again(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


def without(weights):
    del weights["transformer.h.0.mlp.c_fc.weight"]


def renamed(weights):
    for key in list(weights):
        weights[f"model.{key}"] = weights.pop(key)


def narrower(weights):
    weights["transformer.wte.weight"] = weights["transformer.wte.weight"][:-2].clone()


def lost(weights):
    weights["transformer.ln_f.bias"][3] = float("inf")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without, r"has no weights for transformer\.h\.0\.mlp\.c_fc\.weight, so that they would"),
        (renamed, r"has no weights for .* and \d+ more, so that they would be drawn at random"),
        (narrower, r"no weights for transformer.wte.weight of shape \[\d+, 16\] \(there is one of"),
        (lost, r"weight transformer\.ln_f\.bias is not finite everywhere: it is damaged"),
    ],
)
def test_weights_that_are_not_there_or_not_finite(folder, change, words):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=words):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("kind", "words"),
    [("BertForMaskedLM", "depends on the tokens that follow"), ("BartModel", "an encoder and a")],
)
def test_a_model_that_cannot_write(folder, kind, words):
    import transformers

    config = getattr(transformers, kind[:4] + "Config")(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        vocab_size=300, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16,
        decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2,
        initializer_range=0.3,
    )  # fmt: skip
    getattr(transformers, kind)(config).save_pretrained(folder)
    with pytest.raises(InputError, match=words):
        load_model(str(folder))
