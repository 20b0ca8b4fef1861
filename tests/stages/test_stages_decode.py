"""The decoding loop against transformers' ``generate``, one prompt at a time, model by model."""

import copy
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from transformers import (
    BloomConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    OPTConfig,
)
from transformers.models.auto import AutoModelForCausalLM

from biasloop.config import GenerationConfig, TrainingConfig
from biasloop.device import Device
from biasloop.errors import InputError
from biasloop.models.fast.decode import keeps_keys_and_values
from biasloop.models.fast.linear import prepacked, trained_by_onednn
from biasloop.models.fast.packing import can_pack
from biasloop.models.load import LoadedModel, train_tokenizer
from biasloop.stages.finetune import finetune
from biasloop.stages.generate import continue_prompts, generate_blocks
from biasloop.tables import ARTICLES

TOKENS = 300
SHAPE = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32}
WIDE = {**SHAPE, "intermediate_size": 64, "max_position_embeddings": 128}
CONFIGS = {
    "gpt2": GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=128, vocab_size=TOKENS),
    "llama": LlamaConfig(**WIDE, num_key_value_heads=2, vocab_size=TOKENS),
    "opt": OPTConfig(
        **SHAPE, ffn_dim=64, max_position_embeddings=128, word_embed_proj_dim=32, vocab_size=TOKENS
    ),
    "gpt-neox": GPTNeoXConfig(**WIDE, vocab_size=TOKENS),
    "bloom": BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=TOKENS),
    "mistral": MistralConfig(**WIDE, num_key_value_heads=2, sliding_window=100, vocab_size=TOKENS),
}
#: Of any two likeliest tokens nearer to each other than this, either may be written.
NEAR = 1e-4


@pytest.fixture(autouse=True)
def pack_small_layers(monkeypatch):
    monkeypatch.setattr("biasloop.models.fast.linear._FEWEST", 0)


def build(config, seed=0):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():  # wide enough that the likeliest token is seldom a near thing
        for parameter in model.parameters():
            parameter.mul_(3.0) if parameter.dim() > 1 else None
    tokenizer = train_tokenizer(["a b c d e f g"], TOKENS)
    return LoadedModel(model, tokenizer, Device("cpu", "float32"))


@pytest.fixture(scope="module", params=list(CONFIGS))
def loaded(request):
    return build(CONFIGS[request.param])


def prompts_of_many_lengths(count=23, longest=24, seed=1):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, count)
    return [rng.integers(1, 256, length).tolist() for length in lengths]


def alone(loaded, prompt, new_tokens, end):
    """What `generate` writes, and how far the likeliest token is ahead at each step."""
    written = loaded.model.generate(
        input_ids=torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=new_tokens,
        do_sample=False,
        pad_token_id=end,
        eos_token_id=end,
        output_logits=True,
        return_dict_in_generate=True,
    )
    tokens = written.sequences[0, len(prompt) :].tolist()
    margins = [float(step[0].topk(2).values.diff().abs()) for step in written.logits]
    return tokens, margins


def same_up_to_ties(found, expected, margins):
    for place, (one, other) in enumerate(zip(found, expected, strict=False)):
        if one != other:
            return margins[place] < NEAR
    return len(found) == len(expected)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_greedy_tokens_are_those_of_generate(loaded, batch_size):
    prompts, new_tokens = prompts_of_many_lengths(), 20
    end = loaded.tokenizer.eos_token_id
    config = GenerationConfig(block_tokens=24, new_tokens=new_tokens, batch_size=batch_size)
    assert keeps_keys_and_values(loaded.model, 44)
    found = continue_prompts(loaded, prompts, config, seed=0)
    exact = 0
    for prompt, tokens in zip(prompts, found, strict=True):
        expected, margins = alone(loaded, prompt, new_tokens, end)
        assert same_up_to_ties(tokens.tolist(), expected, margins)
        exact += tokens.tolist() == expected
    assert exact >= len(prompts) - 1


