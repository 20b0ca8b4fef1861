"""Swapped words, against a swap by hand and against themselves."""

import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop.config import parse_config
from biasloop.errors import InputError
from biasloop.regimes import make_regime
from biasloop.regimes.counterfactual import read_pairs, swapper
from biasloop.tables import ARTICLES

PAIRS = [("he", "she"), ("red", "blue"), ("Smith", "Jones")]


def made(**settings):
    return make_regime(
        parse_config({"regimes": [{"kind": "counterfactual", **settings}]}).regimes[0]
    )


def articles(*bodies):
    rows = [(f"a{i}", "On he", body, "x", "") for i, body in enumerate(bodies)]
    return pl.DataFrame(rows, schema=ARTICLES, orient="row")


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("He saw that she HE met.", "She saw that he SHE met."),
        ("the, he-man; theory of he", "the, she-man; theory of she"),
        ("Red redder red's _red_", "Blue redder blue's _red_"),
        ("Smith smith SMITH Jones", "Jones smith JONES Smith"),
        ("", ""),
    ],
)
def test_whole_words_are_swapped_and_keep_their_case(text, swapped):
    assert swapper(PAIRS)(text) == swapped


FORMS = ["he", "she", "He", "SHE", "red", "Blue", "the", "theory", "Smith", ",", "JONES"]


@given(st.lists(st.sampled_from(FORMS)))
def test_swapping_twice_is_not_swapping(words):
    text = " ".join(words)
    swap = swapper(PAIRS)
    assert swap(swap(text)) == text
    # By hand, word by word.
    table = {a: b for x, y in PAIRS for a, b in [(x, y), (y, x)]}
    table |= {a.capitalize(): b.capitalize() for a, b in table.items() if a.islower()}
    table |= {a.upper(): b.upper() for a, b in table.items()}
    assert swap(text) == " ".join(table.get(word, word) for word in words)


@given(st.integers(1, 60), st.floats(0.05, 1), st.integers(0, 50))
def test_each_article_is_swapped_whole_or_not_and_both_are_kept_where_asked(count, chance, seed):
    written = articles(*["he and red"] * count)
    random = np.random.default_rng(seed)
    one = made(pairs=PAIRS, probability=chance).training_set(written, {0: written}, random)
    assert set(one["body"]) <= {"he and red", "she and blue"}
    swapped = one.filter(body="she and blue")
    assert set(swapped["title"]) <= {"On she"}
    assert (np.random.default_rng(seed).random(count) < chance).sum() == swapped.height
    regime = made(pairs=PAIRS, probability=chance, keep_both=True)
    both = regime.training_set(written, {0: written}, np.random.default_rng(seed))
    assert both.height == count + swapped.height
    assert both.filter(body="he and red").height == count
    assert regime.expected_size(1, count) == pytest.approx(count * (1 + chance))


def test_a_pair_that_the_corpus_has_not_is_refused():
    corpus = articles("He is here.", "red")
    made(pairs=[["he", "she"], ["red", "blue"]]).check(corpus)
    with pytest.raises(
        InputError, match=r"'counterfactual': no article .* 'green' or 'pink' \(1 of"
    ):
        made(pairs=[["he", "she"], ["green", "pink"]]).check(corpus)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either pairs or a file"),
        ({"pairs": []}, "either pairs or a file"),
        ({"pairs": PAIRS, "file": "x"}, "either pairs or a file"),
        ({"pairs": [["a", "b"], ["c", "A"]]}, "'a' stands twice"),
        ({"pairs": [["a", "a"]]}, "'a' stands twice"),
        ({"pairs": [["a", ""]]}, "empty"),
        ({"pairs": [["a", "b", "c"]]}, r"regimes\.0\.pairs"),
        ({"pairs": PAIRS, "probability": 1.2}, r"regimes\.0\.probability"),
    ],
)
def test_lists_that_are_none_are_refused_when_the_config_is_read(settings, message):
    with pytest.raises(InputError, match=message):
        made(**settings)


def test_a_file_of_pairs(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text('he, she\n\n"red",blue\n')
    assert read_pairs(path) == [("he", "she"), ("red", "blue")]
    for text, message in [
        ("", "no pair"),
        ("a,b\nc\n", "pair 2 has 1 words"),
        ("a,b\nb,c\n", "'b' stands twice"),
    ]:
        path.write_text(text)
        with pytest.raises(InputError, match=re.escape(str(path)) + ".*" + message):
            read_pairs(path)
