"""Which articles people read, and who reads which. Knows a run's articles, no file.

The same prompts are drawn for every set, so that a change between two generations is paired. A
drawn text is read once however many sets it stands in: regimes that share Generation 0 share its
labels, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from biasloop import seeds
from biasloop.errors import InputError, nearest
from biasloop.files import sha256_text
from biasloop.loop import Results, config_hash
from biasloop.stages import prompted_by
from biasloop.tables import BASE, REAL

#: What a coder chooses where a text leans no way that can be told.
UNCLEAR = "unclear"

#: No vowels, so that an id is no word; nothing that looks like something else.
_ALPHABET = list("23456789bcdfghjkmnpqrstvwxz")
_ID_LENGTH = 7

#: Regime, seed, generation, article id.
Member = tuple[str, int, int, str]


@dataclass(frozen=True)
class Drawn:
    """What people are to read.

    Attributes
    ----------
    run
        `loop.config_hash` of the run.
    options
        What a coder may choose: the run's labels in order, then `UNCLEAR`.
    texts
        Opaque id -> text, as a model or a person wrote it: untrusted.
    members
        Opaque id -> the articles that have this text.
    coders
        Coder -> the ids to read, in order.
    both
        How many texts every coder reads.
    chains
        The seeds that articles were drawn from.
    """

    run: str
    options: tuple[str, ...]
    texts: dict[str, str]
    members: dict[str, list[Member]]
    coders: dict[str, list[str]]
    both: int
    chains: tuple[int, ...]

    def key(self) -> dict[str, object]:
        """Give what says which id is what, as JSON: not for coders."""
        return {
            "run": self.run,
            "options": list(self.options),
            "chains": list(self.chains),
            "articles": {
                name: {"sha256": sha256_text(text), "sets": [list(m) for m in self.members[name]]}
                for name, text in self.texts.items()
            },
        }


def options_of(labels: Sequence[str]) -> tuple[str, ...]:
    """List what a coder may choose."""
    return (*labels, UNCLEAR) if UNCLEAR not in labels else tuple(labels)


def draw(
    results: Results,
    articles: int = 100,
    coders: int = 2,
    overlap: float = 0.25,
    regimes: Sequence[str] = (),
    generations: Sequence[int] = (),
    seed: int = 0,
) -> Drawn:
    """Draw articles by chance and deal them out.

    Parameters
    ----------
    results
        The run.
    articles
        How many of every set (a regime's generation over all seeds, or the real articles); a set
        that has fewer is read whole.
    coders
        How many people read.
    overlap
        The share of texts that all of them read, 0 to 1, so that their agreement can be told. The
        rest is read once.
    regimes
        Of these only; ``real`` and ``base`` are allowed. None: the real articles and every regime.
    generations
        These only. None: Generation 0 and the last of every regime.
    seed
        Of everything that is drawn.

    Raises
    ------
    InputError
        If a number is out of range, or a regime or generation is not in the run.
    """
    if articles < 1 or not 1 <= coders <= 50 or not 0 <= overlap <= 1:
        raise InputError(
            f"{articles} articles a set, {coders} coders, an overlap of {overlap:g}: at least 1 "
            "article, 1 to 50 coders, and an overlap from 0 to 1"
        )
    sets = _sets(results, regimes, generations)
    bodies = bodies_of(results, sets)
    units, chains = _units(results, sets, bodies, seed)
    texts: dict[str, list[Member]] = {}
    for regime, generation in sets:
        chosen = [
            (REAL, 0, -1, prompt)
            if regime == REAL
            else (regime, 0 if regime == BASE else chain, generation, article)
            for prompt, chain, article in units
        ]
        for member in list(dict.fromkeys(chosen))[:articles]:
            texts.setdefault(bodies[member], []).append(member)
    random = seeds.generator(seed, "label", "ids")
    names = _names(len(texts), random)
    order = random.permutation(len(texts))
    pairs = list(texts.items())
    shuffled = [pairs[place] for place in order]
    both = round(overlap * len(names)) if coders > 1 else 0
    return Drawn(
        config_hash(results.config),
        options_of(results.labels),
        {name: text for name, (text, _) in zip(names, shuffled, strict=True)},
        {name: members for name, (_, members) in zip(names, shuffled, strict=True)},
        _dealt(names, coders, both, seed),
        both,
        chains,
    )


def _sets(
    results: Results, regimes: Sequence[str], generations: Sequence[int]
) -> list[tuple[str, int]]:
    """Choose the sets, in the order of the config."""
    there = results.articles.select("regime", "generation").unique().rows()
    known = [REAL, *([BASE] if (BASE, -1) in there else [])]
    known += [regime.label for regime in results.config.regimes]
    for name in regimes:
        if name not in known:
            raise InputError(f"--regime: '{name}' is not in this run; {nearest(name, known)}")
    found: list[tuple[str, int]] = []
    for name in known:
        if name in regimes or (not regimes and name != BASE):
            if name in (REAL, BASE):
                found.append((name, -1))
                continue
            own = sorted(g for regime, g in there if regime == name)
            chosen = set(generations) if generations else {0, *own[-1:]}
            found += [(name, g) for g in own if g in chosen]
    missing = sorted(set(generations) - {g for _, g in found})
    if missing:
        raise InputError(f"--generation: no chosen regime of this run has generation {missing[0]}")
    return found


def bodies_of(results: Results, sets: Sequence[tuple[str, int]] | None = None) -> dict[Member, str]:
    """Give the text of every article of some sets (None: of all), and of the real ones."""
    rows = results.articles.select("regime", "seed", "generation", "article_id", "body")
    found: dict[Member, str] = {
        (regime, chain or 0, generation, article): body or ""
        for regime, chain, generation, article, body in rows.iter_rows()
        if sets is None or (regime, generation) in sets
    }
    for article, body in results.real.select("article_id", "body").iter_rows():
        found[REAL, 0, -1, article] = body or ""
    return found


def _units(
    results: Results, sets: Sequence[tuple[str, int]], bodies: dict[Member, str], seed: int
) -> tuple[list[tuple[str, int, str]], tuple[int, ...]]:
    """Order (prompt, seed, article id) by chance, every prompt once before any twice.

    Each is as likely as any other to be among the first so many.
    """
    written = sorted({(article, chain) for name, chain, _, article in bodies if name != REAL})
    prompts = prompted_by(
        pl.Series([article for article, _ in written], dtype=pl.String), results.config.generation
    )
    own: dict[str, list[tuple[int, str]]] = {}
    generated = [one for one in sets if one[0] not in (REAL, BASE)]
    for prompt, (article, chain) in zip(prompts, written, strict=True):
        if all((name, chain, g, article) in bodies for name, g in generated):
            own.setdefault(prompt, []).append((chain, article))
    if not any(name != REAL for name, _ in sets):
        own = {article: [(0, article)] for article in results.real["article_id"]}
    if not own:
        raise InputError("no seed of this run has all of the sets that are to be read")
    random = seeds.generator(seed, "label", "articles")
    order = [sorted(own)[place] for place in random.permutation(len(own))]
    turned = [
        [(prompt, *own[prompt][place]) for place in random.permutation(len(own[prompt]))]
        for prompt in order
    ]
    rounds = itertools.zip_longest(*turned)
    units = [one for together in rounds for one in together if one is not None]
    return units, tuple(sorted({chain for _, chain, _ in units}))


def _names(count: int, random: np.random.Generator) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(random.choice(_ALPHABET, _ID_LENGTH))] = None
    return list(found)


def _dealt(names: Sequence[str], coders: int, both: int, seed: int) -> dict[str, list[str]]:
    """Deal ids that are in an order of chance already; each coder's in an order of their own."""
    found = {}
    for place in range(coders):
        own = [*names[:both], *names[both + place :: coders]]
        coder = f"coder-{place + 1}"
        order = seeds.generator(seed, "label", coder).permutation(len(own))
        found[coder] = [own[index] for index in order]
    return found
