"""Editing neurons: what is set back, what is held, and that both can be written into weights."""

import numpy as np
import polars as pl
import pytest

from biasloop.errors import InputError
from biasloop.models.edit import MeanAblation, Restoration, of_same_layers, strongest
from biasloop.models.sites import feed_forwards, reading
from biasloop.neurons import ASSOCIATIONS

torch = pytest.importorskip("torch")

UNITS = {0: np.array([1, 5]), 1: np.array([2])}
TOKENS = torch.as_tensor([[1, 4, 2, 8, 5, 7], [3, 3, 9, 1, 0, 2]])


def gpt2(seed):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(n_layer=2, n_embd=16, n_head=2, vocab_size=20, n_positions=16, n_inner=24)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for block in model.transformer.h:
            block.mlp.c_fc.bias.normal_()
            block.mlp.c_proj.bias.normal_()
    return model


def llama(seed):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        num_hidden_layers=2, hidden_size=16, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=24, vocab_size=20, max_position_embeddings=16,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def logits(model):
    with torch.no_grad():
        return model(TOKENS).logits


@pytest.mark.parametrize("site", ["mlp_out", "mlp_hidden"])
def test_restoring_copies_what_feeds_the_neurons_and_nothing_else(site):
    model, other = gpt2(0), gpt2(1)
    blocks = feed_forwards(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with Restoration(feed_forwards(other)).during(blocks, site, UNITS):
        for layer, (mine, theirs) in enumerate(
            zip(model.transformer.h, other.transformer.h, strict=True)
        ):
            part = "c_proj" if site == "mlp_out" else "c_fc"
            own, reference = getattr(mine.mlp, part), getattr(theirs.mlp, part)
            old = before[f"transformer.h.{layer}.mlp.{part}.weight"]
            for unit in range(own.weight.shape[1]):
                wanted = reference.weight if unit in UNITS[layer] else old
                assert torch.equal(own.weight[:, unit], wanted[:, unit])
            assert torch.equal(own.bias[UNITS[layer]], reference.bias[UNITS[layer]])
        changed = {
            name for name, v in model.state_dict().items() if not torch.equal(v, before[name])
        }
        assert {name.split(".")[-2] for name in changed} == {part}
    assert all(torch.equal(v, before[name]) for name, v in model.state_dict().items())


@pytest.mark.parametrize("build", [gpt2, llama])
@pytest.mark.parametrize("site", ["mlp_out", "mlp_hidden"])
def test_restoring_every_neuron_of_both_sites_restores_the_feed_forwards(build, site):
    model, other = build(0), build(1)
    blocks, reference = feed_forwards(model), feed_forwards(other)
    for at in ("mlp_out", "mlp_hidden"):
        every = {block.layer: np.arange(block.units(at)) for block in blocks}
        Restoration(reference).for_good(blocks, at, every)
    theirs = dict(other.named_parameters())
    for name, value in model.named_parameters():
        if ".mlp." in name:
            assert torch.equal(value, theirs[name])
    with pytest.raises(InputError, match="same architecture"):
        Restoration(reference[:1]).for_good(blocks, site, UNITS)


@pytest.mark.parametrize("site", ["mlp_out", "mlp_hidden"])
def test_a_mean_ablation_holds_the_neurons_and_can_be_written_into_the_weights(site):
    model = gpt2(2)
    plain = logits(model)
    blocks = feed_forwards(model)
    random = np.random.default_rng(0)
    means = {block.layer: random.normal(size=block.units(site)) for block in blocks}
    ablation = MeanAblation(means)
    seen = {}
    with (
        ablation.during(blocks, site, UNITS),
        reading(blocks, site, lambda layer, values: seen.__setitem__(layer, values.clone())),
    ):
        held = logits(model)
    for layer, units in UNITS.items():
        wanted = torch.as_tensor(means[layer][units], dtype=torch.float32).expand(2, 6, -1)
        torch.testing.assert_close(seen[layer][..., units], wanted)
    assert not torch.allclose(held, plain, atol=1e-3)
    torch.testing.assert_close(logits(model), plain)
    ablation.for_good(blocks, site, UNITS)
    torch.testing.assert_close(logits(model), held, rtol=1e-5, atol=1e-5)


def test_a_model_without_biases_cannot_hold_means():
    blocks = feed_forwards(llama(0))
    means = {block.layer: np.zeros(block.units("mlp_out")) for block in blocks}
    with pytest.raises(InputError, match="no bias that could hold the means"):
        MeanAblation(means).for_good(blocks, "mlp_out", UNITS)


def associations(pvalues):
    return pl.DataFrame(
        [
            (n // 4, n % 4, "mlp_out", "weight_mean", "m", 0.1 * n, 1.0, 1.0, p, p)
            for n, p in enumerate(pvalues)
        ],
        schema=ASSOCIATIONS,
        orient="row",
    )


def test_the_strongest_neurons():
    table = associations([0.5, 0.01, float("nan"), 0.2, 0.01, 0.9, 0.3, 0.01])
    chosen = strongest(table, "m", 2)
    assert {layer: own.tolist() for layer, own in chosen.items()} == {1: [0, 3]}
    chosen = strongest(table, "m", 4)
    assert {layer: own.tolist() for layer, own in chosen.items()} == {0: [1, 3], 1: [0, 3]}
    with pytest.raises(InputError, match="only 7 neurons have a p-value"):
        strongest(table, "m", 8)
    with pytest.raises(InputError, match="no metric 'quality'"):
        strongest(table, "quality", 1)


def test_random_neurons_are_of_the_same_layers_and_all_as_likely():
    random = np.random.default_rng(0)
    counts = np.zeros(6)
    for _ in range(3000):
        drawn = of_same_layers(UNITS, {0: 6, 1: 3}, random)
        assert {layer: len(set(own.tolist())) for layer, own in drawn.items()} == {0: 2, 1: 1}
        counts[drawn[0]] += 1
    np.testing.assert_allclose(counts / 3000, 1 / 3, atol=0.03)
