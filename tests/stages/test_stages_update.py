"""The projection of an update: against autograd, against what then happened, and its sign."""

import copy

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from transformers import TopPLogitsWarper

from biasloop.config import GenerationConfig, ScratchConfig, TrainingConfig
from biasloop.errors import InputError
from biasloop.models.load import LoadedModel, build_scratch_model, train_tokenizer
from biasloop.stages import update as module
from biasloop.stages.finetune import finetune
from biasloop.stages.generate import articles_of, generate_blocks
from biasloop.stages.update import (
    difference,
    log_odds,
    outside_nucleus,
    project_on_contrast,
    project_on_gradient,
    slopes,
)
from biasloop.tables import ARTICLES

RED = "the red market is free and the red flag is ours."
BLUE = "a blue union has rights so a blue school is fair."
CONFIG = GenerationConfig(
    block_tokens=8, new_tokens=12, decoding="nucleus", top_p=0.95, temperature=1.0
)
TRAINING = TrainingConfig(epochs=12, learning_rate=5e-3, samples="article", batch_size=4)


def articles(texts, label="red"):
    return pl.DataFrame(
        {
            "article_id": [f"a{i:03d}" for i in range(len(texts))],
            "title": "",
            "body": texts,
            "label": label,
            "source": "s",
        },
        schema=ARTICLES,
    )


@pytest.fixture(scope="module")
def base():
    config = ScratchConfig(layers=2, width=32, heads=2, vocabulary=300, context=128)
    torch.manual_seed(3)
    loaded = build_scratch_model(train_tokenizer([RED, BLUE] * 5, 300), config, 0)
    mixed = [RED, BLUE, RED[:24] + BLUE[24:], BLUE[:24] + RED[24:]]
    finetune(loaded, articles(mixed * 4), TRAINING, 0)
    return loaded


def tuned(base, text, epochs=2.0):
    copied = LoadedModel(copy.deepcopy(base.model), base.tokenizer, base.device)
    finetune(copied, articles([text] * 8), TRAINING.model_copy(update={"epochs": epochs}), 1)
    return copied


def leaning_scores(written):
    """Read the leaning by counting words: an instrument without error."""
    red = np.array([body.count("red") + body.count("the") for body in written["body"]])
    blue = np.array([body.count("blue") + body.count("union") for body in written["body"]])
    p = (red + 1) / (red + blue + 2)
    ids = written["article_id"]
    return pl.concat(
        pl.DataFrame({"article_id": ids, "leaning": [name] * len(ids), "probability": value})
        for name, value in (("red", p), ("blue", 1 - p))
    )


def test_slopes_equal_autograd(base):
    real = articles([RED, BLUE, RED + " " + BLUE, ""])
    blocks = generate_blocks(base, real, CONFIG, 0)
    after = tuned(base, RED)
    update = difference(base, after)
    weights = [p.clone() for p in base.model.parameters()]
    found = slopes(base, update, blocks, CONFIG)
    assert all(torch.equal(p, w) for p, w in zip(base.model.parameters(), weights, strict=True))
    assert found["article_id"].to_list() == ["a000", "a001", "a002"]
    for article_id, slope in found.iter_rows():
        total = torch.zeros(())
        for _, _, prompt, written in blocks.filter(pl.col("article_id") == article_id).iter_rows():
            for place, token in enumerate(written):
                ids = torch.tensor([[*prompt, *written[:place]]])
                logits = base.model(input_ids=ids).logits[0, -1] / CONFIG.temperature
                ordered, places = logits.softmax(-1).sort(descending=True)
                kept = int((ordered.cumsum(0) < CONFIG.top_p).sum()) + 1
                nucleus = places[:kept]
                assert token in nucleus
                total = total + logits[token] - logits[nucleus].logsumexp(0)
        gradients = torch.autograd.grad(total, list(base.model.parameters()))
        expected = sum(float((g * u).sum()) for g, u in zip(gradients, update, strict=True))
        assert slope == pytest.approx(expected, rel=0.01, abs=0.02)


