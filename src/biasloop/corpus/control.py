"""The corpus of the controls: made-up labelled articles in which nothing is hidden.

See docs/controls.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from biasloop.config import ControlCorpusConfig, CorpusConfig
from biasloop.corpus.records import Record, Source
from biasloop.seeds import generator

NAME = "control"
#: Goes up whenever the same settings and seed give other articles.
VERSION = 1

#: What titles, the openings, are drawn from.
OPENING_WORDS = (
    *("today", "again", "later", "often", "perhaps", "indeed", "already", "still"),
    *("soon", "always", "once", "maybe", "now", "there", "here", "somehow"),
)
PLACES = (
    *("bridge", "market", "station", "garden", "kitchen", "river"),
    *("tower", "valley", "window", "corner", "village", "forest"),
)
#: A sentence: six words, of which the last is the leaning's own.
FRAMES = (
    "near the {place} we met {word}.",
    "by the {place} she found {word}.",
    "at the {place} he heard {word}.",
    "from the {place} they brought {word}.",
    "behind the {place} you saw {word}.",
    "past the {place} it carried {word}.",
)
#: Tokens of a sentence, if each of its words and its full stop is one.
SENTENCE_TOKENS = 7

_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"


def vocabulary(config: ControlCorpusConfig, seed: int) -> dict[str, tuple[str, ...]]:
    """Make up each leaning's own words: five letters, no word twice, none neutral.

    Returns
    -------
    dict
        Leaning -> as many words as ``config.word_types`` says.
    """
    random = generator(seed, "control", "vocabulary")
    taken = {*OPENING_WORDS, *PLACES, *" ".join(FRAMES).split()}
    words: dict[str, tuple[str, ...]] = {}
    for leaning, count in config.word_types.items():
        own: list[str] = []
        while len(own) < count:
            letters = (_CONSONANTS, _VOWELS, _CONSONANTS, _VOWELS, _CONSONANTS)
            word = "".join(some[random.integers(len(some))] for some in letters)
            if word not in taken:
                taken.add(word)
                own.append(word)
        words[leaning] = tuple(own)
    return words


def article_text(
    words: tuple[str, ...], config: ControlCorpusConfig, random: np.random.Generator
) -> tuple[str, str]:
    """Write one article: a neutral title, then sentences that each end with one of ``words``.

    The opening is the title, which a written article shares with the real one that it was prompted
    by: so every generation trains on whole articles, as Generation 0 does.
    """
    opening = random.choice(OPENING_WORDS, size=config.opening_words)
    sentences = [
        FRAMES[random.integers(len(FRAMES))].format(
            place=PLACES[random.integers(len(PLACES))], word=words[random.integers(len(words))]
        )
        for _ in range(config.sentences)
    ]
    return " ".join(opening), " ".join(sentences)


def control_records(config: ControlCorpusConfig, seed: int) -> Iterator[Record]:
    """Write the articles, leaning by leaning; equal settings and seed give equal text."""
    for leaning, words in vocabulary(config, seed).items():
        random = generator(seed, "control", "articles", leaning)
        for number in range(config.articles_per_leaning):
            identity = f"{NAME}-{leaning}-{number:05d}"
            title, body = article_text(words, config, random)
            own = {"title": title, "body": body, "label": leaning, "source": ""}
            yield Record(identity, {"id": identity, **own})


def open_control(config: CorpusConfig, seed: int) -> Source:
    """Make the corpus of ``corpus.control``.

    What is planted: openings and frames are drawn alike for every leaning, each word of a leaning
    is as frequent as the leaning's others, and leanings are as frequent as each other; they
    differ in the number of their word types only. A model that fits this text and is sampled at a
    temperature T multiplies the odds of the leaning with fewer types; at T = 1 it changes none.
    See `theory.sharpened`.
    """
    made = config.control
    return Source(
        records=control_records(made, seed),
        name="made-up articles with planted word types: "
        + ", ".join(f"{leaning} {count}" for leaning, count in made.word_types.items()),
        licence="none needed: made up by biasloop",
        labels=tuple(made.word_types),
    )
