"""What the training benchmark holds side by side is the same training, and its counts are right."""

import copy
import sys
from dataclasses import replace

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import biasloop.loop.score_stages
from biasloop.config import GenerationConfig, ScratchConfig
from biasloop.device import Device
from biasloop.models.load import build_scratch_model, train_tokenizer
from biasloop.stages.generate import continue_prompts
from biasloop.stages.train import train
from stage_speed.demo import plain
from stage_speed.padded_training import train_padded
from stage_speed.training import operations

CONFIG = ScratchConfig(layers=2, width=32, heads=2, vocabulary=300, context=128)
SAMPLES = [list(range(10 * i, 10 * i + 4 + 3 * i)) for i in range(9)]
SETTINGS = {"seed": 2, "batch_size": 2, "learning_rate": 1e-3, "weight_decay": 0.01, "epochs": 2}


@pytest.fixture(scope="module")
def loaded():
    return build_scratch_model(train_tokenizer(["a b"], 300), CONFIG, seed=3)


def copied(loaded):
    return replace(loaded, model=copy.deepcopy(loaded.model))


def test_the_baseline_trains_on_the_same_batches_to_the_same_losses(loaded):
    told = {"fast": [], "plain": []}
    fast = train(copied(loaded), SAMPLES, **SETTINGS, on_progress=told["fast"].append)
    slow = train_padded(copied(loaded), SAMPLES, **SETTINGS, on_progress=told["plain"].append)
    assert told["fast"] == told["plain"]
    assert (
        (fast.steps, fast.tokens) == (slow.steps, slow.tokens) == (10, 2 * sum(map(len, SAMPLES)))
    )
    assert fast.losses == pytest.approx(slow.losses, abs=1e-5)


def test_bfloat16_keeps_to_the_losses_of_float32(loaded):
    fast = train(copied(loaded), SAMPLES, **SETTINGS)
    rounded = train(replace(copied(loaded), device=Device("cpu", "bfloat16")), SAMPLES, **SETTINGS)
    assert rounded.losses == pytest.approx(fast.losses, abs=5e-3)
    assert rounded.losses != fast.losses


def test_operations_are_counted_from_the_shapes(loaded):
    width, layers, vocabulary = 32, 2, len(loaded.tokenizer)
    weights = layers * 12 * width**2 + vocabulary * width
    assert operations(loaded, [[1] * 7, [1] * 3]) == 6 * weights * 10 + 6 * layers * width * 58
    model = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=50))
    assert operations(replace(loaded, model=model), [[1]]) == 6 * (12 * 64 + 400) + 6 * 8


def test_the_plain_demo_takes_the_baselines_for_a_while(loaded):
    tuning, writing = (sys.modules[f"biasloop.stages.{name}"] for name in ("finetune", "generate"))
    before = (tuning.train, writing.continue_prompts)
    config = GenerationConfig(decoding="nucleus", new_tokens=5, top_p=0.001)
    prompts = [[5, 6, 7], [9]]
    with plain():
        assert tuning.train is train_padded
        one = writing.continue_prompts(loaded, prompts, config, 0)
        texts = ["ab ba", "b a b a", "a"]
        alone = biasloop.loop.score_stages.perplexities(loaded.model, loaded.tokenizer, texts, 8)
    assert (tuning.train, writing.continue_prompts) == before
    # A nucleus of one token leaves nothing to chance.
    fast = continue_prompts(loaded, prompts, config, 0)
    assert [list(x) for x in one] == [list(x) for x in fast]
    together = biasloop.loop.score_stages.perplexities(loaded.model, loaded.tokenizer, texts, 8)
    torch.testing.assert_close(
        torch.from_numpy(alone), torch.from_numpy(together), atol=1e-3, rtol=1e-5, equal_nan=True
    )
