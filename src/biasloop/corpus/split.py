"""Share a corpus out into parts that have no article in common. Knows no file and no model.

The parts: ``instrument`` trains and validates the classifiers; ``holdout`` is never trained on;
``real`` is what the loop continues and trains on; ``fresh-1``, ``fresh-2``, ... are as large as
``real``, for generations that train on real articles of their own; ``pretraining`` is the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl

from biasloop.config import CorpusConfig
from biasloop.corpus.corpus import Corpus
from biasloop.errors import InputError, nearest
from biasloop.seeds import generator
from biasloop.tables import ARTICLES

#: The table of `split_parts`.
PARTED_ARTICLES = pl.Schema({**ARTICLES, "part": pl.String})

#: The parts that there may be, beside those of `fresh_part`.
PARTS = ("real", "instrument", "holdout", "pretraining")


def fresh_part(generation: int) -> str:
    """Name the part that a generation has fresh real articles from; the first is 1."""
    return f"fresh-{generation}"


def _needed(config: CorpusConfig) -> int:
    """Say how many articles of a label are needed beside the instrument's, at least."""
    sets = 1 + config.fresh_sets
    return config.holdout_per_label + sets * (config.articles_per_label or 1)


def looped_labels(labels: Sequence[str], config: CorpusConfig) -> tuple[str, ...]:
    """Say which labels' articles enter the loop.

    Raises
    ------
    InputError
        If ``corpus.real_labels`` names a label that the corpus does not have.
    """
    wanted = tuple(labels) if config.real_labels is None else config.real_labels
    for label in wanted:
        if label not in labels:
            raise InputError(f"corpus.real_labels: '{label[:40]}': {nearest(label, labels)}")
    return wanted


def _targets(counts: Counter[str], config: CorpusConfig) -> dict[str, int]:
    """Say how many articles of each label the instrument is to get, or why that cannot be."""
    looped = looped_labels(list(counts), config)
    needed = _needed(config)
    targets = {
        label: max(1, round(count * config.instrument_fraction)) for label, count in counts.items()
    }
    short = [label for label in looped if counts[label] - targets[label] < needed]
    if short:
        sets = 1 + config.fresh_sets
        wanted = config.articles_per_label or "null (at least 1)"
        with_fresh = (
            f" and corpus.fresh_sets: {config.fresh_sets}, which takes as many again for each set "
            f"({needed:,} per label in all, those held out included)"
            if config.fresh_sets
            else ""
        )
        lines = [
            f"'{label[:40]}': {counts[label]:,} articles, of which {targets[label]:,} for the "
            f"classifiers and {config.holdout_per_label:,} held out leave "
            f"{max(0, counts[label] - targets[label] - config.holdout_per_label):,}"
            for label in short[:10]
        ]
        most = min(counts[label] - targets[label] for label in looped) - config.holdout_per_label
        most //= sets
        advice = (
            f"Set corpus.articles_per_label to at most {most:,} (null takes as many as balance)"
            if most > 0
            else "Bring more articles of these labels"
        )
        raise InputError(
            f"too few articles for corpus.articles_per_label: {wanted}{with_fresh}\n  "
            + "\n  ".join(lines)
            + f"\n{advice}, or lower corpus.instrument_fraction or corpus.holdout_per_label"
            + (" or corpus.fresh_sets" if config.fresh_sets else "")
        )
    return targets


def _units(articles: pl.DataFrame, labels: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Count each source's articles: shape ``(sources, labels)``, sources sorted."""
    unknown = articles.filter(pl.col("source") == "").height
    if unknown:
        raise InputError(
            f"corpus.keep_apart: source, but {unknown:,} of {articles.height:,} articles have no "
            "source: name its column in corpus.columns.source, or set corpus.keep_apart: article"
        )
    sources = articles["source"].unique().sort().to_list()
    row = {source: index for index, source in enumerate(sources)}
    column = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(sources), len(labels)), dtype=np.int64)
    for source, label in articles.select("source", "label").iter_rows():
        counts[row[source], column[label]] += 1
    return sources, counts


