"""Regimes that choose articles by what the instruments read, each against brute force."""

from collections import Counter
from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop.config import parse_config
from biasloop.errors import InputError
from biasloop.regimes import make_regime
from biasloop.regimes.balanced import _rounded
from biasloop.regimes.reweighted import importance_weights
from biasloop.tables import ARTICLES


def articles(tag: str, **readings: list) -> pl.DataFrame:
    count = len(next(iter(readings.values())))
    texts = {name: [f"{tag}-{i}" for i in range(count)] for name in ARTICLES}
    kinds = {name: pl.String if name == "leaning" else pl.Float64 for name in readings}
    return pl.DataFrame(texts | readings, schema={**ARTICLES, **kinds})


def chosen(kind: str, written: pl.DataFrame, real: pl.DataFrame | None = None, **settings):
    regime = make_regime(parse_config({"regimes": [{"kind": kind, **settings}]}).regimes[0])
    assert set(regime.metrics()) <= set(written.columns)
    return regime.training_set(
        written if real is None else real, {0: written}, np.random.default_rng(1)
    )


readings = st.lists(st.sampled_from("abc"), min_size=3, max_size=40)
numbers = st.lists(st.none() | st.floats(0, 3), min_size=1, max_size=30)


@given(readings, readings)
def test_balanced_has_the_real_shares_to_within_an_article(written, real):
    if not set(real) <= set(written):
        with pytest.raises(InputError, match="wrote none"):
            chosen("balanced", articles("w", leaning=[*"abc"][:1] * 3),
                   articles("r", leaning=[*"abc"] * 3))  # fmt: skip
        return
    table = chosen("balanced", articles("w", leaning=written), articles("r", leaning=real))
    found, wanted, there = Counter(table["leaning"]), Counter(real), Counter(written)
    assert table.height == len(written)
    for leaning in set(written) | set(real):
        share = len(written) * wanted[leaning] / len(real)
        assert abs(found[leaning] - share) < 1
        own = Counter(table.filter(leaning=leaning)["article_id"])
        if found[leaning] <= there[leaning]:  # none twice where there are enough
            assert set(own.values()) <= {1}


@given(st.floats(0.01, 1), st.integers(1, 30), st.integers(1, 30))
def test_the_strength_goes_from_the_shares_as_written_to_the_real_ones(strength, a, b):
    written = articles("w", leaning=["a"] * a + ["b"] * b)
    real = articles("r", leaning=["a"] * 10 + ["b"] * 10)
    table = chosen("balanced", written, real, strength=strength)
    mixed = (1 - strength) * a / (a + b) + strength * 0.5
    assert abs((table["leaning"] == "a").sum() - mixed * (a + b)) <= 0.5 + 1e-6


def test_balanced_leaves_out_what_was_not_read():
    written = articles("w", leaning=["a", None, "b", None])
    table = chosen("balanced", written, articles("r", leaning=["a", "b"]))
    assert sorted(table["leaning"]) == ["a", "a", "b", "b"]
    with pytest.raises(InputError, match="no article has a leaning"):
        chosen("balanced", articles("w", leaning=[None]), articles("r", leaning=["a"]))


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=4), st.integers(1, 12))
def test_rounding_is_nearest_of_all_that_add_up(weights, total):
    shares = np.array(weights) / sum(weights)
    counts = np.array(_rounded(shares, total))
    every = [c for c in product(range(total + 1), repeat=len(weights)) if sum(c) == total]
    nearest = min(((np.array(c) - shares * total) ** 2).sum() for c in every)
    assert counts.sum() == total
    assert ((counts - shares * total) ** 2).sum() == pytest.approx(nearest, abs=1e-6)


@given(numbers, st.floats(0.1, 3), st.floats(0, 1.4), st.floats(1.5, 3))
def test_verified_keeps_exactly_what_is_within_its_bounds(quality, least, low, high):
    perplexity = quality[::-1]
    written = articles("w", quality=quality, perplexity=perplexity)
    pairs = enumerate(zip(quality, perplexity, strict=True))
    by_hand = [
        f"w-{i}" for i, (q, p) in pairs
        if q is not None and p is not None and q >= least and low <= p <= high
    ]  # fmt: skip
    bounds = {"quality": least, "perplexity": [low, high]}
    if by_hand:
        assert chosen("verified", written, **bounds)["article_id"].to_list() == by_hand
    else:
        with pytest.raises(InputError, match=f"of the {len(quality)} articles .* none is accepted"):
            chosen("verified", written, **bounds)


@given(numbers, st.floats(0.01, 0.99))
def test_surprise_drops_exactly_the_least_surprising(perplexity, drop):
    table = chosen("surprise", articles("w", perplexity=perplexity), drop=drop)
    size = max(1, len(perplexity) - int(drop * len(perplexity)))
    values = [-1.0 if p is None else p for p in perplexity]
    places = sorted(sorted(range(len(values)), key=lambda i: (-values[i], i))[:size])
    assert table["article_id"].to_list() == [f"w-{i}" for i in places]


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=40), st.floats(0.05, 1))
def test_the_detector_resamples_by_the_odds_each_article_as_often_as_its_weight(human, strength):
    table = chosen("detector", articles("w", human=human), strength=strength)
    limited = np.clip(human, 0.01, 0.99)
    weights = (limited / (1 - limited)) ** strength
    expected = weights / weights.mean()
    counts = Counter(table["article_id"])
    for place, weight in enumerate(expected):
        assert np.floor(weight - 1e-9) <= counts[f"w-{place}"] <= np.ceil(weight + 1e-9)
    assert table.height == len(human)


