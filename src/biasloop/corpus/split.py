"""Share a corpus out into parts that have no text in common.

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
from biasloop.corpus.load import Corpus
from biasloop.errors import InputError, nearest
from biasloop.seeds import generator
from biasloop.tables import ARTICLES

#: The table of `split_parts`.
PARTED_ARTICLES = pl.Schema({**ARTICLES, "part": pl.String})

#: The parts that there may be, beside those of `fresh_part`.
PARTS = ("real", "instrument", "holdout", "pretraining")


_SPELT = pl.col("body").str.normalize("NFKC").str.replace_all(r"\p{Cf}", "").str.to_lowercase()
_WORDS = _SPELT.str.replace_all(r"\W+", " ").str.strip_chars()
#: Equal in two articles whose texts have the same words, in whatever case, with whatever between.
_TEXT = pl.when(_WORDS == "").then(_SPELT.str.replace_all(r"\s+", " ")).otherwise(_WORDS)


def repeated_texts(articles: pl.DataFrame) -> int:
    """Count the articles (`tables.ARTICLES`) whose body is that of another, too."""
    return int(articles.select(_TEXT.is_duplicated().sum()).item())


def fresh_part(generation: int) -> str:
    """Name the part that a generation has fresh real articles from; the first is 1."""
    return f"fresh-{generation}"


def _needed(config: CorpusConfig) -> int:
    """Say how many articles of a label are needed beside the instrument's, at least."""
    return config.holdout_per_label + (1 + config.fresh_sets) * (config.articles_per_label or 1)


def looped_labels(labels: Sequence[str], config: CorpusConfig) -> tuple[str, ...]:
    """Say which labels' articles enter the loop: ``corpus.real_labels``, or all."""
    wanted = tuple(labels) if config.real_labels is None else config.real_labels
    for label in wanted:
        if label not in labels:
            raise InputError(f"corpus.real_labels: '{label[:40]}': {nearest(label, labels)}")
    return wanted


def _targets(counts: Counter[str], config: CorpusConfig, copies: int) -> dict[str, int]:
    """Say how many articles of each label the instrument is to get, or why that cannot be."""
    looped = looped_labels(list(counts), config)
    needed, own = _needed(config), config.instrument_fractions
    for label in own:
        if label not in counts:
            raise InputError(
                f"corpus.instrument_fractions: '{label[:40]}': {nearest(label, list(counts))}"
            )
    targets = {
        label: max(1, round(count * own.get(label, config.instrument_fraction)))
        for label, count in counts.items()
    }
    short = [label for label in looped if counts[label] - targets[label] < needed]
    if short:
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
        most //= 1 + config.fresh_sets
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
            + (
                f"\n{copies:,} articles have the text of another: one that stands under several "
                "labels is not counted here"
                if copies
                else ""
            )
        )
    return targets


