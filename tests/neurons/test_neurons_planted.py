"""A model whose known neurons drive a known token preference: both analyses must find them."""

import numpy as np
import polars as pl
import pytest

from biasloop.analysis import Tables
from biasloop.device import Device
from biasloop.models.edit import Restoration, strongest
from biasloop.models.load import LoadedModel
from biasloop.models.sites import feed_forwards
from biasloop.neurons import count_significant
from biasloop.neurons.ablation import effects, measure_edits, measured_outcomes
from biasloop.neurons.associate import associate
from biasloop.stages.neurons import summarise_neurons
from biasloop.tables import LEANING_SCORES, SCORES, SET_SCORES

torch = pytest.importorskip("torch")

WIDTH, VOCABULARY = 64, 40
RIGHT, LEFT = slice(0, 10), slice(10, 20)
PLANTED = (3, 11, 20, 57)
LAYER = 1
CHAINS, GENERATIONS = 6, 8
PROMPTS = 30


def build(reads):
    """A GPT-2 of two layers whose right and left words read the units ``reads`` of the last."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=2, n_embd=WIDTH, n_head=2, vocab_size=VOCABULARY, n_positions=32, n_inner=64,
        tie_word_embeddings=False, bos_token_id=0, eos_token_id=0,
        attn_pdrop=0, embd_pdrop=0, resid_pdrop=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        # Hidden units that are on, so that a change of weights reaches the unit they feed.
        for block in model.transformer.h:
            block.mlp.c_fc.bias.fill_(1.0)
        model.transformer.wte.weight.normal_()
        model.lm_head.weight.zero_()
        for unit in reads:
            model.lm_head.weight[RIGHT, unit] = 0.2
            model.lm_head.weight[LEFT, unit] = -0.2
    return model


def shift(model, offsets):
    """Add ``offsets``, shape (layers, width), to the weights that feed each output unit."""
    with torch.no_grad():
        for block, own in zip(model.transformer.h, offsets, strict=True):
            block.mlp.c_proj.weight += torch.as_tensor(own, dtype=torch.float32)[None, :]


@pytest.fixture(scope="module")
def numbers():
    """A tokenizer of token ids written as words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = models.WordLevel({str(i): i for i in range(VOCABULARY)}, unk_token="0")
    made = Tokenizer(words)
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="0", unk_token="0")


def prompts():
    return torch.as_tensor(np.random.default_rng(1).integers(0, VOCABULARY, (PROMPTS, 8)))


def preference(model):
    """Probability of a right word among right and left ones, for each prompt."""
    with torch.no_grad():
        odds = model(prompts()).logits[:, -1].softmax(-1)
    right = odds[:, RIGHT].sum(-1)
    return (right / (right + odds[:, LEFT].sum(-1))).double().numpy()


def tables(model, quality=lambda right: np.full_like(right, 2.0)):
    """What an instrument would say: each prompt's leaning, and a quality that nothing moves."""
    right = preference(model)
    ids = [f"a{i}" for i in range(len(right))]
    return (
        pl.DataFrame({"article_id": ids, "metric": "quality", "value": quality(right)}),
        pl.DataFrame(
            [
                (name, leaning, p)
                for name, value in zip(ids, right.tolist(), strict=True)
                for leaning, p in (("left", 1 - value), ("right", value))
            ],
            schema=["article_id", "leaning", "probability"],
            orient="row",
        ),
    )


def world(seed, reads, tokenizer):
    """Chains of models whose every neuron drifts on its own, but the planted ones together."""
    random = np.random.default_rng(seed)
    steps = random.normal(size=(CHAINS, GENERATIONS, 2, WIDTH)) * 0.003
    common = random.normal(size=(CHAINS, GENERATIONS)) * 0.01
    steps[:, :, LAYER, list(PLANTED)] = common[:, :, None]
    steps += random.normal(size=steps.shape) * 0.0005
    bodies = [" ".join(map(str, row)) for row in prompts().tolist()[:6]]
    articles = pl.DataFrame({"title": [""] * 6, "body": bodies})
    neurons, scores = [], []
    for chain in range(CHAINS):
        for generation in range(GENERATIONS):
            model = build(reads)
            shift(model, steps[chain, : generation + 1].sum(axis=0))
            loaded = LoadedModel(model, tokenizer, Device("cpu", torch.float32))
            key = {"regime": f"r{chain}", "seed": 0, "generation": generation}
            neurons.append(
                summarise_neurons(loaded, articles).with_columns(
                    **{name: pl.lit(value) for name, value in key.items()}
                )
            )
            noise = random.normal() * 0.002
            scores.append({**key, "value": float(preference(model).mean()) + noise})
    return pl.concat(neurons), pl.DataFrame(scores), steps