@pytest.mark.parametrize(("batch", "marks"), [(1, 1), (2, 2**22), (3, 3 * 300 * 16)])
def test_how_many_blocks_are_read_at_once_changes_nothing(base, monkeypatch, batch, marks):
    real = articles([RED, BLUE, RED + " " + BLUE, "so it is"])
    blocks = generate_blocks(base, real, CONFIG, 0)
    update = difference(base, tuned(base, RED))
    expected = slopes(base, update, blocks, CONFIG)
    monkeypatch.setattr(module, "_BATCH", batch)
    monkeypatch.setattr(module, "_MARKS", marks)
    monkeypatch.setattr(module, "_TOKENS", 12 * batch)
    found = slopes(base, update, blocks, CONFIG)
    assert found["article_id"].to_list() == expected["article_id"].to_list()
    assert found["slope"].to_list() == pytest.approx(
        expected["slope"].to_list(), rel=0.02, abs=0.02
    )


def test_the_gradient_foretells_which_way_a_small_update_moves_the_leaning(base):
    real = articles(["so", "is"] * 100)
    blocks = generate_blocks(base, real, CONFIG, 0)
    written = articles_of(base, real, blocks, CONFIG)
    scores = leaning_scores(written)
    red = scores.filter(pl.col("leaning") == "red")["probability"].to_numpy()
    for text, sign in ((RED, 1), (BLUE, -1)):
        after = tuned(base, text, epochs=1)
        table = project_on_gradient(base, after, real, blocks, scores, CONFIG)
        mine, other = table.rows(named=True)
        assert (mine["leaning"], other["leaning"]) == ("red", "blue")
        assert sign * mine["projection"] > 0
        assert other["projection"] == pytest.approx(-mine["projection"])
        assert mine["low"] < mine["projection"] < mine["high"]
        assert sign * (mine["low"] + mine["high"]) > 0
        later = generate_blocks(after, real, CONFIG, 1)
        then = leaning_scores(articles_of(after, real, later, CONFIG))
        moved = log_odds(then.filter(pl.col("leaning") == "red")["probability"].to_numpy())
        assert sign * (moved - log_odds(red)).mean() > 0


def test_samples_from_one_opening_are_not_articles_apart(base):
    """The same samples twice say no more of the projection than once."""
    real = pl.concat(
        [
            articles([RED, BLUE] * 15),
            articles([BLUE + " " + RED] * 20, "blue").with_columns(
                article_id=pl.lit("b") + pl.col("article_id")
            ),
        ]
    )
    once = GenerationConfig(
        prompts="openings", opening_tokens=3, new_tokens=12, decoding="nucleus", top_p=0.95
    )
    twice = once.model_copy(update={"samples_per_prompt": 2})
    blocks = generate_blocks(base, real, once, 0)
    written = articles_of(base, real, blocks, once)
    scores = leaning_scores(written)
    after = tuned(base, RED, epochs=1)
    expected = project_on_gradient(base, after, written, blocks, scores, once)

    def doubled(table):
        return pl.concat([table, table.with_columns(pl.col("article_id") + "#2")])

    found = project_on_gradient(
        base, after, doubled(written), doubled(blocks), doubled(scores), twice
    )
    for one, other in zip(expected.rows(named=True), found.rows(named=True), strict=True):
        # 50 articles of 2 labels: the divisor is 48; counted twice, 98 of 100.
        share = (100 / 98) / (50 / 48)
        assert other["projection"] == pytest.approx(share * one["projection"], rel=0.01)
        width = other["high"] - other["low"]
        assert width == pytest.approx(share * (one["high"] - one["low"]), rel=0.01)


