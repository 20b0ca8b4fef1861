"""The controls' forecast against an ideal model that is sampled by brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop.errors import InputError
from biasloop.theory import SHARPENED_REGIMES, sharpened, sharpening_path

TYPES = (20, 5)


class IdealModel:
    """Holds a word's exact frequency and writes articles word by word at a temperature."""

    def __init__(self, articles):
        self.frequency = np.bincount(articles, minlength=sum(TYPES)) / len(articles)

    def write(self, size, temperature, random):
        weights = np.exp(np.log(np.maximum(self.frequency, 1e-300)) / temperature)
        return random.choice(len(weights), size=size, p=weights / weights.sum())


def real_articles(size, random):
    label = random.random(size) < 0.5
    return np.where(
        label, TYPES[0] + random.integers(TYPES[1], size=size), random.integers(TYPES[0], size=size)
    )


def simulate(regime, fraction, temperature, generations, size=200_000):
    """Train on articles that are their first leaning word, and count."""
    random = np.random.default_rng(3)
    real = real_articles(size, random)
    written = [IdealModel(real).write(size, temperature, random)]
    for _ in range(generations):
        own = written[-1]
        if regime == "accumulation":
            own = np.concatenate([real, *written])
        elif regime == "preservation":
            own = np.concatenate([own, random.choice(real, size=round(fraction * size))])
        written.append(IdealModel(own).write(size, temperature, random))
    return np.array([np.mean(articles >= TYPES[0]) for articles in written])


@pytest.mark.parametrize("regime", SHARPENED_REGIMES)
@pytest.mark.parametrize("temperature", [0.75, 1.0])
def test_path_is_that_of_brute_force(regime, temperature):
    forecast = sharpening_path((0.5, 0.5), TYPES, temperature, 3, regime, 0.5)[:, 1]
    # Word frequencies of a finite set are uneven, and the chain carries that on: 200,000 articles.
    assert simulate(regime, 0.5, temperature, 3) == pytest.approx(forecast, abs=0.01)


def test_odds_by_hand():
    low, high = sharpened((0.5, 0.5), TYPES, 0.6)
    assert high / low == pytest.approx(4 ** (1 / 0.6 - 1))
    assert high == pytest.approx(0.716, abs=5e-4)


@given(
    st.lists(st.floats(0.01, 1), min_size=2, max_size=5),
    st.lists(st.integers(1, 50), min_size=5, max_size=5),
    st.floats(0.2, 3),
)
def test_sharpening_is_what_temperature_does_to_every_word(weights, counts, temperature):
    shares = np.array(weights) / sum(weights)
    types = counts[: len(shares)]
    words = np.repeat(shares / types, types) ** (1 / temperature)
    owner = np.repeat(np.arange(len(shares)), types)
    expected = np.bincount(owner, words / words.sum())
    assert sharpened(shares, types, temperature) == pytest.approx(expected)
    assert sharpened(shares, types, 1.0) == pytest.approx(shares)


def test_real_articles_hold_the_path():
    ends = {
        regime: sharpening_path((0.5, 0.5), TYPES, 0.75, 8, regime, 1.0)[-1, 1]
        for regime in SHARPENED_REGIMES
    }
    assert ends["synthetic"] == ends["overfitting"] > 0.99
    assert ends["preservation"] < 0.8
    assert ends["accumulation"] < ends["synthetic"] - 0.05


def test_a_leaning_that_is_gone_stays_gone():
    assert sharpening_path((1.0, 0.0), TYPES, 0.5, 3)[-1].tolist() == [1.0, 0.0]


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="temperature"):
        sharpened((0.5, 0.5), TYPES, 0.0)
    with pytest.raises(InputError, match="accumulation"):
        sharpening_path((0.5, 0.5), TYPES, 0.7, 2, "acumulation")
