"""Tokenizing a few texts at a time, against all at once."""

from array import array

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biasloop.models import train_tokenizer
from biasloop.stages import collate
from biasloop.stages import tokens as module
from biasloop.stages.packing import pack
from biasloop.stages.tokens import tokenized

TEXTS = ["The river runs to the sea.", "", "We hold a vote.\nThe vote is close.", "ü € 日本"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 300)


@given(
    texts=st.lists(st.sampled_from(TEXTS) | st.text(max_size=20), max_size=12),
    size=st.integers(1, 5),
    limit=st.none() | st.integers(1, 6),
)
def test_pieces_are_as_the_whole(tokenizer, texts, size, limit):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AT_ONCE", size)
        found = list(tokenized(tokenizer, iter(texts), limit))
    whole = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert found == [ids[:limit] for ids in whole]


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
