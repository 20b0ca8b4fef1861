"""A model's own decoding settings: its end tokens count, in every decoding, and nothing else."""

import json

import numpy as np
import pytest

from biasloop.config import GenerationConfig, ScratchConfig
from biasloop.errors import InputError
from biasloop.models.load import build_scratch_model, load_model, save_model, train_tokenizer
from biasloop.stages.generate import continue_prompts
from biasloop.stages.vllm_engine import _sampling, _tokens

PROMPTS = [[10, 11, 12, 13], [20, 21, 22, 23], [30, 31, 32, 33]]
DECODINGS = ["greedy", "nucleus", "beam"]


@pytest.fixture
def folder(tmp_path):
    tokenizer = train_tokenizer(["a model of a few words, of some words"] * 4, 300)
    config = ScratchConfig(layers=1, width=16, context=128)
    save_model(build_scratch_model(tokenizer, config, 0), tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").unlink()
    return tmp_path / "model"


def ask(folder, **settings):
    """Write a generation_config.json, and load the model that has it."""
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return load_model(str(folder))


def written(loaded, decoding):
    config = GenerationConfig(decoding=decoding, block_tokens=4, new_tokens=12)
    return [found.tolist() for found in continue_prompts(loaded, PROMPTS, config, 0)]


@pytest.mark.parametrize("decoding", DECODINGS)
def test_no_penalty_and_no_suppressed_token_is_applied(folder, decoding):
    plain = load_model(str(folder))
    expected = written(plain, decoding)
    used = sorted({token for found in expected for token in found})
    settings = {
        "repetition_penalty": 5.0,
        "suppress_tokens": used[:3],
        "begin_suppress_tokens": used,
        "no_repeat_ngram_size": 2,
        "bad_words_ids": [[used[-1]]],
        "temperature": 0.01,
        "min_p": 0.9,
        "do_sample": True,
    }
    loaded = ask(folder, **settings)
    assert written(loaded, decoding) == expected
    assert dict(loaded.not_applied) == settings
    assert plain.not_applied == {}


@pytest.mark.parametrize("decoding", DECODINGS)
def test_every_end_token_ends_a_text_also_of_a_model_that_was_saved_again(
    folder, tmp_path, decoding
):
    plain = load_model(str(folder))
    full = written(plain, decoding)
    end = full[0][3]
    loaded = ask(folder, eos_token_id=[plain.tokenizer.eos_token_id, end, 10**6], max_length=20)
    assert loaded.ends == (plain.tokenizer.eos_token_id, end)
    assert loaded.not_applied == {}
    found = written(loaded, decoding)
    if decoding != "beam":  # which may find another text better, once texts may end
        assert found[0] == full[0][: full[0].index(end) + 1]
    for text in found:
        assert not set(text[:-1]) & set(loaded.ends)
    save_model(loaded, tmp_path / "tuned")
    again = load_model(str(tmp_path / "tuned"))
    assert again.ends == loaded.ends
    assert written(again, decoding) == found


def test_what_an_architecture_takes_for_its_end_by_default_is_none(folder):
    """Without a file the config's default may be any word of this vocabulary."""
    plain = load_model(str(folder))
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"eos_token_id": 17}))
    assert load_model(str(folder)).ends == plain.ends == (plain.tokenizer.eos_token_id,)


def test_a_tokenizer_without_an_end_has_the_models(folder):
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": None}))
    with pytest.raises(InputError, match="neither its tokenizer nor its generation_config"):
        load_model(str(folder))
    assert ask(folder, eos_token_id=[5, 9]).ends == (5, 9)
    with pytest.raises(InputError, match="neither"):  # saved, but only a default
        ask(folder, eos_token_id=5, _from_model_config=True)
    (folder / "generation_config.json").write_text("{")
    with pytest.raises(InputError, match=r"generation_config\.json: cannot be read"):
        load_model(str(folder))


def test_a_list_of_ends_in_the_config_is_no_default(folder):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"eos_token_id": [17, 18]}))
    assert load_model(str(folder)).ends[1:] == (17, 18)
    assert ask(folder, _from_model_config=True, eos_token_id=[17, 18]).ends[1:] == (17, 18)


def test_the_other_engine_is_told_every_end():
    config = GenerationConfig(decoding="nucleus", block_tokens=4, new_tokens=5)
    assert _sampling(config, 0, (0,), (7, 9))["stop_token_ids"] == [7, 9]

    class Output:
        token_ids = (1, 2, 9, 3)
        finish_reason = "length"

    assert _tokens(Output, (7, 9)) == [1, 2, 9]
    assert np.array_equal(_tokens(Output, (7,)), [1, 2, 9, 3])
