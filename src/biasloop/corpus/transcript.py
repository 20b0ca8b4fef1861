"""From a speech's transcript to what each speaker said.

What is taken out would give the party away (a speaker's name, who cheered at what) without being
anything that the speaker said: stage directions in brackets, the transcriber's notes in brackets,
lines of the audience, of announcers and narrators, and the name in front of a speaker's words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Voices that are no speaker's: an audience speaks for its own line only, the others until the
#: next name.
_AUDIENCE = re.compile(r"(AUDIENCE|CROWD|DELEGATES?)\b")
_NOT_SPEAKERS = re.compile(r"(ANNOUNCER|NARRATOR|MODERATOR|VOICEOVER|VIDEO)\b")

#: A name in capitals at the start of a line, up to a colon: ``DAN McCARTHY``, ``MARTIN O'MALLEY``,
#: ``JOE KENNEDY III``, ``LUDWIG van BEETHOVEN``, ``MR.``. A stray ``n`` is what some line break
#: left. A part has two capitals, or is a capital with a full stop, or a lower-case particle.
_CAPITALS = r"(?:Mc|Mac|De|Di|La|Le|Van|O['’])?[A-Z][A-Z.'’\-]*[A-Z.]"
_PARTICLE = r"(?:van|von|der|den|de|da|di|del|della|la|le|el|al|bin|ten|ter|y|e|zu)"
_SUFFIX = r"(?:Jr\.?|Sr\.?|II|III|IV|V)"
_NAME = re.compile(
    rf"\s*n?(?P<name>(?:{_PARTICLE}\s+)?{_CAPITALS}"
    rf"(?:,?\s+(?:{_CAPITALS}|[A-Z]\.?|{_PARTICLE}|{_SUFFIX}))*)\s*:(?!\d)\s*"
)

_BRACKETS = re.compile(r"\([^()\[\]]*\)|\[[^()\[\]]*\]")
#: The open half of a direction whose closing bracket the transcriber forgot, and the reverse.
_CUES = (
    r"(?:applause|cheers?|cheering|boos?|booing|jeers?|laugh(?:s|ter|ing)?|chuckles?|chant(?:s|ing)"
    r"|murmurs?|shouts?|shouting|inaudible)"
)
_UNCLOSED = re.compile(rf"[(\[](?:[^()\[\].]*\b{_CUES}\b[^().\[\]]*)(?:\.|$)", re.IGNORECASE)
_UNOPENED = re.compile(rf"(?:[\w]+,? ){{0,2}}\b{_CUES}\.?[)\]]", re.IGNORECASE)

_DASH = "—"


@dataclass(frozen=True)
class Speech:
    """What one speaker said in one transcript.

    Attributes
    ----------
    speaker
        The name as the transcript has it, in capitals; empty where it gives none (``MR. :``).
    text
        The speaker's own words, one paragraph a line.
    """

    speaker: str
    text: str


def _without_directions(line: str) -> str:
    previous = None
    while previous != line:
        previous, line = line, _BRACKETS.sub(" ", line)
    line = _UNOPENED.sub(" ", _UNCLOSED.sub(" ", line))
    return re.sub(r"[()\[\]]", " ", line)


def _tidy(line: str) -> str:
    """Close the gaps that a removal leaves: doubled spaces and dashes, a dash before a stop."""
    line = re.sub(r"\s+", " ", line.replace("--", _DASH)).strip()
    line = re.sub(rf"{_DASH}(?:\s*{_DASH})+", _DASH, line)
    line = re.sub(rf"\s*{_DASH}\s*(?=[,;:.!?])", "", line)
    line = re.sub(rf"\.\s*{_DASH}\s*(?=[a-z])", f" {_DASH} ", line)
    line = re.sub(r"\s+(?=[,;:.!?](?:\s|$))", "", line)
    line = re.sub(r"([,;:])(?:\s*[,;])+", r"\1", line)
    # "re- elect": the transcript's line breaks; but "small- and medium-sized" is English.
    line = re.sub(r"(\w\.?)- (?!(?:and|or|to|nor|but)\b)(\w)", r"\1-\2", line)
    line = re.sub(rf"^(?:[{_DASH},;:.]\s*)+", "", line)
    return re.sub(rf"\s*{_DASH}\s*", f" {_DASH} ", line).strip()


def _turns(transcript: str) -> list[tuple[str | None, str]]:
    """Split a transcript into lines with their speaker; null for those that are no speaker's."""
    speaker: str | None = ""
    turns: list[tuple[str | None, str]] = []
    for line in transcript.replace("\r", "\n").split("\n"):
        match = _NAME.match(line)
        if match is None:
            turns.append((speaker, line))
            continue
        name, words = re.sub(r"\s+", " ", match["name"]), line[match.end() :]
        if _AUDIENCE.match(name):
            turns.append((None, words))
            continue
        unnamed = re.fullmatch(r"(MR|MRS|MS|DR|MAN|WOMAN|MALE|FEMALE|SPEAKER|UNKNOWN)\.?", name)
        speaker = None if _NOT_SPEAKERS.match(name) else "" if unnamed else name
        turns.append((speaker, words))
    return turns


def _joined(lines: list[str]) -> str:
    """Put lines under each other, but mend a sentence that an interruption has cut in two."""
    text = ""
    for line in lines:
        if not text:
            text = re.sub(rf"^[{_DASH}\s]+", "", line)
        elif text.endswith(_DASH):
            text = f"{text} {line.lstrip(_DASH + ' ')}"
        else:
            text = f"{text}\n{line}"
    return re.sub(rf"\s*{_DASH}$", "", text)


def speeches(transcript: str) -> tuple[Speech, ...]:
    """Take a transcript apart into its speakers' own words.

    Parameters
    ----------
    transcript
        Paragraphs on lines; a change of speaker is a name in capitals and a colon.

    Returns
    -------
    tuple[Speech, ...]
        One for each speaker who says anything, in the order of their first words. Several unnamed
        speakers count as one. Text before the first name is an unnamed speaker's.
    """
    lines: dict[str, list[str]] = {}
    for speaker, line in _turns(transcript):
        if speaker is None:
            continue
        words = _tidy(_without_directions(line))
        if re.search(r"\w", words):
            lines.setdefault(speaker, []).append(words)
    return tuple(Speech(speaker, _joined(said)) for speaker, said in lines.items())
