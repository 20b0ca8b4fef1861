"""Attention as products against torch's own, and models that read by it."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from biasloop.models.fast.attention import READING, as_products, products_are_faster, read
from biasloop.models.fast.linear import prepacked


def made_up(rows=2, heads=(4, 4), length=9, width=8, dtype=torch.float32):
    random = torch.Generator().manual_seed(rows * length)
    return [
        torch.randn(rows, n, length, width, generator=random).to(dtype)
        for n in (heads[0], heads[1], heads[1])
    ]


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (6, 1)])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("masked", ["no", "boolean", "numbers"])
def test_products_are_torchs_attention(heads, causal, masked):
    q, k, v = made_up(heads=heads)
    seen = torch.ones(2, 1, 9, 9, dtype=torch.bool)
    seen[1, :, :, :3] = False
    seen[1, :, :3] = True  # torch and we differ on tokens that see nothing; see below
    if causal and masked != "no":
        seen &= torch.ones(9, 9, dtype=torch.bool).tril()
    given = {
        "no": None,
        "boolean": seen,
        "numbers": torch.zeros(seen.shape).masked_fill(~seen, -1e9),
    }[masked]
    found = as_products(q, k, v, 0.3, causal and given is None, mask=given)
    expected = scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=given,
        is_causal=causal and given is None,
        scale=0.3,
        enable_gqa=heads[0] != heads[1],
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_token_that_sees_nothing_has_numbers():
    q, k, v = made_up(dtype=torch.bfloat16)
    seen = torch.zeros(2, 1, 9, 9, dtype=torch.bool)
    assert as_products(q * 100, k * 100, v, 1.0, False, mask=seen).isfinite().all()


def test_only_short_whole_texts_in_bfloat16_pay():
    q, k, _ = made_up(dtype=torch.bfloat16)
    assert products_are_faster(q, k)
    assert not products_are_faster(q.float(), k.float())
    assert not products_are_faster(q, k.float())
    assert not products_are_faster(q[:, :, -1:], k)
    assert not products_are_faster(q[:, :, :1], k[:, :, :1])


SHAPE = {
    "vocab_size": 60,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def roberta():
    torch.manual_seed(2)
    return RobertaForSequenceClassification(
        RobertaConfig(**SHAPE, max_position_embeddings=40, pad_token_id=1)
    )


def gpt2():
    torch.manual_seed(2)
    return GPT2LMHeadModel(GPT2Config(vocab_size=60, n_embd=64, n_layer=2, n_head=4))


def llama():
    torch.manual_seed(2)
    return LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=2))


@pytest.mark.parametrize("build", [roberta, gpt2, llama])
@pytest.mark.parametrize("side", ["none", "left", "right"])
def test_a_packed_bfloat16_model_reads_as_an_unpacked_one(build, side):
    model = build().eval().bfloat16()
    ids = torch.randint(2, 60, (3, 20), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    if side == "left":
        mask[0, :6] = 0
    if side == "right":
        mask[0, -6:] = 0
    mask = None if side == "none" else mask
    with torch.inference_mode():
        expected = model(input_ids=ids, attention_mask=mask).logits.float()
        exact = model.float()(input_ids=ids, attention_mask=mask).logits
        model.bfloat16()
        with prepacked(model):
            assert model.config._attn_implementation == READING
            found = model(input_ids=ids, attention_mask=mask).logits.float()
    assert model.config._attn_implementation == "sdpa"
    if mask is not None and found.dim() == 3:
        found, expected, exact = (x[mask.bool()] for x in (found, expected, exact))
    # As near to float32 as transformers' own bfloat16 is.
    assert (found - exact).norm() < 1.5 * (expected - exact).norm() + 1e-3


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (6, 1)])
@pytest.mark.parametrize("masked", ["no", "boolean", "numbers"])
def test_attention_of_one_query_is_torchs(heads, masked):
    q, k, v = made_up(heads=heads)
    seen = torch.ones(2, 1, 1, 9, dtype=torch.bool)
    seen[1, ..., :4] = False
    given = {
        "no": None,
        "boolean": seen,
        "numbers": torch.zeros(seen.shape).masked_fill(~seen, -1e9),
    }[masked]
    found, _ = read(torch.nn.Module(), q[:, :, -1:], k, v, given, scaling=0.3)
    expected = scaled_dot_product_attention(
        q[:, :, -1:], k, v, attn_mask=given, scale=0.3, enable_gqa=heads[0] != heads[1]
    )
    torch.testing.assert_close(found, expected.transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_long_texts_and_float32_are_left_to_torch():
    q, k, v = made_up()
    found, _ = read(torch.nn.Module(), q, k, v, None, scaling=0.3)
    expected = scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3)
    assert torch.equal(found, expected.transpose(1, 2))


def test_float32_models_attend_as_before():
    model = gpt2().eval()
    with torch.inference_mode(), prepacked(model):
        assert model.config._attn_implementation == "sdpa"


def test_another_way_to_attend_is_left_alone():
    model = gpt2().eval().bfloat16()
    model.set_attn_implementation("eager")
    with torch.inference_mode(), prepacked(model):
        assert model.config._attn_implementation == "eager"


def test_packing_within_packing_leaves_the_model_as_it_was():
    model = gpt2().eval().bfloat16()
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        before = model(input_ids=ids).logits
        with prepacked(model):
            outer = model(input_ids=ids).logits
            with prepacked(model):
                assert torch.equal(model(input_ids=ids).logits, outer)
            assert torch.equal(model(input_ids=ids).logits, outer)
        assert torch.equal(model(input_ids=ids).logits, before)
    assert not [module for module in model.modules() if "forward" in vars(module)]