def test_finished_prompts_are_dropped_and_the_others_go_on(loaded):
    """An end of text that comes often and at different places."""
    prompts, new_tokens = prompts_of_many_lengths(40), 24
    config = GenerationConfig(
        block_tokens=24, new_tokens=new_tokens, decoding="nucleus", batch_size=16
    )
    free = continue_prompts(loaded, prompts, config, seed=0)
    common = int(np.bincount(np.concatenate(free)).argmax())
    tokenizer = train_tokenizer(["a b c d e f g"], TOKENS)
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(common)
    assert tokenizer.eos_token_id == common
    found = continue_prompts(replace(loaded, tokenizer=tokenizer), prompts, config, seed=0)
    stopped = [tokens for tokens in found if tokens[-1] == common]
    assert len({len(tokens) for tokens in stopped}) > 2
    for tokens, whole in zip(found, free, strict=True):
        stops = np.flatnonzero(whole == common)
        expected = whole[: stops[0] + 1] if len(stops) else whole
        assert tokens[: len(expected)].tolist() == expected.tolist()
        if len(stops):
            assert len(tokens) == len(expected)


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_sampling_is_the_same_whatever_the_batch(loaded, batch_size):
    prompts = prompts_of_many_lengths()
    config = GenerationConfig(
        block_tokens=24, new_tokens=12, decoding="nucleus", batch_size=batch_size
    )
    whole = continue_prompts(loaded, prompts, config.model_copy(update={"batch_size": 7}), seed=3)
    again = continue_prompts(loaded, prompts, config, seed=3)
    assert [t.tolist() for t in again] == [t.tolist() for t in whole]
    other = continue_prompts(loaded, prompts, config, seed=4)
    assert [t.tolist() for t in other] != [t.tolist() for t in whole]


def made_up_articles():
    return pl.DataFrame(
        {
            "article_id": [f"a{i}" for i in range(5)],
            "title": ["g f e"] * 5,
            "body": ["a b c d e f g " * n for n in (1, 3, 9, 2, 5)],
            "label": ["left"] * 5,
            "source": [""] * 5,
        },
        schema=ARTICLES,
    )


@pytest.mark.parametrize("name", ["bloom", "mamba"])
def test_a_model_without_an_end_to_its_positions_is_trained_and_writes(name):
    configs = {**CONFIGS, "mamba": MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=300)}
    loaded, real = build(configs[name]), made_up_articles()
    assert loaded.context == loaded.tokenizer.model_max_length
    training = TrainingConfig(epochs=1, samples="article", precision="float32")
    assert finetune(loaded, real, training, seed=1).steps == 1
    written = generate_blocks(loaded, real, GenerationConfig(block_tokens=16, new_tokens=4), 5)
    assert written["continuation"].list.len().min() > 0


def test_a_shard_of_the_articles_writes_what_the_whole_writes():
    loaded, real = build(CONFIGS["gpt2"]), made_up_articles()
    config = GenerationConfig(block_tokens=16, new_tokens=8, decoding="nucleus")
    whole = generate_blocks(loaded, real, config, 5)
    parts = [generate_blocks(loaded, real[rows], config, 5) for rows in ([3, 1], [0], [2, 4])]
    assert pl.concat(parts).sort("article_id", "block").equals(whole.sort("article_id", "block"))


def test_a_model_with_another_state_is_left_to_transformers():
    loaded = build(
        MambaConfig(hidden_size=32, num_hidden_layers=2, state_size=4, vocab_size=TOKENS)
    )
    assert not keeps_keys_and_values(loaded.model, 20)
    prompts = [[5, 6, 7, 8], [9, 10, 11, 12]]
    config = GenerationConfig(block_tokens=8, new_tokens=6)
    found = continue_prompts(loaded, prompts, config, seed=0)
    end = loaded.tokenizer.eos_token_id
    for prompt, tokens in zip(prompts, found, strict=True):
        assert tokens.tolist() == alone(loaded, prompt, 6, end)[0]


def test_a_window_shorter_than_the_text_is_left_to_transformers():
    model = build(CONFIGS["mistral"]).model
    assert keeps_keys_and_values(model, 100)
    assert not keeps_keys_and_values(model, 101)


def test_bfloat16_writes_what_generate_writes_in_bfloat16_up_to_its_rounding(loaded):
    """Attention is in float32 here: tokens may differ where bfloat16 cannot tell them apart."""
    model = copy.deepcopy(loaded.model).to(torch.bfloat16)
    narrow = replace(loaded, model=model, device=Device("cpu", "bfloat16"))
    before = model.config._attn_implementation
    prompts, end = prompts_of_many_lengths(), loaded.tokenizer.eos_token_id
    config = GenerationConfig(block_tokens=24, new_tokens=6)
    found = continue_prompts(narrow, prompts, config, seed=0)
    assert model.config._attn_implementation == before
    same = 0
    for prompt, tokens in zip(prompts, found, strict=True):
        same += tokens.tolist() == alone(narrow, prompt, 6, end)[0]
    assert same >= 0.7 * len(prompts)


