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
