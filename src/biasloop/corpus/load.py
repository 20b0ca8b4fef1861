"""Load the corpus that a config names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import polars as pl

from biasloop.config import CorpusConfig
from biasloop.corpus import control
from biasloop.corpus.check import check
from biasloop.corpus.conventions import NAME, open_conventions
from biasloop.corpus.corpus import BAD_ROWS, Corpus
from biasloop.corpus.file import open_file
from biasloop.corpus.hub import PREFIX, open_hub
from biasloop.corpus.source import Source
from biasloop.errors import InputError
from biasloop.tables import ARTICLES

#: A label with fewer articles cannot be split into parts.
MIN_PER_LABEL = 2


def kind_of(config: CorpusConfig) -> str:
    """Tell which kind of source a config names: a built-in one's name, ``hub`` or ``file``.

    Raises
    ------
    InputError
        If a file format is set for a source that is no file.
    """
    kind = (
        config.source
        if config.source in (NAME, control.NAME)
        else "hub"
        if config.source.startswith(PREFIX)
        else "file"
    )
    if kind != "file" and config.format != "auto":
        raise InputError(
            f"corpus.format: '{config.format}' is for files; '{config.source}' needs none "
            "(a file of that name is ./" + config.source + ")"
        )
    if kind != "hub" and config.subset is not None:
        raise InputError(
            f"corpus.subset: '{config.subset}' is for data sets of the hub (hub:OWNER/NAME), and "
            f"corpus.source is '{config.source}': set it to null"
        )
    return kind


#: What opens each kind of source that is read.
SOURCES: dict[str, Callable[[CorpusConfig], Source]] = {
    "conventions": open_conventions,
    "hub": open_hub,
    "file": open_file,
}


def counts_text(counts: Counter[str], labels: Sequence[str]) -> str:
    """Write ``left 3, right 1``, at most ten labels of it."""
    shown = ", ".join(f"{label[:40]} {counts[label]:,}" for label in labels[:10])
    return shown + (f" and {len(labels) - 10} more labels" if len(labels) > 10 else "")


def _label_set(config: CorpusConfig, source: Source, found: Counter[str]) -> tuple[str, ...]:
    if config.labels is not None:
        twice = [label for label in config.labels if config.labels.count(label) > 1]
        if twice:
            raise InputError(f"corpus.labels: '{twice[0]}' stands twice")
        return config.labels
    first = [label for label in source.labels if label in found]
    return (*first, *sorted(set(found) - set(first)))


def load_corpus(config: CorpusConfig, seed: int) -> Corpus:
    """Read, check and label every article of the configured source.

    Parameters
    ----------
    config
        Where the articles are and how to read them.
    seed
        The run's seed. Only the source that is made up (``control``) draws anything.

    Returns
    -------
    Corpus
        Every usable article, and every row that is not.

    Raises
    ------
    InputError
        If the source is not there or cannot be read, holds bad rows (unless they are to be
        skipped), is empty, or has fewer than two articles of a label: with counts.
    """
    kind = kind_of(config)
    source = control.open_control(config, seed) if kind == control.NAME else SOURCES[kind](config)
    if config.columns.event is not None and source.columns.event is None:
        raise InputError(
            f"corpus.columns.event: '{config.columns.event[:40]}': {config.source} has no events: "
            "set it to null"
        )
    articles, bad = check(source, config)
    if not articles:
        reasons = Counter(reason for _, reason in bad).most_common(3)
        why = "; ".join(f"{count:,} x {reason}" for reason, count in reasons)
        raise InputError(
            f"corpus.source: {config.source}: no article in it"
            + (f" (all {len(bad):,} rows are bad: {why})" if bad else "")
        )
    counts = Counter(article["label"] for article in articles)
    labels = _label_set(config, source, counts)
    few = [label for label in labels if counts[label] < MIN_PER_LABEL]
    if few:
        raise InputError(
            f"corpus.source: {config.source}: too few articles of {', '.join(few[:10])!r}: a label "
            f"needs at least {MIN_PER_LABEL}. Found: {counts_text(counts, labels)}. Is "
            "corpus.columns.label the right column? corpus.labels or corpus.label_map change the "
            "label set"
        )
    return Corpus(
        articles=pl.DataFrame(articles, schema=ARTICLES),
        labels=labels,
        bad_rows=pl.DataFrame(bad, schema=BAD_ROWS, orient="row"),
        name=source.name,
        citation=source.citation,
        licence=source.licence,
        events={a["article_id"]: event for a in articles if (event := a.get("event"))},
        note=source.note,
    )
