"""Which number the files of each chain give to Generation 0. Knows generations, no figure of them.

The authors number Generation 0 as 1. One of their chains also holds a number 0: articles of the
untouched model, by their plotting scripts. Others may number Generation 0 as 0. Chains are decided
one by one, since they need not be numbered alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from biasloop.errors import InputError
from biasloop.published.formats import GENERATION
from biasloop.published.score_file import Part
from biasloop.tables import BASE

#: To which scores are compared. Files round differently, and a score here and there falls on the
#: border of two roundings, so most of a set must agree, not all.
_DECIMALS = 6


def numbered_from(parts: Sequence[Part]) -> dict[str, int]:
    """Decide for every regime which number its files give to Generation 0.

    A chain that begins at 1 begins with Generation 0. One that begins at 0 may begin with it, too,
    or with a set from before. It begins before where its number 1 is the same set of articles as
    the first of a chain that begins at 1: both then start from one Generation 0.

    Returns
    -------
    dict
        Regime -> 0 or 1; without the base model, which has one generation.

    Raises
    ------
    InputError
        If a chain begins later than 1, its files begin at different numbers, or it begins at 0,
        shares no set and ends at the number of another that begins at 1: then a set may come
        before Generation 0 in the one, or be missing in the other.
    """
    chains: dict[str, list[Part]] = {}
    for part in parts:
        if part.regime != BASE:
            chains.setdefault(part.regime, []).append(part)
    first = {regime: _lowest(files) for regime, files in chains.items()}
    from_1 = [files for regime, files in chains.items() if first[regime] == 1]
    for regime, files in chains.items():
        if first[regime] == 1:
            continue
        shared = {k for other in from_1 for k in (0, 1) if _same_set(files, k, other)}
        if len(shared) == 1:
            first[regime] = shared.pop()
            continue
        alike = [other for other in from_1 if _last(other) == _last(files)]
        if shared or alike:
            other = (alike or from_1)[0]
            raise InputError(
                f"{_names(files)}: generations 0 to {_last(files)}, where {_names(other)} "
                f"have 1 to {_last(other)}, and no set that both hold tells how their numbers go "
                f"together: number them alike, or move '{files[0].regime}' to a folder of its own"
            )
    return first


def since_first(part: Part, first: Mapping[str, int]) -> Part:
    """Leave out the rows from before a chain's Generation 0."""
    rows = np.flatnonzero(part.generation >= first.get(part.regime, 0))
    if len(rows) == len(part.generation):
        return part
    return replace(
        part,
        generation=part.generation[rows],
        articles=None if part.articles is None else tuple(part.articles[i] for i in rows),
        values={name: values[rows] for name, values in part.values.items()},
    )


def numbering_notes(parts: Sequence[Part], first: Mapping[str, int]) -> tuple[str, ...]:
    """Say what was decided for every regime.

    Parameters
    ----------
    parts
        With the rows from before Generation 0.
    first
        As from `numbered_from`.
    """
    notes = []
    for number in (0, 1):
        regimes = [regime for regime in first if first[regime] == number]
        if regimes:
            notes.append(f"Generation 0 is number {number} in the files of {', '.join(regimes)}.")
    for regime, number in first.items():
        earlier = [p for p in parts if p.regime == regime and p.generation.min() < number]
        if earlier:
            notes.append(
                f"{_names(earlier)}: number 1 is the set that another chain begins with, so number "
                "0 comes before Generation 0 and is left out."
            )
    return tuple(notes)


def _lowest(files: Sequence[Part]) -> int:
    """Find the number that all files of one chain begin with."""
    for part in files:
        lowest = int(part.generation.min())
        if lowest > 1:
            raise part.file.error(
                int(part.generation.argmin()),
                GENERATION,
                f"the lowest generation of '{part.regime}' is {lowest}; the first should be 0 or 1",
            )
    begins = {part.file.path.name: int(part.generation.min()) for part in files}
    if len(set(begins.values())) > 1:
        told = ", ".join(f"{name} with {lowest}" for name, lowest in begins.items())
        raise InputError(
            f"{files[0].file.path.parent}: the files of '{files[0].regime}' begin with different "
            f"generations: {told}: number them alike, and leave out what not all of them begin with"
        )
    return next(iter(begins.values()))


def _same_set(files: Sequence[Part], number: int, other: Sequence[Part]) -> bool:
    """Say whether a chain's set of a number has the scores of another chain's number 1."""
    pairs = [
        (_scores(mine, number), _scores(its, 1))
        for mine in files
        for its in other
        if mine.layout == its.layout
    ]
    return bool(pairs) and all(2 * len(a & b) > max(len(a), len(b)) for a, b in pairs)


def _scores(part: Part, number: int) -> set[tuple[float, ...]]:
    columns = np.column_stack([part.values[name] for name in sorted(part.values)])
    return {tuple(row) for row in columns[part.generation == number].round(_DECIMALS).tolist()}


def _last(files: Sequence[Part]) -> int:
    return max(int(part.generation.max()) for part in files)


def _names(files: Sequence[Part]) -> str:
    return ", ".join(part.file.path.name for part in files)
