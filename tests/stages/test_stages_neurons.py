"""Neuron summaries against a by-hand forward hook over one unpadded article at a time."""

import numpy as np
import polars as pl
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM

from biasloop.config import ScratchConfig
from biasloop.device import Device
from biasloop.errors import InputError
from biasloop.models.load import LoadedModel, build_scratch_model, train_tokenizer
from biasloop.stages.neurons import QUANTITIES, summarise_neurons
from biasloop.tables import ARTICLES

WORDS = [
    "the",
    "river",
    "runs",
    "to",
    "a",
    "sea",
    "and",
    "we",
    "hold",
    "one",
    "vote",
    "early",
    "then",
    "people",
    "come",
    "or",
    "go",
    "far",
]
#: d_model, d_ff.
WIDE = {"mlp_out": 16, "mlp_hidden": 64}


def articles(count, longest=60, seed=0):
    random = np.random.default_rng(seed)
    bodies = [" ".join(random.choice(WORDS, random.integers(1, longest))) for _ in range(count)]
    return pl.DataFrame(
        {
            "article_id": [f"a{i}" for i in range(count)],
            "title": [""] * count,
            "body": bodies,
            "label": ["left"] * count,
            "source": [""] * count,
        },
        schema=ARTICLES,
    )


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([" ".join(WORDS)], 300)


def gpt2(tokenizer):
    loaded = build_scratch_model(
        tokenizer, ScratchConfig(layers=2, width=16, heads=2, vocabulary=300, context=128), seed=3
    )
    torch.manual_seed(4)
    for block in loaded.model.transformer.h:
        torch.nn.init.normal_(block.mlp.c_proj.bias)
    return loaded, [(b.mlp.c_proj, b.mlp.c_proj.weight.T) for b in loaded.model.transformer.h]


def llama(tokenizer):
    torch.manual_seed(3)
    model = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=16,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            vocab_size=len(tokenizer),
            max_position_embeddings=128,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
        )
    ).eval()
    loaded = LoadedModel(model, tokenizer, Device("cpu", "float32"))
    return loaded, [(b.mlp.down_proj, b.mlp.down_proj.weight) for b in model.model.layers]


def opt(tokenizer):
    torch.manual_seed(3)
    model = OPTForCausalLM(
        OPTConfig(
            hidden_size=16,
            ffn_dim=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            vocab_size=len(tokenizer),
            max_position_embeddings=128,
            word_embed_proj_dim=16,
        )
    ).eval()
    loaded = LoadedModel(model, tokenizer, Device("cpu", "float32"))
    return loaded, [(b.fc2, b.fc2.weight) for b in model.model.decoder.layers]


def by_hand(loaded, projections, table, max_tokens):
    """Everything that the projections read and wrote, over single articles without padding."""
    seen = {(site, i): [] for site in WIDE for i in range(len(projections))}
    handles = []
    for i, (module, _) in enumerate(projections):

        def hook(module, args, output, i=i):
            seen["mlp_hidden", i].append(args[0].reshape(-1, args[0].shape[-1]).double())
            seen["mlp_out", i].append(output.reshape(-1, output.shape[-1]).double())

        handles.append(module.register_forward_hook(hook))
    with torch.inference_mode():
        for body in table["body"]:
            tokens = loaded.tokenizer(body, add_special_tokens=False)["input_ids"][:max_tokens]
            loaded.model(input_ids=torch.tensor([tokens]))
    for handle in handles:
        handle.remove()
    return {key: torch.cat(parts).numpy() for key, parts in seen.items()}


def values(frame, site, layer, quantity):
    return frame.filter(site=site, layer=layer, quantity=quantity).sort("neuron")["value"]


@pytest.mark.parametrize("build", [gpt2, llama, opt])
def test_summaries_equal_a_hook_over_single_articles(build, tokenizer):
    loaded, projections = build(tokenizer)
    table = articles(23)
    expected = by_hand(loaded, projections, table, max_tokens=40)
    for batch_size in (1, 4, 23):
        frame = summarise_neurons(loaded, table, tuple(WIDE), max_tokens=40, batch_size=batch_size)
        assert frame.height == 2 * (16 + 64) * len(QUANTITIES)
        for (site, layer), activations in expected.items():
            for quantity, expect in {
                "activation_mean": activations.mean(0),
                "activation_variance": activations.var(0),
                "activation_positive": (activations > 0).mean(0),
            }.items():
                got = values(frame, site, layer, quantity).to_numpy()
                np.testing.assert_allclose(got, expect, atol=1e-5, rtol=0)
        for layer, (_, weight) in enumerate(projections):
            weight = weight.detach().double().numpy()
            np.testing.assert_allclose(
                values(frame, "mlp_out", layer, "weight_mean"), weight.mean(1), atol=1e-12
            )
            np.testing.assert_allclose(
                values(frame, "mlp_out", layer, "weight_variance"), weight.var(1), atol=1e-12
            )


def test_gate_and_up_both_feed_a_hidden_unit(tokenizer):
    loaded, _ = llama(tokenizer)
    frame = summarise_neurons(loaded, articles(2), ("mlp_hidden",))
    for layer, block in enumerate(loaded.model.model.layers):
        both = torch.cat([block.mlp.gate_proj.weight, block.mlp.up_proj.weight], dim=1).double()
        got = values(frame, "mlp_hidden", layer, "weight_mean")
        np.testing.assert_allclose(got, both.mean(1).detach(), atol=1e-12)


def test_a_large_mean_does_not_swallow_the_variance(tokenizer):
    loaded, projections = gpt2(tokenizer)
    with torch.no_grad():
        for module, _ in projections:
            module.bias += 50.0
    table = articles(60)
    expected = by_hand(loaded, projections, table, 512)
    frame = summarise_neurons(loaded, table, ("mlp_out",), batch_size=3)
    got = values(frame, "mlp_out", 1, "activation_variance")
    np.testing.assert_allclose(got, expected["mlp_out", 1].var(0), rtol=1e-3, atol=1e-5)


def test_same_input_same_bytes(tokenizer):
    loaded, _ = gpt2(tokenizer)
    table = articles(9)
    assert summarise_neurons(loaded, table).equals(summarise_neurons(loaded, table))


def test_nothing_to_read_is_said(tokenizer):
    loaded, _ = gpt2(tokenizer)
    with pytest.raises(InputError, match="no article with a token"):
        summarise_neurons(loaded, articles(0))


def test_no_site_no_rows(tokenizer):
    loaded, _ = gpt2(tokenizer)
    assert summarise_neurons(loaded, articles(1), ()).is_empty()
