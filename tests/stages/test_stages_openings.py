"""Prompts from openings: which tokens, whose random numbers, whose ids, and what is refused."""

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biasloop.config import GenerationConfig, ScratchConfig, TrainingConfig, parse_config
from biasloop.errors import InputError
from biasloop.models.load import build_scratch_model, train_tokenizer
from biasloop.stages.finetune import samples_of
from biasloop.stages.generate import (
    article_prompts,
    articles_of,
    generate_articles,
    generate_blocks,
)
from biasloop.tables import ARTICLES

SENTENCE = "the red fox sees a lazy dog and over the hills the river bends to the sea"
WORDS = SENTENCE.split()


def text(count, start=0):
    return " ".join(WORDS[(start + i) % len(WORDS)] for i in range(count))


def articles(ids=("a", "b", "c", "d"), lengths=(9, 30, 14, 50)):
    return pl.DataFrame(
        {
            "article_id": ids,
            "title": ["On foxes", "", "Hills", "The sea"][: len(ids)],
            "body": [text(n, i) for i, n in enumerate(lengths)],
            "label": ["red", "blue", "red", "blue"][: len(ids)],
            "source": [f"s-{i}" for i in ids],
        },
        schema=ARTICLES,
    )


@pytest.fixture(scope="module")
def loaded():
    tokenizer = train_tokenizer([text(60), "On foxes", "Hills", "The sea"], 300)
    torch.manual_seed(1)
    scratch = ScratchConfig(layers=1, width=16, heads=2, vocabulary=300, context=128)
    return build_scratch_model(tokenizer, scratch, 3)


def openings(**settings):
    values = {"prompts": "openings", "opening_tokens": 6, "new_tokens": 10, **settings}
    return GenerationConfig(**values)


def sampled(**settings):
    return openings(decoding="nucleus", **settings)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 8))
def test_an_opening_is_the_first_tokens_that_training_reads(loaded, count):
    real = articles()
    found = article_prompts(loaded.tokenizer, real, openings(opening_tokens=count), 512)
    trained = samples_of(loaded, real, TrainingConfig(samples="article"))
    for row, own, sample in zip(real.rows(named=True), found, trained, strict=True):
        whole = f"{row['title']}\n{row['body']}" if row["title"] else row["body"]
        ids = loaded.tokenizer(whole, add_special_tokens=False)["input_ids"]
        assert own == [ids[:count]] == [list(sample[:count])]


def test_greedy_text_is_what_transformers_writes_on_from_the_opening(loaded):
    real, config = articles(), openings()
    blocks = generate_blocks(loaded, real, config, 0)
    end = loaded.tokenizer.eos_token_id
    for prompt, written in blocks.select("prompt", "continuation").iter_rows():
        expected = loaded.model.generate(
            input_ids=torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=10,
            do_sample=False,
            pad_token_id=end,
        )[0, len(prompt) :].tolist()
        assert written == expected
    assert blocks["block"].to_list() == [0] * 4


def test_the_article_is_what_was_written_without_the_opening(loaded):
    real, config = articles(), sampled(samples_per_prompt=3)
    blocks = generate_blocks(loaded, real, config, 5)
    written = articles_of(loaded, real, blocks, config)
    assert written["article_id"].to_list() == [
        f"{name}{mark}" for name in "abcd" for mark in ("", "#2", "#3")
    ]
    for column in ("title", "label", "source"):
        assert written[column].to_list() == [one for one in real[column] for _ in range(3)]
    tokens = dict(blocks.select("article_id", "continuation").iter_rows())
    end = loaded.tokenizer.eos_token_id
    for article_id, body in written.select("article_id", "body").iter_rows():
        ids = [token for token in tokens[article_id] if token != end]
        assert body == loaded.tokenizer.decode(ids, skip_special_tokens=True)
    assert generate_articles(loaded, real, config, 5).equals(written)


def continuations(loaded, real, config, seed=5):
    blocks = generate_blocks(loaded, real, config, seed)
    return dict(blocks.select("article_id", "continuation").iter_rows())


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_a_sample_has_its_own_stream_whatever_the_company(loaded, batch_size):
    real = articles()
    whole = continuations(loaded, real, sampled(samples_per_prompt=3, batch_size=7))
    assert len(whole) == 12
    assert len({tuple(tokens) for tokens in whole.values()}) == 12
    again = continuations(loaded, real, sampled(samples_per_prompt=3, batch_size=batch_size))
    assert again == whole
    first = continuations(loaded, real, sampled(batch_size=batch_size))
    assert first == {name: whole[name] for name in "abcd"}
    parts = [
        continuations(loaded, real[rows], sampled(samples_per_prompt=3)) for rows in ([3, 1], [0])
    ]
    joined = parts[0] | parts[1]
    assert joined == {name: whole[name] for name in joined}
    other = continuations(loaded, real, sampled(samples_per_prompt=3), seed=6)
    assert all(other[name] != whole[name] for name in whole)


@pytest.mark.parametrize("more", [0, 1, 5])
def test_an_article_that_ends_in_its_opening_is_refused(loaded, more):
    real = articles(lengths=(30, 2, 30, 30))
    (shortest,) = [
        len(ids) for ids in loaded.tokenizer([text(2, 1)], add_special_tokens=False)["input_ids"]
    ]
    config = openings(opening_tokens=shortest + more)
    with pytest.raises(InputError) as error:
        generate_blocks(loaded, real, config, 0)
    message = str(error.value)
    assert "1 of 4 articles are no longer than that" in message
    assert f"the shortest is 'b' of {shortest} tokens" in message
    assert f"lower generation.opening_tokens to {shortest - 1} or less" in message
    fits = openings(opening_tokens=shortest - 1)
    assert generate_blocks(loaded, real, fits, 0).height == 4


def test_an_opening_and_its_continuation_must_fit_the_context(loaded):
    real = articles()
    with pytest.raises(InputError, match=r"opening_tokens \+ generation.new_tokens is 129, more"):
        generate_blocks(loaded, real, openings(new_tokens=123), 0)
    written = generate_blocks(loaded, real, openings(new_tokens=122), 0)
    assert written["continuation"].list.len().max() == 122


def test_an_id_that_may_be_a_samples_is_refused(loaded):
    real = articles(ids=("a", "a#2", "c", "d"))
    with pytest.raises(InputError, match="1 real articles have such an id, as 'a#2'"):
        generate_blocks(loaded, real, sampled(samples_per_prompt=2), 0)
    ids = generate_blocks(loaded, real, sampled(), 0)["article_id"]
    assert ids.to_list() == ["a", "a#2", "c", "d"]
    inside = articles(ids=("a", "b#x", "#2c", "d"))
    assert generate_blocks(loaded, inside, sampled(samples_per_prompt=2), 0).height == 8


def test_settings_that_do_not_apply_leave_no_trace():
    blocks = parse_config({"generation": {"decoding": "nucleus"}}).generation.model_dump()
    assert not {"opening_tokens", "samples_per_prompt"} & blocks.keys()
    values = {"prompts": "openings", "opening_tokens": 9, "samples_per_prompt": 2}
    other = parse_config({"generation": {"decoding": "nucleus", **values}}).generation.model_dump()
    assert not {"block_tokens", "max_article_tokens"} & other.keys()
    assert {name: other[name] for name in values} == values
