"""Batches: every text once, like lengths together, within the budget."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BloomConfig, GPT2Config, RobertaConfig

from biasloop.models.batches import batches, few_lengths, read_at_once


@given(
    lengths=st.lists(st.integers(0, 600), max_size=60),
    most=st.integers(1, 20),
    tokens=st.integers(1, 1500),
)
def test_every_text_once_and_no_batch_too_large(lengths, most, tokens):
    found = list(batches(lengths, most, tokens))
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths)))
    flat = [lengths[place] for batch in found for place in batch]
    assert flat == sorted(flat, reverse=True)
    for batch in found:
        assert 1 <= len(batch) <= most
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= tokens


def test_a_batch_is_filled():
    assert [len(batch) for batch in batches([10] * 10, 4, 1000)] == [4, 4, 2]
    assert [len(batch) for batch in batches([10] * 10, 99, 30)] == [3, 3, 3, 1]


@pytest.mark.parametrize(
    ("config", "device", "dtype", "tokens"),
    [
        (GPT2Config(), "cpu", torch.float32, 1024),
        (GPT2Config(), "cpu", torch.bfloat16, 2048),
        (GPT2Config(), "cuda", torch.float32, 2048),
        (GPT2Config(n_embd=128), "cpu", torch.float32, 2048),
        (BloomConfig(hidden_size=4096), "cpu", torch.float32, 512),
        (RobertaConfig(), "cpu", torch.float32, 1024),
        (SimpleNamespace(), "cpu", torch.float32, 2048),
    ],
)
def test_a_processor_reads_what_its_cache_holds(config, device, dtype, tokens):
    model = SimpleNamespace(config=config, device=torch.device(device), dtype=dtype)
    assert read_at_once(model) == tokens


@given(st.integers(1, 2**20), st.sampled_from([1, 2, 8]))
def test_few_lengths_are_enough_and_waste_little(length, least):
    rounded = few_lengths(length, least)
    assert length <= rounded < length + max(least, length / 16)
    assert few_lengths(rounded, least) == rounded


def test_lengths_between_powers_of_two_round_to_32():
    assert len({few_lengths(length) for length in range(1025, 2049)}) == 32
