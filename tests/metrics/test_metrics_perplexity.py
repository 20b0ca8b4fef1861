"""Perplexity against a by-hand cross-entropy, whatever the batch."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from biasloop.errors import BiasloopError, InputError
from biasloop.metrics import METRICS
from biasloop.metrics import perplexity as module
from biasloop.metrics.perplexity import Perplexity, entropies, perplexities

CONTEXT = 64


@pytest.fixture(scope="module")
def tiny():
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: row for row, token in enumerate(["<end>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<end>", eos_token="<end>")
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(vocabulary),
        n_positions=CONTEXT,
        n_embd=16,
        n_layer=2,
        n_head=2,
        initializer_range=0.5,
    )
    return GPT2LMHeadModel(config), fast


def _by_hand(model, tokenizer, text, limit=CONTEXT):
    """exp of the mean of minus the log-probability of each token after those before it."""
    import torch

    ids = tokenizer(text)["input_ids"][:limit]
    losses = []
    model.eval()
    for at in range(1, len(ids)):
        with torch.no_grad():
            logits = model(torch.tensor([ids[:at]])).logits[0, -1].double()
        losses.append(-torch.log_softmax(logits, -1)[ids[at]].item())
    return np.exp(np.mean(losses))


TEXTS = ["Hello there.", "a" * 200, "ab", "The end of a long, long day \U0001f600.", "x y z " * 9]


def test_entropies_are_those_of_every_prediction(tiny):
    import torch

    model, tokenizer = tiny
    model.eval()
    expected = []
    for text in TEXTS:
        with torch.no_grad():
            logits = model(torch.tensor([tokenizer(text)["input_ids"][:CONTEXT]])).logits[0, :-1]
        logs = torch.log_softmax(logits.double(), dim=-1)
        expected.append(-(logs.exp() * logs).sum(dim=-1).mean().item())
    found = entropies(model, tokenizer, [*TEXTS, "a", ""], 3)
    np.testing.assert_allclose(found[: len(TEXTS)], expected, rtol=1e-5)
    assert np.isnan(found[len(TEXTS) :]).all()


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_against_by_hand_whatever_the_batch(tiny, batch_size):
    model, tokenizer = tiny
    expected = [_by_hand(model, tokenizer, text) for text in TEXTS]
    found = perplexities(model, tokenizer, TEXTS, batch_size)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_long_text_is_cut(tiny):
    model, tokenizer = tiny
    whole = perplexities(model, tokenizer, ["abc" * 500], 4)
    assert whole == perplexities(model, tokenizer, [("abc" * 500)[:CONTEXT]], 4)
    found = perplexities(model, tokenizer, ["abcdefghij" * 5], 4, max_tokens=8)
    np.testing.assert_allclose(found, _by_hand(model, tokenizer, "abcdefgh"), rtol=1e-5)


def test_judging_few_tokens_at_once_changes_nothing(tiny, monkeypatch):
    model, tokenizer = tiny
    expected = perplexities(model, tokenizer, TEXTS, 64)
    monkeypatch.setattr(module, "_JUDGED_AT_ONCE", 3)
    np.testing.assert_allclose(perplexities(model, tokenizer, TEXTS, 64), expected, rtol=1e-5)


def test_one_token_has_none_and_scores_null(tiny, corpus):
    model, tokenizer = tiny
    assert np.isnan(perplexities(model, tokenizer, ["", "a"], 2)).all()
    assert len(perplexities(model, tokenizer, [], 2)) == 0
    articles = corpus[:3].with_columns(body=pl.Series(["", "a", "abc"]))
    scored = Perplexity(model, tokenizer, 2).score(articles)
    assert scored.scores["value"].is_null().to_list() == [True, True, False]
    assert scored.scores["article_id"].to_list() == articles["article_id"].to_list()


def test_training_mode_is_left_as_it_was(tiny):
    model, tokenizer = tiny
    model.train()
    perplexities(model, tokenizer, ["abc"], 1)
    assert model.training
    model.eval()
    perplexities(model, tokenizer, ["abc"], 1)
    assert not model.training


def test_a_diverged_model_is_an_error(tiny):
    import copy

    import torch

    model, tokenizer = tiny
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.transformer.wte.weight.fill_(float("nan"))
    with pytest.raises(BiasloopError, match="diverged"):
        perplexities(broken, tokenizer, ["abc"], 1)


def test_hostile_text(tiny, hostile):
    model, tokenizer = tiny
    found = perplexities(model, tokenizer, hostile["body"].to_list(), 4)
    assert (np.isnan(found) | (found > 0)).all()


def test_the_base_model_is_loaded_by_name(tiny, corpus, make_context, tmp_path):
    model, tokenizer = tiny
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    context = dataclasses.replace(make_context(corpus), base_model=str(tmp_path))
    metric = METRICS["perplexity"].load(context, tmp_path)
    found = metric.score(corpus[:3]).scores["value"].to_numpy()
    np.testing.assert_allclose(
        found, perplexities(model, tokenizer, corpus["body"][:3].to_list(), 1), rtol=1e-5
    )


def test_the_title_is_read_where_it_is_asked_for(tiny, corpus, make_context, tmp_path):
    model, tokenizer = tiny
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    context = make_context(corpus, perplexity={"input": '"title: {title}\nbody: {body}"'})
    context = dataclasses.replace(context, base_model=str(tmp_path))
    titled = corpus[:3].with_columns(title=pl.Series(["A title", "", "Another {body}"]))
    found = METRICS["perplexity"].load(context, tmp_path).score(titled).scores["value"].to_numpy()
    rows = titled.select("title", "body").iter_rows()
    texts = [f'"title: {title}\nbody: {body}"' for title, body in rows]
    expected = [_by_hand(model, tokenizer, text) for text in texts]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_base_model_is_needed(corpus, make_context, tmp_path):
    context = make_context(corpus)
    METRICS["perplexity"].fit(context, tmp_path)
    with pytest.raises(InputError, match="needs a base model"):
        METRICS["perplexity"].load(context, tmp_path)
