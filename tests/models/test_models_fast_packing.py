"""A batch joined as one row against the same samples padded: loss, gradients, attention."""

import copy
from array import array
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from biasloop.config import ScratchConfig
from biasloop.models.fast.packing import (
    ARCHITECTURES,
    ATTENTION,
    attend,
    can_pack,
    pack,
    packed,
)
from biasloop.models.load import build_scratch_model, train_tokenizer
from biasloop.stages.train import collate, train

SCRATCH = ScratchConfig(layers=2, width=32, heads=2, vocabulary=300, context=128)
SHAPE = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
CONFIGS = {
    "gpt2": GPT2Config(
        vocab_size=60,
        n_embd=16,
        n_layer=2,
        n_head=4,
        n_positions=64,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    ),
    "gpt_neox": GPTNeoXConfig(**SHAPE),
    "llama": LlamaConfig(**SHAPE, num_key_value_heads=2),
    "qwen2": Qwen2Config(**SHAPE, num_key_value_heads=2),
    "qwen3": Qwen3Config(**SHAPE, num_key_value_heads=2, head_dim=8),
}
SAMPLES = [[7, 8, 9, 10, 11], [3, 4], [50, 3, 7, 7, 9, 2, 1, 30, 31, 40, 41], [8, 8, 8]]


def model_of(name):
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation="sdpa").train()


def loss_and_gradients(model, batch):
    model.zero_grad()
    counted = int((batch["labels"][:, 1:] >= 0).sum())
    loss = model(**batch, num_items_in_batch=counted)["loss"]
    loss.backward()
    return loss.item(), [p.grad.clone() for p in model.parameters()]


