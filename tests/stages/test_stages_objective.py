"""Weighted and anchored losses against torch's own, and what a training makes of them."""

from dataclasses import replace

import polars as pl
import pytest

from biasloop.config import ScratchConfig, TrainingConfig
from biasloop.device import Device
from biasloop.models.load import build_scratch_model, train_tokenizer
from biasloop.stages.finetune import finetune
from biasloop.stages.train import collate, step_loss
from biasloop.tables import ARTICLES

torch = pytest.importorskip("torch")

#: Of the third nothing is in the vocabulary but its letters, so any order has as many tokens.
TEXTS = ["red stone river market.", "blue school health union vote.", "q z q z"] * 4


def tables(seed=0, samples=3, length=6, vocabulary=11):
    generator = torch.Generator().manual_seed(seed)
    shape = (samples, length, vocabulary)
    logits, other = (torch.randn(shape, generator=generator) for _ in range(2))
    labels = torch.randint(0, vocabulary, (samples, length), generator=generator)
    labels[:, 0] = -100
    labels[1, 4:] = -100
    return logits, other, labels


def test_a_weighted_loss_is_the_weighted_sum_of_each_samples():
    logits, _, labels = tables()
    weights = torch.tensor([0.5, 2.0, 0.0])
    alone = torch.nn.functional.cross_entropy
    expected = sum(
        weight * alone(rows[:-1], own[1:], ignore_index=-100, reduction="sum")
        for weight, rows, own in zip(weights, logits, labels, strict=True)
    )
    assert torch.allclose(step_loss(logits, labels, weights, 13), expected / 13)
    even = step_loss(logits, labels, torch.ones(3))
    assert torch.allclose(even, alone(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()))


def test_the_penalty_is_the_divergence_from_the_anchor_over_predicted_tokens():
    logits, other, labels = tables(1)
    counted = labels[:, 1:] != -100
    ours, theirs = (x[:, :-1].softmax(-1).double() for x in (logits, other))
    divergence = (theirs * (theirs / ours).log()).sum(-1)[counted].mean()
    without = step_loss(logits, labels, torch.ones(3))
    penalised = step_loss(logits, labels, torch.ones(3), None, other, 0.7)
    assert (penalised - without).item() == pytest.approx(0.7 * divergence.item(), rel=1e-5)
    assert torch.allclose(step_loss(logits, labels, torch.ones(3), None, logits, 5.0), without)


@pytest.fixture(scope="module")
def made():
    sizes = {"layers": 1, "width": 16, "heads": 2, "vocabulary": 300, "context": 128}

    def model(seed=0):
        loaded = build_scratch_model(train_tokenizer(TEXTS[:2], 300), ScratchConfig(**sizes), seed)
        return replace(loaded, device=Device("cpu", "float32"))

    return model


def articles(weights=None):
    rows = [(f"a{i}", "", text, "x", "") for i, text in enumerate(TEXTS)]
    table = pl.DataFrame(rows, schema=ARTICLES, orient="row")
    return table if weights is None else table.with_columns(pl.Series("weight", weights))


TRAINING = TrainingConfig(epochs=2, batch_size=4, learning_rate=1e-2, samples="article")


def trained(loaded, table, **options):
    log = finetune(loaded, table, TRAINING, 3, **options)
    return log, torch.cat([p.data.flatten() for p in loaded.model.parameters()])


def test_equal_weights_train_as_none_do(made):
    plain, first = trained(made(), articles())
    weighed, second = trained(made(), articles([1.0] * len(TEXTS)))
    # Adam divides a gradient by its size: of one that is nothing but rounding, by next to nothing.
    assert (first - second).abs().median() < 1e-6
    assert plain.tokens == weighed.tokens
    assert weighed.losses == pytest.approx(plain.losses, rel=1e-4)


def test_an_article_of_weight_0_teaches_nothing_and_weights_follow_articles(made):
    ones = [1.0, 1.0, 0.0] * 4
    _, first = trained(made(), articles(ones))
    other = articles(ones).with_columns(
        pl.when(pl.col("weight") == 0).then(pl.lit("z q z q")).otherwise("body").alias("body")
    )
    _, second = trained(made(), other)
    assert torch.allclose(first, second, atol=1e-4)
    _, third = trained(made(), other.with_columns(weight=pl.lit(1.0)))
    assert (first - third).abs().max() > 1e-2


def test_a_strong_anchor_keeps_the_model_where_it_was(made):
    start = made()
    before = torch.cat([p.data.flatten() for p in start.model.parameters()])

    def drift(kl):
        anchor = made()
        loaded = made()
        trained(loaded, articles(), anchor=anchor, kl=kl)
        batch = collate([start.tokenizer(text)["input_ids"] for text in TEXTS[:3]], 0)
        with torch.no_grad():
            read = {name: batch[name] for name in ("input_ids", "attention_mask")}
            logits, other = loaded.model(**read).logits, anchor.model(**read).logits
        ones = torch.ones(3)
        both = [step_loss(logits, batch["labels"], ones, None, *more) for more in ((), (other, 1))]
        anchored = torch.cat([p.data.flatten() for p in anchor.model.parameters()])
        assert torch.equal(anchored, before)  # it is not trained
        return (both[1] - both[0]).item()

    free, held = drift(1e-9), drift(100.0)
    assert held < free / 3
