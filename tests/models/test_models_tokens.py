"""Tokenizing a few texts at a time, against all at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop.models import tokens as module
from biasloop.models import train_tokenizer
from biasloop.models.tokens import tokenized

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