def test_the_detector_leaves_articles_that_are_alike_as_they_are():
    written = articles("w", human=[0.3] * 17)
    assert chosen("detector", written).equals(written)


@given(
    st.integers(0, 10_000),
    st.integers(2, 4),
    st.floats(0.05, 1),
)
def test_importance_weights_make_the_expected_shares_the_real_ones(seed, labels, strength):
    random = np.random.default_rng(seed)
    written, real = random.dirichlet([5] * labels, 2)
    rates = 0.7 * np.eye(labels) + 0.3 * random.dirichlet([1] * labels, labels)
    weights = importance_weights(written @ rates, rates, real, strength, clip=1e6)
    wanted = (1 - strength) * written + strength * real
    if (np.linalg.solve(rates, wanted / written) > 1e-6).all():
        assert written * (rates @ weights) == pytest.approx(wanted)
    clipped = importance_weights(written @ rates, rates, real, strength, clip=1.5)
    assert ((clipped >= 1 / 1.5) & (clipped <= 1.5)).all()
    # Without errors a weight is the real share over the written one.
    plain = importance_weights(written, np.eye(labels), real, 1.0, clip=1e6)
    assert plain == pytest.approx(real / written)


def test_reweighted_undoes_a_planted_shift_that_is_read_with_errors():
    def read(a, b):
        """Of 10 that are a, 9 are read as a; of 4 that are b, 3 as b."""
        return ["a"] * (a * 9 // 10) + ["b"] * (a // 10) + ["a"] * (b // 4) + ["b"] * (b * 3 // 4)

    real = articles("r", leaning=read(60, 60)).with_columns(
        pl.Series("label", ["a"] * 60 + ["b"] * 60)
    )
    written = articles("w", leaning=read(120, 280))  # 30 % are a, 44 % are read as a
    truth = pl.Series(["a"] * 120 + ["b"] * 280)
    for strength, wanted in ((1.0, 0.5), (0.5, 0.4)):
        table = chosen("reweighted", written, real, strength=strength)
        weights = table["weight"]
        assert weights.mean() == pytest.approx(1)
        assert weights.filter(truth == "a").sum() / 400 == pytest.approx(wanted)


def test_reweighted_refuses_what_it_cannot_weigh_by():
    real = articles("r", leaning=[*"abab"]).with_columns(pl.Series("label", [*"aabb"]))
    with pytest.raises(InputError, match=r"does not tell the leanings .* 4 real articles apart"):
        chosen("reweighted", articles("w", leaning=[*"ab"]), real)
    real = articles("r", leaning=[*"aabb"]).with_columns(pl.Series("label", [*"aabb"]))
    with pytest.raises(InputError, match=r"was read as .b.*What is finished is kept"):
        chosen("reweighted", articles("w", leaning=["a", "a", None]), real)
    table = chosen("reweighted", articles("w", leaning=["a", "a", "b", None]), real)
    assert table["weight"].to_list() == pytest.approx([0.75, 0.75, 1.5, 1.0])


@pytest.mark.parametrize(
    ("regime", "names", "message"),
    [
        ({"kind": "balanced"}, ["quality"], "'balanced' chooses articles by leaning.*add"),
        ({"kind": "verified"}, ["leaning"], "add 'quality' to it"),
        ({"kind": "verified", "quality": None, "perplexity": [1, 9]}, ["quality"], "by perplexity"),
        ({"kind": "surprise", "name": "odd"}, ["quality"], "'odd' chooses articles by perplexity"),
        ({"kind": "verified", "quality": None}, ["quality"], "set quality, perplexity or both"),
        ({"kind": "verified", "perplexity": [9, 1]}, None, "the lowest first"),
        ({"kind": "verified", "quality": 3.5}, ["quality"], "regimes.0.quality"),
        ({"kind": "surprise", "drop": 1}, None, "regimes.0.drop"),
        ({"kind": "balanced", "strength": 1.5}, None, "regimes.0.strength"),
        ({"kind": "detector", "strength": 1.1}, None, "regimes.0.strength"),
        ({"kind": "reweighted", "clip": 1}, None, "regimes.0.clip"),
        ({"kind": "reweighted"}, ["quality"], "'reweighted' chooses articles by leaning"),
        ({"kind": "anchored", "kl": 0}, None, "anchored holds to nothing"),
        ({"kind": "anchored", "interpolate": 1}, None, "regimes.0.interpolate"),
        ({"kind": "anchored", "to": "real"}, None, "regimes.0.to"),
    ],
)  # fmt: skip
def test_a_regime_that_cannot_choose_is_refused_when_the_config_is_read(regime, names, message):
    values = {"regimes": [regime]} | ({"metrics": {"names": names}} if names else {})
    with pytest.raises(InputError, match=message):
        parse_config(values)