def nearest_units(
    counts: np.ndarray, targets: np.ndarray, limits: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Choose whole units whose counts together come near to targets.

    Units are taken in a random order whenever that brings the sum of absolute differences down
    and no label beyond its limit; then single units are added or put back while that helps. A
    greedy search: of one label within the largest unit, of several without such a bound.

    Parameters
    ----------
    counts
        Articles of each unit by label: shape ``(units, labels)``.
    targets, limits
        Shape ``(labels,)``.
    random
        Draws the order.

    Returns
    -------
    numpy.ndarray
        Which units are chosen: booleans, shape ``(units,)``.
    """
    chosen = np.zeros(len(counts), dtype=bool)
    total = np.zeros(counts.shape[1], dtype=np.int64)
    order = random.permutation(len(counts))
    improved = True
    while improved:
        improved = False
        for unit in order:
            after = total - counts[unit] if chosen[unit] else total + counts[unit]
            nearer = np.abs(after - targets).sum() < np.abs(total - targets).sum()
            if nearer and (after <= limits).all():
                chosen[unit] = not chosen[unit]
                total = after
                improved = True
    return chosen


def _instrument_by_source(
    articles: pl.DataFrame, targets: dict[str, int], config: CorpusConfig, seed: int
) -> set[str]:
    """Choose the ids of the instrument part so that no source is on both sides."""
    labels = list(targets)
    sources, counts = _units(articles, labels)
    needed = _needed(config)
    looped = looped_labels(labels, config)
    chosen = nearest_units(
        counts,
        np.array([targets[label] for label in labels]),
        counts.sum(axis=0) - np.array([needed if label in looped else 0 for label in labels]),
        generator(seed, "split", "sources"),
    )
    empty = [
        f"'{label[:40]}' ({np.count_nonzero(counts[:, index]):,} sources, "
        f"{counts[:, index].sum():,} articles)"
        for index, label in enumerate(labels)
        if counts[chosen, index].sum() == 0
    ]
    if empty:
        raise InputError(
            "corpus.keep_apart: source: no whole source can be given to the classifiers of "
            f"{', '.join(empty[:10])} and leave {needed:,} articles for the loop: lower "
            "corpus.articles_per_label, or set corpus.keep_apart: article"
        )
    taken = {source for source, is_chosen in zip(sources, chosen, strict=True) if is_chosen}
    return set(articles.filter(pl.col("source").is_in(sorted(taken)))["article_id"])


def split_parts(corpus: Corpus, config: CorpusConfig, seed: int) -> pl.DataFrame:
    """Give every article one part.

    Of each label, ``instrument`` gets `instrument_fraction`, ``holdout`` gets
    `holdout_per_label`, ``real`` and each of `fresh_sets` further sets get `articles_per_label`
    (null: as many as the label with the fewest left allows) and ``pretraining`` the rest; of a
    label that `real_labels` leaves out, all but the instrument part goes to ``pretraining``.
    With ``keep_apart: source``, no source is in
    ``instrument`` and in another part, also if it occurs under several labels; the fraction is
    then met as nearly as a greedy search over whole sources gets.

    Parameters
    ----------
    corpus
        The articles.
    config
        The sizes.
    seed
        Draws the parts. They depend on it and on the articles' ids, labels and sources; not on
        the order of the rows.

    Returns
    -------
    polars.DataFrame
        `PARTED_ARTICLES`, sorted by ``article_id``.

    Raises
    ------
    InputError
        If there are too few articles of a label for what the config asks, with the counts; or if
        sources are to be kept apart but are not known, or cannot be.
    """
    articles = corpus.articles.sort("article_id")
    found = Counter(articles["label"])
    counts = Counter({label: found[label] for label in corpus.labels})
    looped = looped_labels(corpus.labels, config)
    targets = _targets(counts, config)
    by_source = (
        _instrument_by_source(articles, targets, config, seed)
        if config.keep_apart == "source"
        else None
    )
    parts: dict[str, str] = {}
    left: dict[str, list[str]] = {}
    for label in corpus.labels:
        ids = articles.filter(pl.col("label") == label)["article_id"].to_list()
        order = generator(seed, "split", label).permutation(len(ids))
        drawn = [ids[index] for index in order]
        instrument = set(drawn[: targets[label]]) if by_source is None else by_source
        rest = [identity for identity in drawn if identity not in instrument]
        parts |= {identity: "instrument" for identity in ids if identity in instrument}
        if label not in looped:
            parts |= dict.fromkeys(rest, "pretraining")
            continue
        parts |= dict.fromkeys(rest[: config.holdout_per_label], "holdout")
        left[label] = rest[config.holdout_per_label :]
    sets = ["real", *(fresh_part(number) for number in range(1, config.fresh_sets + 1))]
    fewest = min(len(rest) for rest in left.values())
    size = config.articles_per_label or fewest // len(sets)
    for rest in left.values():
        for place, name in enumerate(sets):
            parts |= dict.fromkeys(rest[place * size : (place + 1) * size], name)
        parts |= dict.fromkeys(rest[len(sets) * size :], "pretraining")
    part = pl.Series("part", [parts[identity] for identity in articles["article_id"]], pl.String)
    return articles.with_columns(part).select(PARTED_ARTICLES.names())
