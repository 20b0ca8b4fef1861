"""Cut a long text into passages of about one length, at sentence ends."""

from __future__ import annotations

import re

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
    """Cut text into passages of about ``words`` words.

    Parameters
    ----------
    text
        Sentences, on one or more lines; lines are kept.
    words
        The length to come near to, in white-space-separated words. A passage is closed at the
        sentence end nearest to it.

    Returns
    -------
    list[str]
        The passages, whose words are the text's, in order. A last remainder under half a passage
        joins the one before it. A text under half a passage gives no passage at all.
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
