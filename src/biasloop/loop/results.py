"""What a finished (or part-finished) run holds, as tables in memory. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from biasloop.config import Config
from biasloop.tables import ARTICLES, NEURONS, TRAINED, UPDATES


@dataclass(frozen=True)
class Results:
    """Everything that an analysis or a report reads.

    Attributes
    ----------
    folder
        The run folder.
    config
        The config of the run.
    labels
        The label set of the bias axis, in order.
    corpus
        ``name``, ``citation``, ``licence`` and ``parts``: ``{part: {label: articles}}``.
    real
        The real articles that every generation is prompted with (`tables.ARTICLES`).
    articles
        Every generated article: ``regime, seed, generation`` and `tables.ARTICLES`. An article
        has the ``article_id``, ``title``, ``label`` and ``source`` of the real one that prompted
        it (further samples from one opening have ids ``ID#2``, ``ID#3``, ...); its ``body`` is
        untrusted model output. The base model's are regime ``base``,
        generation -1.
    scores
        `tables.SCORES`. The real articles' own scores are regime ``real``, generation -1.
        ``holdout_perplexity`` rows are each model's perplexity on held-out real articles.
    leaning_scores
        `tables.LEANING_SCORES`, likewise.
    set_scores
        `tables.SET_SCORES`, likewise.
    cards
        One instrument card per metric that has an instrument; see `metrics.card`.
    stages
        ``kind, name, key, seconds, finished`` of every stage: wall time in seconds, ISO time.
    bad_rows
        ``location, reason`` of every corpus row that was skipped.
    provenance
        Versions, platform, config hash: a flat mapping of text.
    updates
        `tables.UPDATES`: each model's update, projected on the bias direction.
    neurons
        `tables.NEURONS`: the base model's are regime ``base``, generation -1.
    trained
        `tables.TRAINED`: the tokens that each model was fine-tuned on.
    holdout
        The real articles that nothing trains on (`tables.ARTICLES`).
    events
        Real article id -> the event that it is about, where ``corpus.columns.event`` says it.
    decoding
        ``ends``: the tokens that end a text; ``not_applied``: what else the base model's own
        decoding settings ask for; ``adapter``: the one merged into it, if any. Empty where no
        generation was written yet.
    """

    folder: Path
    config: Config
    labels: tuple[str, ...]
    corpus: dict[str, Any]
    real: pl.DataFrame
    articles: pl.DataFrame
    scores: pl.DataFrame
    leaning_scores: pl.DataFrame
    set_scores: pl.DataFrame
    cards: tuple[dict[str, Any], ...]
    stages: pl.DataFrame
    bad_rows: pl.DataFrame
    provenance: dict[str, str]
    updates: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=UPDATES))
    neurons: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=NEURONS))
    trained: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TRAINED))
    holdout: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ARTICLES))
    events: Mapping[str, str] = field(default_factory=dict)
    decoding: Mapping[str, Any] = field(default_factory=dict)
