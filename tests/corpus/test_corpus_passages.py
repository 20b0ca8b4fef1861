import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop.corpus.conventions import passages, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One. ", "Two! ", "Three? ", "Four"]),
        ("Mr. Smith of Washington, D.C. was here. Yes.", [
            "Mr. Smith of Washington, D.C. was here. ", "Yes."]),
        ('He said, "Go." We went.', ['He said, "Go." ', "We went."]),
        ("Really? yes, really.", ["Really? yes, really."]),
        ("First line\nsecond line. Third", ["First line\n", "second line. ", "Third"]),
        ("$2.5 billion. 10 years.", ["$2.5 billion. ", "10 years."]),
        ("", []),
    ],
)  # fmt: skip
def test_sentences(text, expected):
    assert sentences(text) == expected


@given(st.text(alphabet='Ab. !?"\n\x0b\x85  1', max_size=80))
def test_sentences_put_together_are_the_text(text):
    assert "".join(sentences(text)) == text


def sentence_text(lengths):
    return " ".join(" ".join(["word"] * (n - 1) + ["end."]).capitalize() for n in lengths)


LENGTHS = st.lists(st.integers(1, 12), max_size=60)


@given(LENGTHS, st.integers(20, 60))
def test_lengths_and_completeness(lengths, words):
    text = sentence_text(lengths)
    found = passages(text, words)
    if 2 * sum(lengths) < words:
        assert found == []
        return
    assert [word for passage in found for word in passage.split()] == text.split()
    sizes = [len(passage.split()) for passage in found]
    # With sentences of at most 12 words the nearest sentence end is at most 6 words off.
    assert all(abs(size - words) <= 6 for size in sizes[:-1])
    assert 2 * sizes[-1] >= words
    assert sizes[-1] < 1.5 * words + 6
    assert all(passage.lower().endswith("end.") for passage in found)


def test_the_remainder_joins_the_one_before_below_half_a_passage_only():
    ten = [10] * 10  # 100 words
    assert [len(p.split()) for p in passages(sentence_text([*ten, 10, 10]), 50)] == [50, 70]
    assert [len(p.split()) for p in passages(sentence_text([*ten, 10, 15]), 50)] == [50, 50, 25]


def test_half_a_passage_is_the_least():
    assert passages(sentence_text([12, 12]), 50) == []
    assert len(passages(sentence_text([12, 13]), 50)) == 1


def test_a_sentence_longer_than_a_passage_stays_whole():
    assert [len(p.split()) for p in passages(sentence_text([30, 120, 30]), 40)] == [30, 120, 30]


def test_lines_are_kept():
    assert passages("One two three.\nFour five six.", 6) == ["One two three.\nFour five six."]