def test_only_a_second_stream_is_right_on_average(base):
    """One step of ascent on what a model wrote has no projection on average, as E[grad log p] is 0.

    On the articles that made the step it has one: each raises its own probability most where it
    was least likely, and so it looks as if the rarer leaning would grow.
    """
    loaded = LoadedModel(copy.deepcopy(base.model), base.tokenizer, base.device)
    few = articles(["so red"] * 4 + ["so blue"] * 16)
    finetune(loaded, few, TRAINING.model_copy(update={"epochs": 20.0}), 0)
    config = CONFIG.model_copy(update={"top_p": 1.0, "new_tokens": 1})
    real = articles(["so"] * 10)
    found = []
    for replicate in range(60):
        streams = [generate_blocks(loaded, real, config, 2 * replicate + i) for i in (0, 1)]
        after = LoadedModel(copy.deepcopy(loaded.model), base.tokenizer, base.device)
        for _, _, prompt, written in streams[0].iter_rows():
            logits = after.model(input_ids=torch.tensor([prompt])).logits[0, -1]
            torch.nn.functional.cross_entropy(logits, torch.tensor(written[0])).backward()
        with torch.no_grad():
            for parameter in after.model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.005 * parameter.grad
        found.append(
            [
                project_on_gradient(
                    loaded, after, written, blocks, leaning_scores(written), config
                )["projection"][0]
                for blocks in streams
                for written in [articles_of(loaded, real, blocks, config)]
            ]
        )
    in_sample, fresh = np.array(found).T
    assert stats.ttest_1samp(in_sample, 0).pvalue < 0.01
    assert in_sample.mean() > 0.04
    assert stats.ttest_1samp(fresh, 0).pvalue > 0.01
    assert abs(fresh.mean()) < in_sample.mean() / 2


def test_an_update_of_nothing_projects_to_nothing(base):
    real = articles([RED, BLUE] * 3)
    blocks = generate_blocks(base, real, CONFIG, 0)
    scores = leaning_scores(articles_of(base, real, blocks, CONFIG))
    same = LoadedModel(copy.deepcopy(base.model), base.tokenizer, base.device)
    for row in project_on_gradient(base, same, real, blocks, scores, CONFIG).iter_rows(named=True):
        assert row["projection"] == row["low"] == row["high"] == row["norm"] == 0


def test_the_contrast_is_one_for_its_own_models_and_has_the_sign_of_the_text(base):
    models = {"red": tuned(base, RED), "blue": tuned(base, BLUE)}
    own = project_on_contrast(models["blue"], models["red"], base, models)
    assert own["projection"].to_list() == pytest.approx([1, -1], rel=1e-5)
    assert own["cosine"].to_list() == pytest.approx([1, -1], rel=1e-5)
    more = project_on_contrast(base, tuned(base, RED + " " + RED, 1), base, models)
    assert more["projection"][0] > 0 > more["projection"][1]
    assert more["low"].null_count() == 2
    none = project_on_contrast(base, base, base, models)
    assert none["projection"].to_list() == [0, 0]
    assert none["cosine"].null_count() == 2
    with pytest.raises(InputError, match="there is no bias direction"):
        project_on_contrast(base, base, base, {"red": base, "blue": base})


def test_models_of_different_shapes_have_no_update(base):
    config = ScratchConfig(layers=1, width=32, heads=2, vocabulary=300, context=128)
    with pytest.raises(InputError, match="same parameters"):
        difference(base, build_scratch_model(base.tokenizer, config, 0))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from([1, 2, 7, 300]),
    st.floats(0.01, 1.0),
    st.sampled_from([0.1, 1.0, 30.0]),
)
def test_the_nucleus_is_that_of_transformers(seed, vocabulary, top_p, spread):
    random = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(5, vocabulary, generator=random)
    expected = torch.isinf(TopPLogitsWarper(top_p)(torch.empty(5, 0), logits))
    assert torch.equal(outside_nucleus(logits, top_p), expected)


def test_equally_probable_tokens_are_all_inside():
    logits = torch.tensor([[2.0, 2.0, 2.0, -9.0]])
    assert outside_nucleus(logits, 0.5).tolist() == [[False, False, False, True]]


def test_log_odds_are_finite():
    assert log_odds(np.array([0.0, 0.5, 1.0])) == pytest.approx([-13.8155, 0, 13.8155], abs=1e-3)