@pytest.fixture(scope="module")
def planted(numbers):
    return world(0, PLANTED, numbers)


@pytest.mark.parametrize("quantity", ["weight_mean", "activation_mean"])
def test_association_finds_the_planted_neurons(planted, quantity):
    neurons, scores, _ = planted
    found = associate(neurons, scores, "right", quantity=quantity)
    chosen = strongest(found, "right", len(PLANTED))
    assert {layer: tuple(own) for layer, own in chosen.items()} == {LAYER: PLANTED}
    others = found.filter(~((pl.col("layer") == LAYER) & pl.col("neuron").is_in(list(PLANTED))))
    count = count_significant(others["pvalue"].to_numpy())
    assert count.raw / count.tests < 0.16
    assert count.bonferroni == 0


def test_association_finds_nothing_where_no_neuron_drives_the_preference(numbers):
    neurons, scores, _ = world(1, (), numbers)
    found = associate(neurons, scores, "right")
    count = count_significant(found["pvalue"].to_numpy())
    assert count.raw / count.tests < 0.16
    assert count.benjamini_hochberg == 0


def check(model, blocks, reference, units, seed=0, **settings):
    measured = measure_edits(
        blocks, Restoration(reference), "mlp_out", units, 20,
        np.random.default_rng(seed), lambda: tables(model, **settings),
    )  # fmt: skip
    like = Tables(
        ("left", "right"),
        *(pl.DataFrame(schema=schema) for schema in (SCORES, LEANING_SCORES, SET_SCORES)),
    )
    found = measured_outcomes(measured, like)
    table, draws = effects(found, ["share:right", "quality"], {})
    return {row["outcome"]: row for row in table.to_dicts()}, draws


def test_ablation_finds_the_planted_neurons(planted):
    _, _, steps = planted
    drifted, reference = build(PLANTED), build(PLANTED)
    drift = steps[0].sum(axis=0)
    drift[LAYER, list(PLANTED)] = 0.05
    shift(drifted, drift)
    down = np.zeros_like(drift)
    down[LAYER, list(PLANTED)] = -0.05
    shift(reference, down)
    before = {name: value.clone() for name, value in drifted.state_dict().items()}
    found, draws = check(
        drifted, feed_forwards(drifted), feed_forwards(reference), {LAYER: np.array(PLANTED)}
    )
    share = found["share:right"]
    assert share["unedited"] > 0.9
    assert share["edited"] < 0.1
    assert share["effect_high"] < -0.5
    assert share["specific_high"] < -0.3
    assert share["pvalue"] == pytest.approx(1 / 21)
    assert (found["quality"]["effect"], found["quality"]["pvalue"]) == (0, 1)
    assert draws.filter(pl.col("outcome") == "share:right").height == 20
    for name, value in drifted.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} was not put back"


def test_ablation_of_neurons_that_are_nothing_special_errs_as_often_as_it_says():
    random = np.random.default_rng(4)
    model, reference = build(range(WIDTH)), build(range(WIDTH))
    signs = torch.as_tensor(random.choice([-1.0, 1.0], WIDTH), dtype=torch.float32)
    with torch.no_grad():
        for own in (model, reference):
            own.lm_head.weight[RIGHT] *= signs
            own.lm_head.weight[LEFT] *= signs
    shift(model, random.normal(size=(2, WIDTH)) * 0.006)
    blocks, before = feed_forwards(model), feed_forwards(reference)
    pvalues = []
    for trial in range(60):
        units = {LAYER: random.choice(WIDTH, 4, replace=False)}
        # As quality, the probability itself: without ties the test is exact.
        found, _ = check(model, blocks, before, units, trial, quality=lambda right: right)
        pvalues.append([found[name]["pvalue"] for name in ("quality", "share:right")])
    exact, tied = np.array(pvalues).T
    # 1/21 of 60 is 2.9; more than 8 has a chance below 1 %.
    assert (exact < 0.05).sum() <= 8
    assert (tied < 0.05).sum() <= 8
    assert 0.3 < (exact <= 0.5).mean() < 0.7
