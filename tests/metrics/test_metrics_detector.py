"""The detector of generated text: planted texts, whose odds are known."""

import numpy as np
import pytest

from biasloop.errors import InputError
from biasloop.metrics.detector import detect

WORDS = [f"word{letter}" for letter in "abcdefghijklmnop"]


def texts(random, count, shares):
    return [" ".join(random.choice(WORDS, 30, p=shares)) for _ in range(count)]


def tilted(slope):
    shares = np.exp(slope * np.linspace(-1, 1, len(WORDS)))
    return shares / shares.sum()


def test_equal_texts_cannot_be_told_apart_and_no_article_is_read_by_what_it_trained():
    random = np.random.default_rng(0)
    real, generated = texts(random, 80, tilted(0)), texts(random, 80, tilted(0))
    found = detect(real, generated, [f"p{i}" for i in range(80)], seed=1)
    assert abs(found.auc - 0.5) < 0.12  # in sample it would be near 1
    assert np.ptp(found.human) < 0.35
    again = detect(real, generated, [f"p{i}" for i in range(80)], seed=1)
    assert np.array_equal(found.human, again.human)


def test_the_odds_are_those_that_were_planted():
    random = np.random.default_rng(2)
    real, generated = texts(random, 200, tilted(0.3)), texts(random, 200, tilted(-0.3))
    found = detect(real, generated, [f"p{i}" for i in range(200)], seed=0)
    ratio = np.log(tilted(0.3) / tilted(-0.3))
    truth, of_real = (
        np.array([sum(ratio[WORDS.index(word)] for word in text.split()) for text in own])
        for own in (generated, real)
    )
    read = np.log(found.human / (1 - found.human))
    assert np.corrcoef(truth, read)[0, 1] > 0.8
    slope = np.polyfit(read, truth, 1)[0]
    assert 0.6 < slope < 1.4
    best = (of_real[:, None] > truth).mean()  # of any detector, by Neyman and Pearson
    assert best - 0.08 < found.auc < best + 0.02
    assert found.taken_for_human == (found.human > 0.5).mean()
    assert (found.real, found.generated) == (200, 200)


def test_samples_of_one_prompt_are_held_out_together():
    random = np.random.default_rng(3)
    # Ten prompts, ten copies each, of noise: with a copy in training, a text would be known.
    generated = [text for text in texts(random, 10, tilted(0)) for _ in range(10)]
    real = texts(random, 100, tilted(0))
    prompts = [f"p{i // 10}" for i in range(100)]
    apart = detect(real, generated, prompts, seed=0)
    leaking = detect(real, generated, [f"p{i}" for i in range(100)], seed=0)
    assert leaking.auc > 0.95
    assert apart.auc < 0.8


def test_length_is_no_sign_and_too_few_articles_are_refused():
    random = np.random.default_rng(4)
    real = [" ".join(random.choice(WORDS, 300)) for _ in range(60)]
    generated = texts(random, 60, tilted(0))
    assert abs(detect(real, generated, [f"p{i}" for i in range(60)], seed=0).auc - 0.5) < 0.15
    with pytest.raises(InputError, match=r"needs more articles: there are 60 real ones .* and 1"):
        detect(real, generated[:1], ["p"], seed=0)
    with pytest.raises(InputError, match="0 real ones"):
        detect([], generated, [f"p{i}" for i in range(60)], seed=0)
