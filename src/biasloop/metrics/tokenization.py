"""Words, sentences and n-grams of untrusted text; no text makes them fail.

A word is a run of letters (apostrophes inside it included) or of digits; scripts that do not put
spaces between words, such as Chinese, count a run of characters as one word.
"""

from __future__ import annotations

import re
import string
import sys
from collections.abc import Iterable, Sequence

WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*")
_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|[^\w\s]|_")
#: Possessive, and started at the first mark only, so that a run of a million full stops costs one
#: pass: the text may be a collapsed model's.
_BREAK = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]]*+(?:\s++|$)|\n[^\S\n]*+\n\s*+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“‘])(?:mr|mrs|ms|dr|st|sen|rep|gov|gen|col|lt|sgt|capt|rev|hon|prof|vs|etc|"
    r"inc|corp|ltd|jan|feb|aug|sept?|oct|nov|dec|[^\W\d_](?:\.[^\W\d_])*)\.$",
    re.IGNORECASE,
)
_ABBREVIATION_REACH = 24
_MARKS = string.punctuation + "’‘“”…–—"


def words(text: str) -> list[str]:
    """List the words of a text, in lower case, without punctuation."""
    return WORD.findall(text.lower())


def tokens(text: str) -> list[str]:
    """List words, numbers and single punctuation marks, in the text's own case."""
    return _TOKEN.findall(text)


def interned(items: Iterable[str]) -> list[str]:
    """List strings, each the same object wherever it stands in any text.

    Of many texts that are held at once the strings of their words are ten times the text.
    """
    return list(map(sys.intern, items))


def cut(text: str, limit: int) -> str:
    """Keep the first ``limit`` blank-separated words of a text, and the blanks between them."""
    for count, match in enumerate(re.finditer(r"\S+", text), start=1):
        if count == limit:
            return text[: match.end()]
    return text


def sentences(text: str) -> list[str]:
    """Split a text into sentences.

    A sentence ends at ``.``, ``!``, ``?`` or an ellipsis (and closing quotes) before a blank, and
    at an empty line; not after a title, an initial or a common abbreviation. A text without a
    sentence end is one sentence; a text of blanks only has none. A single line break ends
    nothing, since text may be hard-wrapped.
    """
    found = []
    start = 0
    for match in _BREAK.finditer(text):
        if match.group().rstrip() == ".":
            tail = text[max(start, match.start() - _ABBREVIATION_REACH) : match.start() + 1]
            if _ABBREVIATION.search(tail):
                continue
        found.append(text[start : match.end()].strip())
        start = match.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def at_full_stops(text: str) -> list[str]:
    """Cut a text at every full stop, as the script of arXiv 2410.15234 does; blanks are dropped.

    The stop itself is dropped, too. An abbreviation, a number and a web address come apart; a
    question and an exclamation run on into the next sentence.
    """
    return [piece.strip() for piece in text.split(".") if piece.strip()]


def read_once(text: str, order: int = 4) -> str:
    """Keep of a text what it says for the first time.

    A sentence whose words were a sentence before is dropped, and so is every run of ``order``
    blank-separated words that was said before: a loop is left with one round of it, be it of
    sentences or without a sentence end. Case and the marks at a word's ends make no difference.
    What a text says first is never dropped, and a text that repeats nothing is returned as it is.
    """
    kept: list[str] = []
    said: set[tuple[str, ...]] = set()
    found = sentences(text)
    for sentence in found:
        key = tuple(words(sentence)) or (sentence,)
        if key not in said:
            said.add(key)
            kept.append(sentence)
    pieces = [piece for sentence in kept for piece in sentence.split()]
    keys = interned(piece.lower().strip(_MARKS) for piece in pieces)
    first: dict[tuple[str, ...], int] = {}
    dropped = [False] * len(pieces)
    for at, run in enumerate(ngrams(keys, order)):
        since = first.setdefault(run, at)
        if since < at:
            new = max(at, since + order)
            dropped[new : at + order] = [True] * (at + order - new)
    if len(kept) == len(found) and not any(dropped):
        return text
    return " ".join(piece for piece, gone in zip(pieces, dropped, strict=True) if not gone)


def ngrams(items: Sequence[str], order: int) -> list[tuple[str, ...]]:
    """List the n-grams of a sequence, in order; empty when it is shorter than ``order``."""
    return list(zip(*(items[i:] for i in range(order)), strict=False))


def distinct(items: Sequence[str], order: int) -> float | None:
    """Share of a text's n-grams that are different ones (distinct-n, Li et al. 2016).

    None where the text has no n-gram.
    """
    grams = ngrams(items, order)
    return len(set(grams)) / len(grams) if grams else None


def repetition(items: Sequence[str], order: int = 4) -> float | None:
    """Share of a text's n-grams that repeat one earlier in it; None where it has no n-gram."""
    share = distinct(items, order)
    return None if share is None else 1.0 - share
