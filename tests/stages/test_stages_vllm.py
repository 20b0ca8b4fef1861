"""Generation through vLLM, which is not installed here: against a stand-in of its interface."""

import sys
from types import ModuleType, SimpleNamespace

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from biasloop.config import GenerationConfig, ScratchConfig, parse_config
from biasloop.errors import InputError
from biasloop.models.load import build_scratch_model, load_model, save_model, train_tokenizer
from biasloop.stages.generate import generate_blocks
from biasloop.stages.vllm_engine import _sampling, continue_with_vllm
from biasloop.tables import ARTICLES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    texts = ["the red fox sees the lazy dog and the river bends", "a dog runs over the hills"] * 8
    tokenizer = train_tokenizer(texts, 300)
    scratch = ScratchConfig(layers=1, width=16, heads=2, vocabulary=300, context=128)
    loaded = build_scratch_model(tokenizer, scratch, 3)
    with torch.no_grad():  # so that a text is ended now and then
        loaded.model.transformer.wte.weight[loaded.tokenizer.eos_token_id] *= 6
    path = tmp_path_factory.mktemp("model")
    save_model(loaded, path)
    return path


@pytest.fixture(params=[True, False], ids=["with-end-token", "without"])
def stand_in(request, monkeypatch):
    """What `vllm.LLM` and `SamplingParams` are given, and greedy decoding one by one."""
    made = []

    class LLM:
        def __init__(self, model, **options):
            self.options, self.asked = options, []
            self.model = load_model(model, precision=options["dtype"]).model
            made.append(self)

        def generate(self, prompts, sampling_params, use_tqdm):
            assert len(prompts) == len(sampling_params)
            return [self.one(p, s) for p, s in zip(prompts, sampling_params, strict=True)]

        def one(self, prompt, sampling):
            self.asked.append(sampling)
            ids, (end,) = list(prompt["prompt_token_ids"]), sampling.stop_token_ids
            written = []
            while len(written) < sampling.max_tokens:
                with torch.inference_mode():
                    logits = self.model(input_ids=torch.tensor([ids + written])).logits
                token = int(logits[0, -1].argmax())
                if token == end:
                    written += [token] if request.param else []
                    return SimpleNamespace(
                        outputs=[SimpleNamespace(token_ids=written, finish_reason="stop")]
                    )
                written.append(token)
            return SimpleNamespace(
                outputs=[SimpleNamespace(token_ids=tuple(written), finish_reason="length")]
            )

    module, state = ModuleType("vllm"), ModuleType("vllm.distributed.parallel_state")
    module.LLM, module.SamplingParams = LLM, SimpleNamespace
    freed = []
    state.cleanup_dist_env_and_memory = lambda: freed.append(True)
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.distributed", ModuleType("vllm.distributed"))
    monkeypatch.setitem(sys.modules, "vllm.distributed.parallel_state", state)
    return SimpleNamespace(made=made, freed=freed)


def articles():
    bodies = ["the red fox sees the lazy dog " * 4, "a dog", "", "over the hills " * 9]
    return pl.DataFrame(
        {
            "article_id": [str(number) for number in range(len(bodies))],
            "title": ["", "the river", "a", ""],
            "body": bodies,
            "label": ["red"] * 4,
            "source": [""] * 4,
        },
        schema=ARTICLES,
    )


SETTINGS = {"block_tokens": 16, "new_tokens": 12, "precision": "float32"}


def test_greedy_tokens_are_those_of_transformers(folder, stand_in):
    config = GenerationConfig(**SETTINGS, engine="vllm")
    told = []
    written = generate_blocks(
        load_model(str(folder), precision="float32", weights=False),
        articles(),
        config,
        7,
        told.append,
        continue_with_vllm(folder),
    )
    expected = generate_blocks(
        load_model(str(folder), precision="float32"), articles(), GenerationConfig(**SETTINGS), 7
    )
    assert_frame_equal(written, expected)
    lengths = written["continuation"].list.len()
    assert lengths.min() < 12 <= lengths.max()  # some were ended, some cut
    assert sum(told) == lengths.sum()
    (engine,) = stand_in.made
    assert engine.options["max_model_len"] == 28
    assert engine.options["trust_remote_code"] is False
    assert stand_in.freed == [True]


def test_it_has_room_for_an_opening_and_what_follows(folder, stand_in):
    config = GenerationConfig(
        prompts="openings", opening_tokens=5, new_tokens=40, decoding="nucleus",
        samples_per_prompt=3, precision="float32", engine="vllm",
    )  # fmt: skip
    real = articles()[[0, 3]]
    shape = load_model(str(folder), precision="float32", weights=False)
    written = generate_blocks(shape, real, config, 7, None, continue_with_vllm(folder))
    assert written["article_id"].to_list() == ["0", "0#2", "0#3", "3", "3#2", "3#3"]
    (engine,) = stand_in.made
    assert engine.options["max_model_len"] == 45
    assert len({sampling.seed for sampling in engine.asked}) == 6


def test_every_prompt_draws_from_its_own_stream():
    config = GenerationConfig(engine="vllm", decoding="nucleus", top_p=0.8, temperature=0.7)
    asked = [_sampling(config, 5, (place,), (0,)) for place in range(50)]
    assert len({one["seed"] for one in asked}) == 50
    assert asked[3] == _sampling(config, 5, (3,), (0,))
    assert asked[3]["seed"] != _sampling(config, 6, (3,), (0,))["seed"]
    assert {(one["top_p"], one["temperature"]) for one in asked} == {(0.8, 0.7)}
    greedy = _sampling(GenerationConfig(engine="vllm"), 5, (0,), (0,))
    assert greedy["temperature"] == 0.0


def test_a_model_without_weights_takes_no_memory(folder):
    shape = load_model(str(folder), weights=False)
    assert {p.device.type for p in shape.model.parameters()} == {"meta"}
    assert shape.context == load_model(str(folder)).context


def test_without_vllm_the_message_says_how_to_get_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(InputError, match=r"pip install 'biasloop\[vllm\]'"):
        continue_with_vllm(folder)


def test_a_model_in_memory_is_not_written_with_by_vllm(folder):
    with pytest.raises(InputError, match="in memory"):
        generate_blocks(load_model(str(folder)), articles(), GenerationConfig(engine="vllm"), 0)


def test_beams_are_refused_at_once():
    with pytest.raises(InputError, match="not by beam"):
        parse_config({"generation": {"engine": "vllm", "decoding": "beam"}})
