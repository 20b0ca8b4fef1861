"""Tokenizing a few texts at a time, against all at once; and what a text may not say."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from biasloop.config import GenerationConfig, ScratchConfig, TrainingConfig
from biasloop.metrics.perplexity import perplexities
from biasloop.models import tokens as module
from biasloop.models.load import build_scratch_model, train_tokenizer
from biasloop.models.tokens import beginning, begun, tokenized
from biasloop.stages.finetune import samples_of
from biasloop.stages.generate import article_prompts
from biasloop.stages.neurons import batches
from biasloop.tables import ARTICLES

TEXTS = ["The river runs to the sea.", "", "We hold a vote.\nThe vote is close.", "ü € 日本"]


def byte_level(begins: bool = False):
    tokenizer = train_tokenizer(TEXTS, 300)
    if begins:  # as Gemma's and Llama's: a token of its own before every text
        tokenizer.add_special_tokens({"bos_token": "<bos>"})
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", tokenizer.bos_token_id)]
        )
    return tokenizer


def unigram(begins: bool = True):
    """As XLM-RoBERTa's: whole pieces are looked up, `</s>` among them."""
    pieces = ["<unk>", "<s>", "</s>", *"▁abcdefghijklmnopqrstuvwxyz<>/|.", "▁the"]
    made = Tokenizer(models.Unigram([(p, -float(i > 2)) for i, p in enumerate(pieces)], unk_id=0))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<s>"
    )


def word_level(begins: bool = True):
    words = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "the": 3, "[": 4, "SEP]": 5}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
    )


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level()


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


@pytest.mark.parametrize("make", [byte_level, unigram, word_level])
def test_the_name_of_a_special_token_in_a_text_is_text(make):
    tokenizer = make(begins=True)
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    names = tokenizer.all_special_tokens
    texts = [f"the {name} and{name}{name} the{name}" for name in names] + names
    for ids in tokenized(tokenizer, texts):
        assert ids
        assert not special & set(ids)
    around = len(tokenizer("")["input_ids"])
    for ids in tokenized(tokenizer, texts, special=True):
        assert sum(token in special for token in ids) == around


def test_a_text_that_names_a_special_token_is_read_back_as_it_was(tokenizer):
    text = "He typed <|endoftext|> and left."
    (ids,) = tokenized(tokenizer, [text])
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


@pytest.fixture(scope="module", params=[False, True])
def loaded(request):
    tokenizer = byte_level(begins=request.param)
    return build_scratch_model(tokenizer, ScratchConfig(layers=1, width=16, context=128), 0)


REAL = pl.DataFrame(
    [("a", "A vote", "The vote is close.\nIt is <|endoftext|> <bos> so far.", "left", "s")],
    schema=ARTICLES,
    orient="row",
)


def test_samples_prompts_and_judged_texts_begin_alike_and_hold_no_special_token(loaded):
    tokenizer = loaded.tokenizer
    first = beginning(tokenizer)
    assert first == ([tokenizer.bos_token_id] if "<bos>" in tokenizer.all_special_tokens else [])
    assert loaded.room == 128 - len(first)
    body = REAL["body"][0]
    (plain,) = tokenized(tokenizer, [f"A vote\n{body}"])
    read = [
        *samples_of(loaded, REAL, TrainingConfig(samples="article")),
        *samples_of(loaded, REAL, TrainingConfig(samples="line")),
        *begun(tokenizer, [body]),
        *(ids[mask.bool()].tolist() for ids, mask in batches(loaded, REAL, 100, 1)),
        *article_prompts(tokenizer, REAL, GenerationConfig(block_tokens=8), 512)[0],
    ]
    assert list(read[0]) == [*first, *plain]
    openings = GenerationConfig(prompts="openings", opening_tokens=5)
    assert article_prompts(tokenizer, REAL, openings, 512) == [[[*first, *plain[:5]]]]
    for ids in read:
        assert list(ids[: len(first)]) == first
        assert not set(ids[len(first) :]) & set(tokenizer.all_special_ids)
    blocks = article_prompts(tokenizer, REAL, GenerationConfig(block_tokens=8), 512)[0]
    assert max(map(len, blocks)) == 8 + len(first)
    joined = [token for block in blocks for token in block[len(first) :]]
    title, rest = tokenized(tokenizer, ["A vote", body])
    assert joined == title + rest


def test_perplexity_is_of_the_text_after_its_beginning(loaded):
    import torch

    text = REAL["body"][0]
    (ids,) = begun(loaded.tokenizer, [text])
    with torch.inference_mode():
        loss = loaded.model(torch.tensor([ids]), labels=torch.tensor([ids])).loss
    found = perplexities(loaded.model, loaded.tokenizer, [text], 1)
    assert found[0] == pytest.approx(float(loss.exp()), rel=1e-5)
