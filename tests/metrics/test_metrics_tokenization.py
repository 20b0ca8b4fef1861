"""Words, sentences and n-grams: closed cases, brute force, and any text at all."""

from hypothesis import given
from hypothesis import strategies as st

from biasloop.metrics.tokenization import (
    cut,
    distinct,
    interned,
    ngrams,
    read_once,
    repetition,
    sentences,
    tokens,
    words,
)


def test_words_are_lower_case_without_punctuation():
    assert words("Don't STOP, the U.S. spent 1,000.5 dollars!") == [
        "don't", "stop", "the", "u", "s", "spent", "1,000.5", "dollars",
    ]  # fmt: skip


def test_interned_words_are_the_same_objects():
    one, other = interned(words("It is is")), interned(words("is it"))
    assert one == ["it", "is", "is"]
    assert one[1] is one[2] is other[0]


def test_tokens_keep_case_and_marks():
    assert tokens("Well, no.") == ["Well", ",", "no", "."]


def test_sentences_end_at_marks_and_empty_lines_only():
    text = 'Mr. Smith of the U.S. Senate spoke. He said "no." Did he?! Yes…\n\nNew\nline'
    assert sentences(text) == [
        "Mr. Smith of the U.S. Senate spoke.",
        'He said "no."',
        "Did he?!",
        "Yes…",
        "New\nline",
    ]


def test_text_without_an_end_is_one_sentence_and_blanks_are_none():
    assert sentences("so it goes on and on") == ["so it goes on and on"]
    assert sentences(" \n \n ") == []


def test_a_decimal_point_ends_nothing():
    assert sentences("It rose by 2.5 points. Good.") == ["It rose by 2.5 points.", "Good."]


def test_a_long_run_of_marks_is_read_in_one_pass():
    # Quadratic matching would take hours here.
    assert len(sentences("." * 1_000_000 + "x")) == 1
    assert len(sentences("a. " * 300_000)) == 1  # initials, all of them


@given(st.text())
def test_no_text_is_lost_between_sentences(text):
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


@given(st.text(), st.integers(1, 20))
def test_cut_keeps_the_first_words(text, limit):
    assert cut(text, limit).split() == _blank_separated(text)[:limit]
    assert text.startswith(cut(text, limit))


def _blank_separated(text):
    import re

    return re.findall(r"\S+", text)


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 4))
def test_distinct_and_repetition_by_brute_force(items, order):
    grams = [tuple(items[i : i + order]) for i in range(len(items) - order + 1)]
    assert ngrams(items, order) == grams
    if not grams:
        assert distinct(items, order) is None
        assert repetition(items, order) is None
        return
    repeats = sum(gram in grams[:i] for i, gram in enumerate(grams))
    assert repetition(items, order) == 1.0 - distinct(items, order)
    assert abs(repetition(items, order) - repeats / len(grams)) < 1e-12


@given(st.lists(st.sampled_from("abcdefgh"), min_size=4, max_size=12, unique=True), st.data())
def test_a_loop_is_left_with_one_round(round_, data):
    """Whatever its period and wherever it breaks off, with and without sentence ends."""
    words_ = data.draw(st.integers(len(round_), 60))
    looped = [round_[i % len(round_)] for i in range(words_)]
    assert read_once(" ".join(looped)).split()[: len(round_)] == round_
    assert len(read_once(" ".join(looped)).split()) <= len(round_) + 3
    sentence = " ".join(round_).capitalize() + "."
    assert read_once(" ".join([sentence] * 5)) == sentence


def test_short_loops_and_variations():
    assert read_once("I'm here. I'm here. I'M HERE! So.") == "I'm here. So."
    assert read_once("no no no no no no no") == "no no no no"
    assert read_once("a b a b a b a b a b") == "a b a b"
    said = "we will fight for you and we will fight for them"
    assert read_once(said) == "we will fight for you and them"


@given(st.text(max_size=300))
def test_what_is_read_once_is_in_the_text_and_a_text_without_repeats_is_itself(text):
    kept = read_once(text).split()
    rest = iter(text.split())
    assert all(piece in rest for piece in kept)
    unlike = " ".join(f"{piece}{i}" for i, piece in enumerate(text.split()))
    assert read_once(unlike) == unlike
