"""Corruptions: each changes what it says it changes."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop.metrics import quality_classifier as corruption
from biasloop.metrics.quality_classifier import CLEAN, MILD, NOISE, SALAD, Pool, corrupt, examples

POOL = Pool(["the people of this nation know that the people decide.", "we will build it."])
WORDS = st.lists(st.text("abcdefg", min_size=1, max_size=6), min_size=4, max_size=20)


def _rng(seed=0):
    return np.random.default_rng(seed)


@given(WORDS, st.integers(0, 999))
def test_what_each_corruption_keeps(words, seed):
    assert Counter(corruption.shuffled(words, POOL, _rng(seed))) == Counter(words)
    assert set(corruption.drawn(words, POOL, _rng(seed))) <= set(POOL.words)
    assert len(corruption.drawn(words, POOL, _rng(seed))) == len(words)
    scrambled = corruption.scrambled(words, POOL, _rng(seed))
    assert [sorted(a) for a in scrambled] == [sorted(b) for b in words]
    assert [len(w) for w in corruption.mashed(words, POOL, _rng(seed))] == [len(w) for w in words]
    assert set(corruption.looped(words, POOL, _rng(seed))) <= set(words)
    assert len(corruption.stuttered(words, POOL, _rng(seed))) > len(words)
    misspelt = corruption.misspelt(words, POOL, _rng(seed))
    assert sum(a != b for a, b in zip(words, misspelt, strict=True)) <= (len(words) + 1) // 2
    assert set(corruption.edited(words, POOL, _rng(seed))) <= set(words) | set(POOL.words)


@given(st.integers(0, 999))
def test_a_chain_has_only_pairs_of_the_corpus(seed):
    result = corruption.chained(["the", "people", "know", "this", "nation"], POOL, _rng(seed))
    for word, follower in itertools.pairwise(result):
        assert follower in POOL.followers.get(word, POOL.words)


def test_the_end_of_a_sentence_stays():
    assert corrupt('They said "go on now!"', corruption.shuffled, POOL, _rng()).endswith('!"')


def test_an_article_gives_every_grade_where_it_can():
    article = ["We will build it together now.", "Yes.", "The people of this nation decide."] * 8
    made = examples(article, POOL, _rng())
    clean = [example for example in made if example.grade == CLEAN]
    assert [(e.place, e.sentence) for e in clean] == list(enumerate(article))
    corrupted = [e for e in made if e.grade != CLEAN]
    assert "Yes." not in {e.sentence for e in corrupted}
    for grade in (NOISE, SALAD, MILD):
        assert sum(e.grade == grade and not e.repeats for e in made) == 16
    repeated = [e for e in made if e.repeats]
    assert {(e.grade, e.repeats == 1) for e in repeated} == {(MILD, True), (SALAD, False)}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_seed_decides(seed):
    article = ["We will build it together now."] * 10
    assert examples(article, POOL, _rng(seed)) == examples(article, POOL, _rng(seed))
    assert examples(article, POOL, _rng(seed)) != examples(article, POOL, _rng(seed + 1))
