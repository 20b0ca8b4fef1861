"""Feed-forward parts found by structure alone, whatever the modules are called."""

import pytest
import torch
from transformers import (
    FalconConfig,
    FalconForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
)

from biasloop.errors import InputError
from biasloop.models.sites import feed_forwards, reading

SMALL = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 50,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 50, "n_positions": 32}
FALCON = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 50}
OPT = {
    "hidden_size": 16,
    "ffn_dim": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 50,
    "max_position_embeddings": 32,
    "word_embed_proj_dim": 16,
}

CASES = {
    "gpt2": (GPT2LMHeadModel, GPT2Config(**GPT2), "mlp.c_proj", ("mlp.c_fc",), 64),
    "gpt2 as wide inside": (
        GPT2LMHeadModel,
        GPT2Config(**GPT2, n_inner=16),
        "mlp.c_proj",
        ("mlp.c_fc",),
        16,
    ),
    "llama": (
        LlamaForCausalLM,
        LlamaConfig(**SMALL),
        "mlp.down_proj",
        ("mlp.gate_proj", "mlp.up_proj"),
        24,
    ),
    "llama as wide inside, with biases": (
        LlamaForCausalLM,
        LlamaConfig(**SMALL | {"intermediate_size": 16}, mlp_bias=True, num_key_value_heads=1),
        "mlp.down_proj",
        ("mlp.gate_proj", "mlp.up_proj"),
        16,
    ),
    "neox, parallel": (
        GPTNeoXForCausalLM,
        GPTNeoXConfig(**SMALL),
        "mlp.dense_4h_to_h",
        ("mlp.dense_h_to_4h",),
        24,
    ),
    "opt, no feed-forward module": (OPTForCausalLM, OPTConfig(**OPT), "fc2", ("fc1",), 24),
    "phi3, fused": (
        Phi3ForCausalLM,
        Phi3Config(**SMALL),
        "mlp.down_proj",
        ("mlp.gate_up_proj",),
        24,
    ),
    "falcon": (
        FalconForCausalLM,
        FalconConfig(**FALCON),
        "mlp.dense_4h_to_h",
        ("mlp.dense_h_to_4h",),
        64,
    ),
}


def built(name):
    kind, config, last, first, inside = CASES[name]
    torch.manual_seed(1)
    return kind(config).eval(), last, first, inside


@pytest.mark.parametrize("name", CASES)
def test_the_feed_forward_part_is_found(name):
    model, last, first, inside = built(name)
    names = {module: name for name, module in model.named_modules()}
    blocks = feed_forwards(model)
    assert [block.layer for block in blocks] == [0, 1]
    for block in blocks:
        prefix, _, _ = names[block.output].partition(f".{block.layer}.")
        start = f"{prefix}.{block.layer}."
        assert names[block.output] == start + last
        assert tuple(names[module] for module in block.inputs) == tuple(start + n for n in first)
        assert (block.units("mlp_out"), block.units("mlp_hidden")) == (16, inside)


@pytest.mark.parametrize("site", ["mlp_out", "mlp_hidden"])
@pytest.mark.parametrize("name", CASES)
def test_the_weights_of_a_unit_move_that_unit_alone(name, site):
    model, *_ = built(name)
    block = feed_forwards(model)[1]
    tokens = torch.tensor([[4, 9, 2, 7]])
    seen = []

    def read():
        seen.clear()
        with (
            torch.inference_mode(),
            reading((block,), site, lambda layer, values: seen.append(values.clone())),
        ):
            model(input_ids=tokens)
        return seen[0].reshape(-1, block.units(site))

    before = read()
    units = block.units(site)
    unit = units - 3
    assert block.weights(site)
    for rows in block.weights(site) + block.biases(site):
        kept = rows.units(units)[unit].clone()
        rows.units(units)[unit] += 3.0
        changed = (read() != before).any(0).nonzero().flatten().tolist()
        assert changed == [unit]
        rows.units(units)[unit] = kept
    torch.testing.assert_close(read(), before, atol=0, rtol=0)


def test_what_is_seen_can_be_replaced():
    model, *_ = built("llama")
    blocks = feed_forwards(model)
    tokens = torch.tensor([[4, 9, 2]])
    with torch.inference_mode():
        plain = model(input_ids=tokens).logits
        with reading(blocks, "mlp_out", lambda layer, values: torch.zeros_like(values)):
            without = model(input_ids=tokens).logits
        for block in blocks:
            block.output.weight.zero_()
        zeroed = model(input_ids=tokens).logits
    assert not torch.equal(plain, without)
    torch.testing.assert_close(without, zeroed)


def test_a_mixture_of_experts_is_refused():
    model = MixtralForCausalLM(MixtralConfig(**SMALL, num_key_value_heads=1)).eval()
    with pytest.raises(InputError, match=r"Mixtral.*block 0 has no feed-forward part"):
        feed_forwards(model)


def test_an_unknown_site_is_refused():
    model, *_ = built("gpt2")
    with pytest.raises(InputError, match="did you mean 'mlp_out'"):
        feed_forwards(model)[0].units("mlp_ou")


def test_a_model_without_blocks_is_refused():
    with pytest.raises(InputError, match="no list of decoder blocks"):
        feed_forwards(torch.nn.Linear(2, 2))
