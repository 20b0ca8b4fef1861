"""The damage is what was asked for, and the error rates and what corrects them are right."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop.errors import StoreError
from biasloop.metrics.damage import (
    PLACES,
    DamageCurve,
    Level,
    fit_curve,
    fit_domain,
    measure,
    shortened,
    unknown_words,
)
from biasloop.metrics.tokenization import words

LEVELS = (Level((10, float("inf")), (0.0, 0.2)), Level((5, 10), (0.0, 0.2)))


@pytest.fixture
def random():
    return np.random.default_rng(0)


def curve_with(rates, articles, random, sources=None):
    """Articles that are read by known error rates, shape (levels, labels, labels)."""
    labels = rates.shape[1]
    truth = np.arange(articles) % labels
    read = np.stack([[random.choice(labels, p=level[t]) for t in truth] for level in rates], axis=1)
    own = np.arange(articles) if sources is None else sources
    return DamageCurve(tuple("abc"[:labels]), LEVELS[: len(rates)], own, truth, read[..., None])


@given(
    st.integers(1, 60),
    st.floats(1, 40),
    st.floats(1.2, 3),
    st.integers(0, 99),
    st.sampled_from(PLACES),
)
def test_a_cut_is_a_piece_of_the_text_with_as_many_words(count, low, times, seed, place):
    text = " ".join(f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(count))
    cut = shortened(text, low, low * times, np.random.default_rng(seed), place)
    possible = any(low <= n < low * times for n in range(1, count + 1))
    assert (cut is not None) == possible
    if cut is not None:
        assert low <= len(words(cut)) < low * times
        assert cut in text
        assert place == "anywhere" or text.startswith(cut)


@given(st.integers(3, 60), st.floats(0, 0.9), st.floats(0.05, 0.3), st.integers(0, 99))
def test_as_many_words_are_made_unknown_as_were_asked_for(count, low, room, seed):
    known = frozenset(f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(count))
    text = " ".join(sorted(known) * 2)
    high = min(1.0, low + room)
    damaged = unknown_words(text, low, high, known, known, np.random.default_rng(seed))
    possible = [n for n in range(count + 1) if (low < n / count or low == 0) and n / count <= high]
    assert (damaged is not None) == bool(possible)
    if damaged is not None:
        types = set(words(damaged))
        share = len(types - known) / len(types)
        assert len(words(damaged)) == 2 * count
        assert low < share <= high or (low == 0 and share == 0)


def test_drawn_rates_of_articles_of_their_own_are_the_dirichlet_posterior(random):
    rates = np.array([[[0.8, 0.2], [0.3, 0.7]]])
    curve = curve_with(rates, 200, random)
    counts = curve.counts[0] + 0.5
    drawn = curve.drawn_rates(20_000, random)[:, 0]
    total = counts.sum(axis=1, keepdims=True)
    mean = counts / total
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=2e-3)
    expected = np.sqrt(mean * (1 - mean) / (total + 1))
    np.testing.assert_allclose(drawn.std(axis=0), expected, rtol=0.03)


def test_articles_of_one_source_that_err_alike_count_as_one(random):
    """Ten articles a source, all read alike: as sure as one article of each."""
    once = curve_with(np.array([[[0.8, 0.2], [0.3, 0.7]]]), 40, random)
    many = DamageCurve(
        once.labels,
        once.levels,
        np.repeat(once.sources, 10),
        np.repeat(once.truth, 10),
        np.repeat(once.read, 10, axis=0),
    )
    one, ten = (c.drawn_rates(20_000, random)[:, 0, 0, 0].std() for c in (once, many))
    assert ten == pytest.approx(one, rel=0.1)


def test_a_label_of_one_source_shows_nothing_of_others(random):
    rates = np.array([[[0.9, 0.1], [0.1, 0.9]]])
    curve = curve_with(rates, 400, random, sources=np.where(np.arange(400) % 2, 7, np.arange(400)))
    drawn = curve.drawn_rates(4000, random)[:, 0]
    assert drawn[:, 1, 1].std() > 0.2
    assert drawn[:, 0, 0].std() < 0.05
    assert curve.fewest_sources == 1
    assert not curve.readable[0]


def test_levels_that_rest_on_the_same_articles_are_drawn_together(random):
    curve = curve_with(np.array([[[0.8, 0.2], [0.3, 0.7]]]), 60, random)
    both = DamageCurve(
        curve.labels, LEVELS, curve.sources, curve.truth, np.repeat(curve.read, 2, axis=1)
    )
    drawn = both.drawn_rates(4000, random)[:, :, 0, 0]
    assert np.corrcoef(drawn.T)[0, 1] > 0.8


def test_error_rates_lie_between_those_of_the_places_and_no_place_is_preferred(random):
    """Places that differ by 0.4: a uniform mix has their mean and 0.4 / sqrt(12) for its spread."""
    start, anywhere = (
        curve_with(np.array([[[right, 1 - right], [0.1, 0.9]]]), 20_000, random)
        for right in (0.5, 0.9)
    )
    read = np.concatenate([start.read, anywhere.read], axis=2)
    both = DamageCurve(start.labels, start.levels, start.sources, start.truth, read)
    drawn = both.drawn_rates(4000, random)[:, 0]
    assert drawn[:, 0, 0].mean() == pytest.approx(0.7, abs=0.01)
    assert drawn[:, 0, 0].std() == pytest.approx(0.4 / np.sqrt(12), rel=0.05)
    assert drawn[:, 1, 1].std() < 0.01
    assert both.counts[0, 0, 0] == pytest.approx((start.counts + anywhere.counts)[0, 0, 0] / 2)


def test_error_rates_of_a_damaged_level_lie_up_to_half_way_to_its_neighbours(random):
    """Three steps of length, right in 0.9, 0.7 and 0.5; unknown words are of one step."""
    levels = tuple(Level(words, (0.0, 0.5)) for words in ((40, np.inf), (20, 40), (10, 20)))
    right = np.array([0.9, 0.7, 0.5])
    rates = np.array([[[share, 1 - share], [0.1, 0.9]] for share in right])
    found = [curve_with(rates[[level]], 20_000, random) for level in range(3)]
    read = np.concatenate([one.read for one in found], axis=1)
    curve = DamageCurve(found[0].labels, levels, found[0].sources, found[0].truth, read)
    drawn = curve.drawn_rates(4000, random)[:, :, 0, 0]
    assert drawn[:, 0].std() < 0.01  # as articles are
    np.testing.assert_allclose(drawn.min(axis=0)[1:], (0.6, 0.5), atol=0.02)
    np.testing.assert_allclose(drawn.max(axis=0)[1:], (0.8, 0.6), atol=0.02)
    assert drawn[:, 1].mean() == pytest.approx(0.7, abs=0.01)
    assert drawn[:, 1].std() == pytest.approx(0.2 / np.sqrt(12), rel=0.06)
    assert np.corrcoef(drawn[:, 1], drawn[:, 2])[0, 1] > 0.8


def test_what_readings_count_for_gives_the_shares_back(random):
    rates = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.3], [0.3, 0.7]]])
    counted = curve_with(rates, 4000, random).corrections(rates)
    share = np.array([0.35, 0.65])
    for level in range(2):
        np.testing.assert_allclose(share @ rates[level] @ counted[level], share)


def test_a_level_is_unreadable_where_labels_are_not_told_apart_and_so_is_every_worse_one(random):
    good, none = np.array([[0.9, 0.1], [0.1, 0.9]]), np.full((2, 2), 0.5)
    assert curve_with(np.stack([good, good]), 400, random).readable.tolist() == [True, True]
    assert curve_with(np.stack([good, none]), 400, random).readable.tolist() == [True, False]
    assert curve_with(np.stack([none, good]), 400, random).readable.tolist() == [False, False]
    assert curve_with(np.stack([good, good]), 16, random).readable.tolist() == [False, False]


def test_a_curve_comes_back_from_its_card(random):
    rates = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.3], [0.3, 0.7]]])
    once = curve_with(rates, 50, random)
    read = np.concatenate([once.read, once.read[::-1]], axis=2)
    curve = DamageCurve(once.labels, once.levels, once.sources, once.truth, read)
    curve.read[:20, 1, 0] = -1
    back = DamageCurve.from_json(json.loads(json.dumps(curve.to_json())))
    assert (back.labels, back.levels) == (curve.labels, curve.levels)
    np.testing.assert_array_equal(back.read, curve.read)
    np.testing.assert_array_equal(back.counts, curve.counts)
    np.testing.assert_array_equal(back.readable, curve.readable)
    with pytest.raises(StoreError, match="damage curve cannot be read"):
        DamageCurve.from_json({"labels": ["a"], "levels": []})


def test_no_article_is_read_by_a_classifier_that_has_seen_it_and_each_lies_where_it_was_put(
    corpus, random
):
    texts = corpus["body"].to_list()
    truth = np.array([0, 1] * (len(texts) // 2))
    folds = [np.arange(start, len(texts), 3) for start in range(3)]
    domain = fit_domain(texts, folds)
    asked = {0: [], 1: [], 2: []}

    def read(fold, versions):
        asked[fold] += versions
        return np.zeros(len(versions), dtype=int)

    curve = fit_curve(
        ("left", "right"), texts, truth, np.arange(len(texts)), domain, folds, read, 40, random
    )
    damaged = (curve.read >= 0).sum(axis=(1, 2)) > 2
    # An article as it is, is read once and counts at both places.
    assert sum(map(len, asked.values())) == (curve.read >= 0).sum() - len(texts)
    assert damaged.sum() == 40
    assert np.bincount(truth[damaged]).tolist() == [20, 20]
    for fold, versions in asked.items():
        known = frozenset(
            word
            for row, text in enumerate(texts)
            if row not in set(folds[fold].tolist())
            for word in words(text)
        )
        placed = domain.place(measure(versions, known))
        counted = np.bincount(placed, minlength=len(domain.levels))
        own = domain.place(measure([texts[row] for row in folds[fold]], known))
        once = np.bincount(own[own >= 0], minlength=len(domain.levels))
        there = (curve.read[folds[fold]] >= 0).sum(axis=(0, 2))
        assert counted.tolist() == (there - once).tolist()


def test_a_level_at_the_end_is_never_read_and_its_errors_count_for_the_one_before(random):
    """Both levels are told apart; right in 0.9 and 0.5 of the first label's articles."""
    rates = np.array([[[0.97, 0.03], [0.03, 0.97]], [[0.9, 0.1], [0.1, 0.9]], [[0.5, 0.5], [0, 1]]])
    found = [curve_with(rates[[level]], 20_000, random) for level in range(3)]
    read = np.concatenate([one.read for one in found], axis=1)
    steps = ((40, np.inf), (20, 40), (10, 20))

    def curve(end):
        levels = tuple(Level(words, (0.0, 0.5), end and words[0] == 10) for words in steps)
        return DamageCurve(found[0].labels, levels, found[0].sources, found[0].truth, read)

    assert curve(False).readable.all()
    assert curve(True).readable.tolist() == [True, True, False]
    drawn = curve(True).drawn_rates(4000, random)[:, 1, 0, 0]
    assert drawn.min() == pytest.approx((0.9 + 0.5) / 2, abs=0.02)