def _units(
    articles: pl.DataFrame, labels: Sequence[str]
) -> tuple[pl.Series, list[str], np.ndarray]:
    """Put sources that share a text together, as one unit.

    Returns
    -------
    units
        Of each article: the first of its unit's sources.
    names
        Of the units, sorted.
    counts
        Articles of each unit by label: shape ``(units, labels)``.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    unknown = articles.filter(pl.col("source") == "").height
    if unknown:
        raise InputError(
            f"corpus.keep_apart: source, but {unknown:,} of {articles.height:,} articles have no "
            "source: name its column in corpus.columns.source, or set corpus.keep_apart: article"
        )
    source = articles["source"].rank("dense").to_numpy().astype(np.int64) - 1
    text = articles["text"].to_numpy().astype(np.int64) + source.max()
    shared = coo_array((np.ones(len(source)), (source, text)), shape=(text.max() + 1,) * 2)
    tied = articles.with_columns(unit=connected_components(shared, directed=False)[1][source])
    units = tied.select(pl.col("source").min().over("unit")).to_series()
    names, row = np.unique(units.to_numpy(), return_inverse=True)
    counts = np.zeros((len(names), len(labels)), dtype=np.int64)
    for unit, label in zip(row, articles["label"], strict=True):
        counts[unit, labels.index(label)] += 1
    return units, names.tolist(), counts


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
    units, names, counts = _units(articles, labels)
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
        tied = articles["source"].n_unique() - len(names)
        raise InputError(
            "corpus.keep_apart: source: no whole source can be given to the classifiers of "
            f"{', '.join(empty[:10])} and leave {needed:,} articles for the loop"
            + (f" (sources that share a text count as one: {tied:,} fewer)" if tied else "")
            + ": lower corpus.articles_per_label, or set corpus.keep_apart: article"
        )
    taken = [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen]
    return set(articles.filter(units.is_in(taken))["article_id"])


def _take(texts: list[list[str]], size: int) -> tuple[list[str], list[list[str]]]:
    """Take the articles of whole texts, in order, as far as they fit; and list those left."""
    taken: list[str] = []
    left: list[list[str]] = []
    for ids in texts:
        if len(taken) + len(ids) <= size:
            taken += ids
        else:
            left.append(ids)
    return taken, left


def _sets(texts: list[list[str]], size: int, number: int) -> list[list[str]]:
    """Take one set after the other; each is smaller than ``size`` where no text fits any more."""
    sets = []
    for _ in range(number):
        taken, texts = _take(texts, size)
        sets.append(taken)
    return sets


def _refuse_copies(label: str, wanted: int, found: int, copies: int) -> None:
    """Refuse a part that is too small because equal texts cannot be shared out."""
    if found < wanted:
        raise InputError(
            f"corpus: a part of {wanted:,} articles of '{label[:40]}' gets {found:,}: {copies:,} "
            "articles have the text of another, and equal texts stay in one part. Leave copies out "
            "of the corpus, or lower corpus.articles_per_label or corpus.holdout_per_label"
        )


def split_parts(corpus: Corpus, config: CorpusConfig, seed: int) -> pl.DataFrame:
    """Give every article one part.

    Of each label, ``instrument`` gets its `instrument_fractions`, else `instrument_fraction`,
    ``holdout`` gets `holdout_per_label`, ``real`` and each of `fresh_sets` further sets get
    `articles_per_label` (null: as many as the label with the fewest left allows) and
    ``pretraining`` the rest; of a label that `real_labels` leaves out, all but the instrument part
    goes to ``pretraining``. With ``keep_apart: source``, no source is in ``instrument`` and in
    another part, also if it occurs under several labels; the fraction is then met as nearly as a
    greedy search over whole sources gets.

    Articles with one and the same body (but for white space and how a character is written) are in
    one part, so that none is judged by what has learnt it. A body that occurs under several
    labels, which says nothing of any, is in ``pretraining``, or with its source in ``instrument``.

    The parts depend on ``seed``, on the articles' ids, labels and sources, and on which bodies are
    equal; not on the order of the rows.

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
    articles = corpus.articles.sort("article_id").with_columns(text=_TEXT.rank("dense"))
    clear = articles.filter(pl.col("label").n_unique().over("text") == 1)
    by_source = config.keep_apart == "source"
    found = Counter((articles if by_source else clear)["label"])
    copies = repeated_texts(articles)
    targets = _targets(Counter({label: found[label] for label in corpus.labels}), config, copies)
    parts = dict.fromkeys(articles["article_id"], "pretraining")
    apart = _instrument_by_source(articles, targets, config, seed) if by_source else set[str]()
    parts |= dict.fromkeys(apart, "instrument")
    left: dict[str, list[list[str]]] = {}
    for label in corpus.labels:
        own = clear.filter(pl.col("label") == label)
        order = generator(seed, "split", label).permutation(own.height)
        same: dict[int, list[str]] = {}
        for identity, text in own[order].select("article_id", "text").iter_rows():
            same.setdefault(text, []).append(identity)
        texts = [ids for ids in same.values() if ids[0] not in apart]
        if not by_source:
            drawn, texts = _take(texts, targets[label])
            _refuse_copies(label, 1, len(drawn), copies)
            parts |= dict.fromkeys(drawn, "instrument")
        if label in looped_labels(corpus.labels, config):
            drawn, left[label] = _take(texts, config.holdout_per_label)
            _refuse_copies(label, config.holdout_per_label, len(drawn), copies)
            parts |= dict.fromkeys(drawn, "holdout")
    names = ["real", *(fresh_part(number) for number in range(1, config.fresh_sets + 1))]
    fewest = min(sum(map(len, texts)) for texts in left.values())
    size = config.articles_per_label or max(1, fewest // len(names))
    while True:
        sets = {label: _sets(texts, size, len(names)) for label, texts in left.items()}
        smallest = {label: min(map(len, drawn)) for label, drawn in sets.items()}
        if config.articles_per_label or size == 1 or min(smallest.values()) == size:
            break
        size -= 1
    for label, drawn_sets in sets.items():
        _refuse_copies(label, size, smallest[label], copies)
        for name, ids in zip(names, drawn_sets, strict=True):
            parts |= dict.fromkeys(ids, name)
    part = pl.Series("part", [parts[identity] for identity in articles["article_id"]], pl.String)
    return articles.with_columns(part).select(PARTED_ARTICLES.names())
