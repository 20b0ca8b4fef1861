"""Graded corruptions of real sentences: what gibberish looks like. Knows no classifier.

Four grades, those of the Gibberish Detector that the paper uses: *clean* is the sentence itself,
*mild gibberish* is mostly its words but broken grammar or a stutter, *word salad* is real words
without order or said over and over, *noise* is not words at all. A collapsed model repeats itself
within and across sentences, so both are among the corruptions.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from biasloop.metrics.text import interned

#: Worst to best; a grade's place is its value in the text quality index.
GRADES = ("noise", "word salad", "mild gibberish", "clean")

NOISE, SALAD, MILD, CLEAN = range(4)

#: A shorter sentence has no order to lose.
LEAST_WORDS = 4

_REPEATED = 0.25


@dataclass(frozen=True)
class Example:
    """A graded sentence and where it stands.

    Attributes
    ----------
    place
        How many of the article's own sentences stand before it.
    sentence
        The sentence that is graded.
    grade
        Index into `GRADES`.
    repeats
        How many times the sentence itself stands before it, after those.
    """

    place: int
    sentence: str
    grade: int
    repeats: int = 0


class Pool:
    """The corpus's running words, to draw from.

    Parameters
    ----------
    sentences
        Real sentences.
    """

    def __init__(self, sentences: Iterable[str]) -> None:
        self.words: list[str] = []
        self.followers: dict[str, list[str]] = {}
        for sentence in sentences:
            found = interned(bare(sentence).split())
            self.words += found
            for word, follower in itertools.pairwise(found):
                self.followers.setdefault(word, []).append(follower)


def bare(sentence: str) -> str:
    """Take the marks off a sentence's end."""
    return sentence.rstrip(".!?…\"'”’)]")


Corruption = Callable[[list[str], Pool, np.random.Generator], list[str]]


def _draw(pool: Pool, rng: np.random.Generator) -> str:
    return pool.words[int(rng.integers(len(pool.words)))]


def edited(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Swap, drop, double or replace a fifth to two fifths of the words; at least two edits."""
    result = list(words)
    edits = max(2, round(len(words) * rng.uniform(0.2, 0.4)))
    for _ in range(edits):
        at = int(rng.integers(len(result)))
        match int(rng.integers(4)):
            case 0 if len(result) > 1:
                other = at + 1 if at + 1 < len(result) else at - 1
                result[at], result[other] = result[other], result[at]
            case 1 if len(result) > LEAST_WORDS - 1:
                del result[at]
            case 2:
                result.insert(at, result[at])
            case _:
                result[at] = _draw(pool, rng)
    return result


def stuttered(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Say a phrase of two to five words twice or three times."""
    length = min(len(words), int(rng.integers(2, 6)))
    at = int(rng.integers(len(words) - length + 1))
    phrase = words[at : at + length]
    return words[:at] + phrase * int(rng.integers(2, 4)) + words[at + length :]


def chained(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Let every word be followed by what follows it somewhere in the corpus, and forget the rest.

    A Markov chain of order 1: every pair of words is good and the sentence goes nowhere, as from
    a small or a worn model.
    """
    result = [words[0] if words[0] in pool.followers else _draw(pool, rng)]
    while len(result) < len(words):
        followers = pool.followers.get(result[-1])
        result.append(
            followers[int(rng.integers(len(followers)))] if followers else _draw(pool, rng)
        )
    return result


def misspelt(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Make a fifth to half of the words into the head of one word and the tail of another.

    What a model writes whose sub-word pieces do not fit together.
    """
    result = list(words)
    count = max(1, round(len(words) * rng.uniform(0.2, 0.5)))
    for at in rng.choice(len(words), size=count, replace=False):
        head, tail = result[at], _draw(pool, rng)
        result[at] = head[: (len(head) + 1) // 2] + tail[len(tail) // 2 :]
    return result


def shuffled(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Put the words in random order."""
    return [words[i] for i in rng.permutation(len(words))]


def drawn(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Draw as many words from the corpus, as often as they occur there."""
    return [_draw(pool, rng) for _ in words]


def looped(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Say a phrase of one to six words over and over, to the sentence's length or far beyond."""
    length = min(len(words), int(rng.integers(1, 7)))
    at = int(rng.integers(len(words) - length + 1))
    total = max(len(words), 4 * length) * int(rng.integers(1, 4))
    phrase = words[at : at + length]
    return words[:at] + [phrase[i % length] for i in range(total)]


def scrambled(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Scramble the letters of (nearly) every word."""
    share = rng.uniform(0.8, 1.0)
    return [
        "".join(word[i] for i in rng.permutation(len(word))) if rng.random() < share else word
        for word in words
    ]


def mashed(words: list[str], pool: Pool, rng: np.random.Generator) -> list[str]:
    """Put random characters, now and then of any kind, in place of every word."""
    letters = _ALPHABETS[int(rng.integers(len(_ALPHABETS)))]
    return [
        "".join(letters[i] for i in rng.integers(len(letters), size=len(word))) for word in words
    ]


_ALPHABETS = (
    string.ascii_lowercase,
    string.ascii_letters + string.digits + string.punctuation,
    string.punctuation,
    ".,-!?",
)

_CORRUPTIONS: dict[int, tuple[Corruption, ...]] = {
    NOISE: (scrambled, mashed, mashed),
    SALAD: (shuffled, drawn, looped),
    MILD: (edited, edited, chained, stuttered, misspelt),
}


def corrupt(sentence: str, corruption: Corruption, pool: Pool, rng: np.random.Generator) -> str:
    """Corrupt a sentence's words; the mark at its end stays at its end."""
    body = bare(sentence)
    return " ".join(corruption(body.split(), pool, rng)) + sentence[len(body) :]


def examples(article: Sequence[str], pool: Pool, rng: np.random.Generator) -> list[Example]:
    """Grade an article's sentences and corruptions of them.

    Parameters
    ----------
    article
        Its sentences, in order.
    pool
        The corpus's words.
    rng
        Chooses and carries out the corruptions.

    Returns
    -------
    list[Example]
        For each sentence itself as clean; for each of at least four words one corruption of each
        grade; and for one in four such sentences what repeating it whole gives: mild gibberish
        said for the second time, word salad from the third.
    """
    found = []
    for place, sentence in enumerate(article):
        found.append(Example(place, sentence, CLEAN))
        if len(sentence.split()) < LEAST_WORDS:
            continue
        for grade, ways in _CORRUPTIONS.items():
            way = ways[int(rng.integers(len(ways)))]
            found.append(Example(place, corrupt(sentence, way, pool, rng), grade))
        if rng.random() < _REPEATED:
            times = int(rng.geometric(0.2)) + 1
            found.append(Example(place, sentence, MILD, repeats=1))
            found.append(Example(place, sentence, SALAD, repeats=times))
    return found
