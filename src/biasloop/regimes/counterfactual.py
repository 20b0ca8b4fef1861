"""Swap the leaning words of articles for their counterparts. Knows text and a list of pairs."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from biasloop.config.regimes import CounterfactualConfig, check_pairs
from biasloop.errors import InputError
from biasloop.files import read_text
from biasloop.regimes.base import Regime

#: Characters of a file of pairs.
_LONGEST = 10_000_000

Pairs = Sequence[tuple[str, str]]


def read_pairs(path: Path) -> Pairs:
    """Read a CSV file of pairs.

    Raises
    ------
    InputError
        If it cannot be read, a line is no pair, there is none, or a word stands twice.
    """
    try:
        rows = [row for row in csv.reader(read_text(path, _LONGEST).splitlines()) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as pairs of words: {error}") from error
    for place, row in enumerate(rows, start=1):
        if len(row) != 2:
            raise InputError(f"{path}: pair {place} has {len(row)} words, not two: {row[:3]}")
    pairs = [(first.strip(), second.strip()) for first, second in rows]
    if not pairs:
        raise InputError(f"{path}: has no pair of words; write one a line: word,counterpart")
    try:
        check_pairs(pairs)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    return pairs


def swapper(pairs: Pairs) -> Callable[[str], str]:
    """Return what swaps whole words for their counterparts, all at once.

    A word that is given in small letters is met in any case, and its counterpart takes over
    whether it is capitalised or all in capitals; one given with capitals (a name, "US") is met as
    it is given, and all in capitals.
    """
    counterparts = dict([*pairs, *((second, first) for first, second in pairs)])
    words = sorted(counterparts, key=len, reverse=True)
    known = {word.upper(): counterparts[word].upper() for word in words if word != word.lower()}
    known |= counterparts
    any_case = "|".join(f"(?i:{re.escape(w)})" for w in words if w == w.lower())
    as_given = "|".join(
        re.escape(form) for w in words if w != w.lower() for form in dict.fromkeys((w, w.upper()))
    )
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(filter(None, (as_given, any_case)))})(?!\w)")

    def swapped(match: re.Match[str]) -> str:
        word = match.group()
        if word in known:
            return known[word]
        other = counterparts[word.lower()]
        if len(word) > 1 and word.isupper():
            return other.upper()
        return other[:1].upper() + other[1:] if word[:1].isupper() else other

    return lambda text: pattern.sub(swapped, text)


class Counterfactual(Regime[CounterfactualConfig]):
    """Counterfactual data augmentation (Lu et al. 2018, arXiv 1807.11714) of the own text.

    Each article is swapped with ``probability``, its title too: by itself that is counterfactual
    substitution (Hall Maudslay et al. 2019, arXiv 1909.00871); with ``keep_both`` the original
    stays beside it.
    """

    def read_input(self) -> Pairs:
        """Read the pairs, from wherever they are."""
        return read_pairs(Path(self.config.file)) if self.config.file else self.config.pairs

    def expected_size(self, generation: int, real: int, samples: int = 1) -> float:
        """Count an article that is kept in both versions twice."""
        both = 1 + self.config.probability * self.config.keep_both
        return real * samples * both if generation else float(real)

    def check(self, corpus: pl.DataFrame) -> None:
        """Refuse a pair of which no article has a word.

        Raises
        ------
        InputError
            If there is one.
        """
        pairs, texts = self.read_input(), "\n".join([*corpus["title"], *corpus["body"]])
        if absent := [pair for pair in pairs if swapper([pair])(texts) == texts]:
            raise InputError(
                f"regime '{self.config.label}': no article of the corpus has "
                f"'{absent[0][0]}' or '{absent[0][1]}' ({len(absent)} of {len(pairs)} pairs "
                "are not in it): take them out of the list. What is finished is kept"
            )

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return the previous generation's articles, some swapped; then the originals of these."""
        (articles,) = synthetic.values()
        swap = swapper(self.read_input())
        chosen = random.random(articles.height) < self.config.probability
        columns = {
            name: [swap(t) if yes else t for t, yes in zip(articles[name], chosen, strict=True)]
            for name in ("title", "body")
        }
        result = articles.with_columns(pl.Series(name, texts) for name, texts in columns.items())
        return pl.concat([result, articles.filter(chosen)]) if self.config.keep_both else result
