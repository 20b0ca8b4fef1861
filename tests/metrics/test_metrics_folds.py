"""Folds: every row once, sources never on both sides, and None where that cannot be."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from biasloop.metrics.evaluation import LEAST_TRAINING, by_article, by_source, group_ids


@given(st.integers(0, 999), st.integers(2, 4), st.integers(2, 6))
def test_articles_are_each_held_out_once(seed, labels, folds):
    truth = np.random.default_rng(seed).permutation(np.arange(40) % labels)
    parts = by_article(truth, folds, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(40))
    for part in parts:
        assert set(np.delete(truth, part)) == set(range(labels))


@given(st.integers(0, 999), st.integers(1, 8))
def test_a_source_is_on_one_side_only(seed, sources):
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=50)
    groups = truth * 100 + rng.integers(sources, size=50)
    parts = by_source(truth, groups, 5, seed)
    if parts is None:
        return
    assert sorted(np.concatenate(parts).tolist()) == list(range(50))
    for part in parts:
        assert not set(groups[part]) & set(np.delete(groups, part))
        assert np.bincount(np.delete(truth, part), minlength=2).min() >= LEAST_TRAINING


def test_a_source_that_is_nearly_a_whole_label_cannot_be_held_out():
    truth = np.array([0] * 10 + [1] * 10)
    groups = np.array([0] * 9 + [1] + [2, 3] * 5)
    assert by_source(truth, groups, 5, 0) is None


def test_one_source_per_label_cannot_be_held_out():
    truth = np.array([0, 1] * 10)
    assert by_source(truth, truth, 5, 0) is None


def test_two_sources_per_label_can():
    truth = np.array([0, 1] * 10)
    groups = truth * 2 + np.arange(20) // 10
    assert by_source(truth, groups, 5, 0) is not None


def test_an_article_without_a_source_is_its_own():
    groups = group_ids(["x", "", "x", "", None])
    assert groups[0] == groups[2]
    assert len(set(groups.tolist())) == 4


def test_folds_are_those_of_the_seed():
    truth = np.arange(30) % 2
    same = [by_article(truth, 5, 3), by_article(truth, 5, 3)]
    assert all(np.array_equal(a, b) for a, b in zip(*same, strict=True))
    assert not np.array_equal(by_article(truth, 5, 4)[0], same[0][0])