def test_every_architecture_is_tested():
    assert set(CONFIGS) == ARCHITECTURES


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
@pytest.mark.parametrize("samples", [SAMPLES, SAMPLES[:1], [[5, 6, 7], [1, 2, 3]]])
@pytest.mark.parametrize("make", [pack, lambda samples: collate(samples, 0)])
def test_loss_and_gradients_are_those_of_the_padded_batch(name, samples, make):
    model = model_of(name)
    loss, gradients = loss_and_gradients(model, collate(samples, pad_token_id=0))
    assert can_pack(model)
    with packed(model):
        assert model.config._attn_implementation == ATTENTION
        packed_loss, packed_gradients = loss_and_gradients(model, make(samples))
    assert model.config._attn_implementation == "sdpa"
    assert packed_loss == pytest.approx(loss, abs=1e-5)
    for one, other in zip(gradients, packed_gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_token_of_one_sample_changes_nothing_in_the_others():
    model = model_of("gpt2").eval()
    other = [[1] * 5, *SAMPLES[1:]]
    left_out = {"labels", "attention_mask"}
    with packed(model), torch.inference_mode():
        one, two = (
            model.base_model(**{k: v for k, v in pack(s).items() if k not in left_out})[0][0, 5:21]
            for s in (SAMPLES, other)
        )
    assert torch.equal(one, two)


def test_a_few_tokens_follow_the_samples_and_a_first_token_is_not_predicted():
    batch = pack(SAMPLES)
    joined = [token for sample in SAMPLES for token in sample]
    assert batch["input_ids"].tolist() == [[*joined, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[*[1] * 21, 0, 0, 0]]
    assert batch["position_ids"][0, :8].tolist() == [0, 1, 2, 3, 4, 0, 1, 0]
    assert batch["labels"][0, :8].tolist() == [-100, 8, 9, 10, 11, -100, 4, -100]
    assert batch["labels"][0, 21:].tolist() == [-100] * 3
    assert batch["table"] == (4, 16)
    assert batch["places"][:8].tolist() == [0, 1, 2, 3, 4, 16, 17, 32]
    assert len(batch["places"]) == 21
    rows = pack([[1, 2], [3, 4]])
    assert {name: value.tolist() for name, value in rows.items()} == {
        "input_ids": [[1, 2], [3, 4]],
        "labels": [[-100, 2], [-100, 4]],
    }


@pytest.mark.parametrize("samples", [[[5, 300, 7], [9, 8]], [[5, 300, 7], [9, 8, 2]]])
def test_batches_of_arrays_are_those_of_lists(samples):
    arrays = [array("i", sample) for sample in samples]
    for make in (pack, lambda batch: collate(batch, 0)):
        for name, value in make(samples).items():
            other = make(arrays)[name]
            if torch.is_tensor(value):
                assert value.dtype == other.dtype
                assert torch.equal(value, other)
            else:
                assert value == other


def test_after_packing_a_model_reads_as_before():
    model = model_of("gpt2").eval()
    ids = torch.tensor([SAMPLES[0]])
    with torch.inference_mode():
        before = model(input_ids=ids).logits
        with packed(model):
            pass
        assert torch.equal(model(input_ids=ids).logits, before)
    assert "forward" not in vars(model)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.integers(0, 2**31),
    st.sampled_from([(4, 4), (4, 2), (6, 1)]),
)
def test_attention_is_that_of_each_sample_alone(lengths, seed, heads):
    random = torch.Generator().manual_seed(seed)
    q, k, v = (
        torch.randn(1, n, sum(lengths), 8, generator=random) for n in (heads[0], heads[1], heads[1])
    )
    batch = pack([list(range(n)) for n in lengths])
    more = batch["input_ids"].shape[1] - sum(lengths)
    if "places" in batch:
        q, k, v = (torch.nn.functional.pad(x, (0, 0, 0, more)) for x in (q, k, v))
    if "places" not in batch:
        q, k, v = (x.unflatten(2, (len(lengths), -1))[0].transpose(0, 1) for x in (q, k, v))
    found, _ = attend(
        torch.nn.Module(),
        q,
        k,
        v,
        scaling=0.3,
        places=batch.get("places"),
        table=batch.get("table"),
    )
    found = found.flatten(0, 1)
    start = 0
    for row, n in enumerate(lengths):
        part = (
            [x[0, :, start : start + n] for x in (q, k, v)]
            if "places" in batch
            else [x[row] for x in (q, k, v)]
        )
        query, key, value = (x.repeat_interleave(heads[0] // x.shape[0], 0) for x in part)
        scores = query @ key.transpose(1, 2) * 0.3
        scores = scores.masked_fill(~torch.ones(n, n).tril().bool(), -torch.inf)
        expected = (scores.softmax(-1) @ value).transpose(0, 1)
        torch.testing.assert_close(found[start : start + n], expected, atol=1e-5, rtol=1e-5)
        start += n


@pytest.mark.parametrize("heads", [(4, 4), (4, 2)])
def test_attention_in_bfloat16_is_that_in_float32_but_for_rounding(heads):
    random = torch.Generator().manual_seed(7)
    batch = pack([list(range(n)) for n in (3, 40, 17)])
    exact = [torch.randn(1, n, 60, 8, generator=random) for n in (heads[0], heads[1], heads[1])]
    exact = [x.bfloat16().float().requires_grad_() for x in exact]
    rounded = [x.detach().bfloat16().requires_grad_() for x in exact]
    settings = {"places": batch["places"], "table": batch["table"]}
    one, two = (attend(torch.nn.Module(), *x, **settings)[0] for x in (exact, rounded))
    assert two.dtype == torch.bfloat16
    torch.testing.assert_close(one, two.float(), atol=0.03, rtol=0.03)
    weight = torch.randn(one.shape, generator=random)
    (one * weight).sum().backward()
    (two.float() * weight).sum().backward()
    for x, y in zip(exact, rounded, strict=True):
        torch.testing.assert_close(x.grad, y.grad.float(), atol=0.1, rtol=0.05)


def test_dropout_of_attention_leaves_out_its_share():
    q = torch.zeros(1, 2, 400, 8, dtype=torch.bfloat16)
    value = torch.ones(1, 2, 400, 8, dtype=torch.bfloat16)
    torch.manual_seed(0)
    out, _ = attend(torch.nn.Module(), q, q, value, dropout=0.25)
    assert out.float().mean().item() == pytest.approx(1, abs=0.02)
    assert out.float().std().item() > 0.01
    whole, _ = attend(torch.nn.Module(), q, q, value)
    torch.testing.assert_close(whole, torch.ones_like(whole), atol=0.02, rtol=0)


def test_what_attends_otherwise_is_not_packed():
    sliding = MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=4)
    assert not can_pack(AutoModelForCausalLM.from_config(sliding))
    half = Qwen2Config(
        **SHAPE,
        num_key_value_heads=2,
        use_sliding_window=True,
        sliding_window=4,
        max_window_layers=1,
    )
    assert not can_pack(AutoModelForCausalLM.from_config(half))
    eager = AutoModelForCausalLM.from_config(CONFIGS["gpt2"], attn_implementation="eager")
    assert not can_pack(eager)


@pytest.mark.accelerator
@pytest.mark.parametrize("samples", [SAMPLES * 3, [[5, 6, 7], [1, 2, 3], [4, 4, 4]]])
def test_training_follows_the_losses_of_a_plain_padded_loop(samples):
    """AdamW over the predicted tokens of padded batches, written out."""
    loaded = build_scratch_model(train_tokenizer(["a b"], 300), SCRATCH, seed=3)
    model = copy.deepcopy(loaded.model).train()
    log = train(loaded, samples, seed=4, batch_size=3, learning_rate=1e-3, weight_decay=0.0)
    device = model.device
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(4)).tolist()
    steps = -(-len(samples) // 3)
    losses = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (1 - step / steps)
        batch = [samples[i] for i in order[3 * step : 3 * step + 3]]
        logits, targets = [], []
        padded = {k: v.to(device) for k, v in collate(batch, 0).items()}
        out = model(input_ids=padded["input_ids"], attention_mask=padded["attention_mask"]).logits
        for row, sample in enumerate(batch):
            logits.append(out[row, : len(sample) - 1])
            targets.extend(sample[1:])
        wanted = torch.tensor(targets, device=device)
        loss = torch.nn.functional.cross_entropy(torch.cat(logits), wanted)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    assert log.losses == pytest.approx(losses, abs=1e-5)
    assert log.tokens == sum(map(len, samples))


@pytest.mark.accelerator
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_model_trains_a_second_time_as_the_first(precision):
    loaded = build_scratch_model(train_tokenizer(["a b"], 300), SCRATCH, seed=3)
    loaded = replace(loaded, device=replace(loaded.device, precision=precision))
    start = copy.deepcopy(loaded.model.state_dict())
    losses = []
    for _ in range(2):
        loaded.model.load_state_dict(start)
        log = train(loaded, SAMPLES, seed=4, batch_size=2, learning_rate=1e-2, weight_decay=0.0)
        losses.append(log.losses)
    assert losses[0] == losses[1]
