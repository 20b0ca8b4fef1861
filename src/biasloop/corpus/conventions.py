"""The built-in corpus: passages of US convention speeches, 2012, with whose speech each is from.

What is taken out of a transcript would give the party away (a speaker's name, who cheered at what)
without being anything that the speaker said: stage directions and the transcriber's notes in
brackets, lines of the audience, of announcers and narrators, and the name in front of a speaker's
words. What is left is cut into passages of about one length, at sentence ends.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from biasloop.assets import ASSETS, asset_path
from biasloop.config import CorpusConfig
from biasloop.corpus.records import Record, Source
from biasloop.errors import InputError

NAME = "conventions"
LABELS = ("democrat", "republican")
#: Goes up whenever the same transcripts give other passages, so that no stale result is reused.
CLEANING = 1

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
    """What one speaker said in one transcript, one paragraph a line.

    ``speaker`` is the name as the transcript has it, in capitals; empty where it gives none
    (``MR. :``).
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
    """Take a transcript, whose paragraphs are on lines, apart into its speakers' own words.

    A change of speaker is a name in capitals and a colon. There is one speech for each speaker who
    says anything, in the order of their first words. Several unnamed speakers count as one; text
    before the first name is an unnamed speaker's.
    """
    lines: dict[str, list[str]] = {}
    for speaker, line in _turns(transcript):
        if speaker is None:
            continue
        words = _tidy(_without_directions(line))
        if re.search(r"\w", words):
            lines.setdefault(speaker, []).append(words)
    return tuple(Speech(speaker, _joined(said)) for speaker, said in lines.items())


#: A full stop after one of these ends no sentence.
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“‘])(?:Mr|Mrs|Ms|Dr|Gov|Sen|Rep|Rev|Gen|Col|Lt|Sgt|Capt|Prof|Hon|St|Jr|Sr|No|vs|"
    r"(?:[A-Z]\.)*[A-Z])\.$"
)
_END = re.compile(r"[.!?][\"'”’]*(?=\s)")


def sentences(text: str) -> list[str]:
    """Split text into sentences; their concatenation is the text.

    A sentence ends at a line's end, or after ``.``, ``!`` or ``?`` that no lower-case letter
    follows and that is no abbreviation's. White space after a sentence stays with it.
    """
    parts: list[str] = []
    start = 0
    for line in text.splitlines(keepends=True):
        end_of_line = start + len(line)
        for match in _END.finditer(text, start, end_of_line):
            following = text[match.end() : end_of_line].lstrip()
            if not following or following[0].islower():
                continue
            if _ABBREVIATION.search(text[start : match.end()]):
                continue
            stop = end_of_line - len(following)
            parts.append(text[start:stop])
            start = stop
        parts.append(text[start:end_of_line])
        start = end_of_line
    return parts


def passages(text: str, words: int) -> list[str]:
    """Cut text into passages of about ``words`` white-space-separated words; lines are kept.

    A passage is closed at the sentence end nearest to that length. The passages' words are the
    text's, in order: a last remainder under half a passage joins the one before it, and a text
    under half a passage gives no passage at all.
    """
    found: list[list[str]] = []
    current: list[str] = []
    length = 0
    for sentence in sentences(text):
        count = len(sentence.split())
        # Nearest: stop here if going on would end further beyond than we now are short.
        if current and length + count - words > words - length:
            found.append(current)
            current, length = [], 0
        current.append(sentence)
        length += count
    if current and 2 * length < words and found:
        found[-1].extend(current)
    elif current and 2 * length >= words:
        found.append(current)
    return ["".join(parts).strip() for parts in found]


def transcripts(path: Path) -> dict[str, list[str]]:
    """Read the asset: each party's transcripts.

    It is a JSON list of ``{name, speeches}``, where speeches are a list of texts or the Python
    literal of one.

    Raises
    ------
    InputError
        If the file is anything else.
    """
    try:
        parties = json.loads(path.read_bytes())
        found = {}
        for party in parties:
            texts = party["speeches"]
            texts = ast.literal_eval(texts) if isinstance(texts, str) else texts
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("a speech is not text")
            found[str(party["name"])] = list(texts)
    except (OSError, ValueError, TypeError, KeyError, SyntaxError) as error:
        raise InputError(
            f"{path}: not the transcripts that were expected ({error}): "
            "run `biasloop download conventions`"
        ) from error
    return found


def passage_records(parties: dict[str, list[str]], words: int) -> Iterator[Record]:
    """Cut every transcript into passages, each with the one speaker whose words it is.

    What a speaker says in one transcript is cut on its own, so no passage mixes speakers; where it
    comes to less than half a passage it is left out.
    """
    for party, texts in parties.items():
        for number, text in enumerate(texts):
            said = [
                (speech.speaker or f"{party} speech {number}", passage)
                for speech in speeches(text)
                for passage in passages(speech.text, words)
            ]
            for count, (speaker, passage) in enumerate(said):
                identity = f"{NAME}-{party}-{number:03d}-{count:02d}"
                own = {"title": "", "body": passage, "label": party, "source": speaker}
                yield Record(identity, {"id": identity, **own})


def open_conventions(config: CorpusConfig) -> Source:
    """Open the convention speeches, cut into passages of ``corpus.passage_words`` words.

    Raises
    ------
    InputError
        If the asset is not downloaded: with the command that does it.
    """
    asset = ASSETS[NAME]
    path = asset_path(NAME) / asset.files[0].path
    return Source(
        records=passage_records(transcripts(path), config.passage_words),
        name=NAME,
        citation=asset.citation,
        licence=asset.licence,
        labels=LABELS,
    )
