import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop.corpus.conventions import Speech, speeches


def only(transcript: str) -> str:
    (speech,) = speeches(transcript)
    return speech.text


def test_names_directions_and_other_voices_are_taken_out():
    transcript = (
        '(Music: "Some Song.")\n(Cheers, applause.)\n'
        "ANNOUNCER: Ladies and gentlemen, the first speaker.\nPlease welcome her.\n"
        "MAYA EXAMPLE-NG: Thank you. (Sustained cheers, applause.) Good evening.\n"
        "We will build — (applause) — we will build roads.\n"
        "AUDIENCE MEMBERS: (Chanting.) Build more! Build more!\n"
        "And bridges.\n"
        "MR. : I have a question.\n"
        "MAYA EXAMPLE-NG: (Off mic.) Yes?\n"
        "(Cheers, applause.)"
    )
    assert speeches(transcript) == (
        Speech(
            "MAYA EXAMPLE-NG",
            "Thank you. Good evening.\nWe will build — we will build roads.\nAnd bridges.\nYes?",
        ),
        Speech("", "I have a question."),
    )


@pytest.mark.parametrize(
    "name",
    [
        "BARACK EXAMPLE",
        "MARTIN O'EXAMPLE",
        "DAN McEXAMPLE",
        "JOE EXAMPLE III",
        "JOE EXAMPLE, Jr.",
        "G.K. EXAMPLE",
        "GEORGE H.W. EXAMPLE",
        "LUDWIG van EXAMPLE",
        "MAYA SOETORO-EXAMPLE",
        "CHRISTOPHER VAN EXAMPLE",
        "X. Y. EXAMPLE",
        "YO EXAMPLE",
    ],
)
def test_every_form_of_name_is_found(name):
    assert speeches(f"{name}: Hello there.") == (Speech(name, "Hello there."),)
    assert speeches(f"(Applause.)\n\xa0n{name} : Hello there.") == (Speech(name, "Hello there."),)


@pytest.mark.parametrize(
    "line",
    [
        "I say this: we are ready.",
        "And the USA: it is ours.",
        "A congressman said: no.",
        "One word: NO.",
        "At 6:00 we meet.",
        "I: that is me.",
        "GM built it. Now listen: it works.",
    ],
)
def test_a_sentence_with_a_colon_is_no_name(line):
    assert only(f"JO EXAMPLE: Hello.\n{line}") == f"Hello.\n{line}"


def test_an_audience_speaks_for_its_line_only_but_a_narrator_until_the_next_name():
    transcript = "ANN ONE: A.\nAUDIENCE MEMBER: No!\nB.\nNARRATOR: C.\nD.\nANN ONE: E."
    assert speeches(transcript) == (Speech("ANN ONE", "A.\nB.\nE."),)


def test_each_speaker_keeps_only_own_words():
    transcript = "ANN ONE: A.\nBOB TWO: B.\nANN ONE: C.\nBOB TWO: (Laughter.)\nCARL THREE: (ph)"
    assert speeches(transcript) == (Speech("ANN ONE", "A.\nC."), Speech("BOB TWO", "B."))


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("the roads — (cheers, applause) — and bridges", "the roads — and bridges"),
        ("the roads --(cheers) — and bridges", "the roads — and bridges"),
        ("the city — (applause); and more", "the city; and more"),
        ("ready — (cheers.)", "ready"),
        ("of gas alone. (Cheers, applause.\nAnd yes.", "of gas alone.\nAnd yes."),
        ("will do — applause) — now by", "will do — now by"),
        ("America. (Cheers, applause.", "America."),
        ("Medium (sic) income, 10 million (dollars), up", "Medium income, 10 million, up"),
        ("We want (Clint/Mitt ?)! We want", "We want! We want"),
        ("[Applause] Thank you (laughter).", "Thank you."),
        ("a (b (applause) c) d", "a d"),
        ("(Inaudible) — there. Thank you.", "there. Thank you."),
        ("the efforts. — (cheers) — and then", "the efforts — and then"),
        ("to re- elect the U.S.- led co- chairs", "to re-elect the U.S.-led co-chairs"),
        ("small- and medium-sized, 12- to 14-hour", "small- and medium-sized, 12- to 14-hour"),
        ("a\xa0 b\t c", "a b c"),
        ("better —\nAUDIENCE MEMBER: No!\nJO EXAMPLE: — or worse.", "better — or worse."),
        (
            "In town —\nAUDIENCE MEMBERS: Hey!\nJO EXAMPLE: In town — here.",
            "In town — In town — here.",
        ),
    ],
)
def test_what_a_removal_leaves_is_tidied(given_text, expected):
    assert only(f"JO EXAMPLE: {given_text}") == expected


@pytest.mark.parametrize("transcript", ["", "\n\n", "(Cheers, applause.)", "AUDIENCE: Hey!", ":"])
def test_nothing_said_is_no_speech(transcript):
    assert speeches(transcript) == ()


def test_text_before_any_name_is_an_unnamed_speaker_s():
    assert speeches("Hello.\nJO EXAMPLE: Hi.") == (
        Speech("", "Hello."),
        Speech("JO EXAMPLE", "Hi."),
    )


WORDS = st.lists(st.sampled_from(["we", "are", "here", "tonight", "—", "10"]), min_size=1)
CUE = st.sampled_from(["(Cheers, applause.)", "(laughter)", "(sp)", "[Video plays.]", "(made ?)"])
NAMES = st.sampled_from(["ANN ONE", "BOB O'TWO", "DAN McTHREE", "AUDIENCE MEMBERS", "MS. "])


@given(st.lists(st.tuples(NAMES, st.lists(st.one_of(WORDS.map(" ".join), CUE), min_size=1))))
def test_no_word_is_lost_and_no_direction_stays(turns):
    transcript = "\n".join(f"{name}: {' '.join(parts)}" for name, parts in turns)
    found = {speech.speaker: speech.text for speech in speeches(transcript)}
    for name in {name for name, _ in turns}:
        spoken = [
            word
            for other, parts in turns
            if other == name
            for part in parts
            if part[0] not in "(["
            for word in part.split()
            if word != "—"
        ]
        key = "" if name == "MS. " else name
        if name == "AUDIENCE MEMBERS":
            assert name not in found
        else:
            assert re.findall(r"\w+", found.get(key, "")) == spoken
    for text in found.values():
        assert not re.search(r"[()\[\]]|— —|  |^—|—$", text)


@given(st.text(alphabet="AB:.()[]—- \n\x00\ud800'nMcé", max_size=60))
def test_no_text_breaks_it(transcript):
    for speech in speeches(transcript):
        assert speech.text.strip()
        assert not re.search(r"[()\[\]]", speech.text)
