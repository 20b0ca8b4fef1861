"""Which article a row is of. Knows rows and their places, not their figures.

The authors' quality and perplexity files name no article: a row's article is its place within its
generation, which can be relied on only where every generation has as many rows. What cannot be
relied on is not paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from biasloop.published.score_file import Part


def placed(
    parts: Sequence[Part], first: Mapping[str, int]
) -> tuple[list[pl.DataFrame], tuple[str, ...]]:
    """Say which set and article every row is of.

    Parameters
    ----------
    parts
        The files' rows.
    first
        Regime -> the number that its files give to Generation 0.

    Returns
    -------
    tuple
        One frame per part, ``regime, seed, generation, article_id`` in the order of its rows, and
        notes on how rows without an article were matched.
    """
    named = _consecutive(parts)
    frames, matched, own, unpaired = [], [], [], []
    for part in parts:
        ids = part.articles
        if ids is None:
            rank, counts = _places(part.generation)
            file = part.file.path.name
            if len(set(counts)) > 1:
                ids = tuple(
                    f"{part.regime} {g} row {k + 1}"
                    for g, k in zip(part.generation.tolist(), rank.tolist(), strict=True)
                )
                unpaired.append(file)
            elif named is not None and len(named) == counts[0]:
                ids = tuple(named[k] for k in rank.tolist())
                matched.append(file)
            else:
                ids = tuple(f"row {k + 1} of {counts[0]}" for k in rank.tolist())
                own.append(file)
        # The base model's rows are zeros, and its generation is -1.
        generation = part.generation - first.get(part.regime, 1)
        frames.append(
            pl.DataFrame({"generation": generation, "article_id": ids}).with_columns(
                pl.lit(part.regime).alias("regime"), pl.lit(0, dtype=pl.Int64).alias("seed")
            )
        )
    return frames, _notes(matched, own, unpaired)


def _consecutive(parts: Sequence[Part]) -> list[str] | None:
    """List the ids of all articles in order, if they are consecutive whole numbers."""
    found = {name for part in parts for name in part.articles or ()}
    if not found or not all(name.isascii() and name.isdigit() for name in found):
        return None
    numbers = sorted(int(name) for name in found)
    if len(numbers) != numbers[-1] - numbers[0] + 1 or {str(n) for n in numbers} != found:
        return None
    return [str(number) for number in numbers]


def _places(generation: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Find each row's place within its generation, from 0, and how many rows each has."""
    rank = np.zeros(len(generation), dtype=np.int64)
    counts = []
    for value in np.unique(generation):
        rows = np.flatnonzero(generation == value)
        rank[rows] = np.arange(len(rows))
        counts.append(len(rows))
    return rank, counts


def _notes(matched: list[str], own: list[str], unpaired: list[str]) -> tuple[str, ...]:
    notes = []
    if matched:
        notes.append(
            f"No Article_ID in {', '.join(matched)}: the k-th row of a generation is taken to be "
            "of the k-th article."
        )
    if own:
        notes.append(
            f"No Article_ID in {', '.join(own)}: rows are paired by their place within the "
            "generation, and not with the leanings, whose articles are others in number or name."
        )
    if unpaired:
        notes.append(
            f"No Article_ID in {', '.join(unpaired)}, and its generations differ in rows: "
            "nothing of it is paired, so that its intervals are wider and tests of pairs absent."
        )
    return tuple(notes)