def test_no_prompts_and_one_token():
    loaded = build(CONFIGS["gpt2"])
    config = GenerationConfig(block_tokens=8, new_tokens=1)
    assert continue_prompts(loaded, [], config, seed=0) == []
    assert [len(t) for t in continue_prompts(loaded, [[4], [5, 6]], config, seed=0)] == [1, 1]


def test_packing_changes_outputs_by_rounding_only_and_is_undone(loaded):
    model = loaded.model
    input_ids = torch.randint(1, 256, (3, 17), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain = model(input_ids=input_ids).logits
        with prepacked(model):
            replaced = [name for name, m in model.named_modules() if "forward" in vars(m)]
            fast = model(input_ids=input_ids).logits
        again = model(input_ids=input_ids).logits
    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)
    assert torch.equal(again, plain)
    assert len(replaced) >= 5
    assert not any("forward" in vars(module) for module in model.modules())


def test_bfloat16_is_left_to_torch_where_onednn_has_no_products_for_it(monkeypatch):
    model = build(CONFIGS["gpt2"]).model.bfloat16()
    monkeypatch.setattr("biasloop.models.fast.linear._packs_bfloat16", lambda: False)
    with torch.inference_mode(), prepacked(model):
        model(input_ids=torch.tensor([[4, 5, 6]]))
        assert not any("forward" in vars(m) for m in model.modules() if hasattr(m, "weight"))


def test_hooks_see_packed_layers():
    model = build(CONFIGS["gpt2"]).model
    seen = []
    handle = model.transformer.h[0].mlp.c_proj.register_forward_hook(
        lambda module, inputs, output: seen.append(output.shape)
    )
    with torch.inference_mode(), prepacked(model):
        model(input_ids=torch.tensor([[4, 5, 6]]))
    handle.remove()
    assert seen == [(1, 3, 32)]


def test_packing_where_gradients_are_wanted_is_refused():
    with pytest.raises(RuntimeError, match="no gradient"), prepacked(build(CONFIGS["gpt2"]).model):
        pass


def test_one_switch_leaves_everything_to_torch_and_transformers(monkeypatch):
    loaded, prompts = build(CONFIGS["gpt2"]), [[5, 6, 7, 8], [9, 10]]
    config = GenerationConfig(block_tokens=8, new_tokens=6)
    fast = continue_prompts(loaded, prompts, config, seed=0)
    monkeypatch.setenv("BIASLOOP_FAST", "0")
    assert not keeps_keys_and_values(loaded.model, 20)
    assert not can_pack(loaded.model)
    with torch.inference_mode(), prepacked(loaded.model), trained_by_onednn(loaded.model):
        assert not any("forward" in vars(module) for module in loaded.model.modules())
    slow = continue_prompts(loaded, prompts, config, seed=0)
    assert [t.tolist() for t in slow] == [t.tolist() for t in fast]


@pytest.mark.parametrize("kind", ["Rwkv", "RecurrentGemma"])
def test_a_state_that_takes_padding_in_is_given_none(kind):
    import transformers

    config = getattr(transformers, f"{kind}Config")(
        vocab_size=TOKENS, hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=32, head_dim=8, lru_width=16, attention_window_size=8, context_length=64,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    loaded = build(config)
    prompts = [[10, 11, 12, 13, 14, 15, 16], [20, 21], [30, 31, 32], [40, 41]]
    settings = GenerationConfig(decoding="greedy", block_tokens=8, new_tokens=6)
    found = [one.tolist() for one in continue_prompts(loaded, prompts, settings, 0)]
    alone = [continue_prompts(loaded, [one], settings, 0)[0].tolist() for one in prompts]
    assert found == alone
    if kind == "Rwkv":
        beam = GenerationConfig(decoding="beam", block_tokens=8, new_tokens=6)
        with pytest.raises(InputError, match="decoding: the model cannot write so"):
            continue_prompts(loaded, prompts, beam, 0)
