"""Do intervals of the corrected share cover the true one, at every kind and level of damage?

Run: python benchmarks/damage.py [--simulations N] [--splits N] [--jobs N] [--json FILE]. On the
convention passages, whose labels are known, for several splits of the speakers, each with a
classifier and damage of its own. A third of the speakers train the classifier. All others' passages
are read by it twice over: damaged as the instrument damages them, to all its levels; and damaged in
ways of their own (below), as if a model had written them. A simulation then draws from those:

- *25 speakers*: half of the others validate (their readings make the damage curve); of the rest 25
  are drawn, each of a label with the true share for its chance, and all their passages are read.
- *45 speakers*: a third validates; of the rest 45 are drawn, about as many as one label has.

No speaker is in two of training, validation and reading, and none is drawn twice. Intervals allow
for the luck of the drawn speakers' readings by the number of speakers; of repeated ones it would
be taken for smaller than it is.

A simulation hits where the 95 % interval of `analysis.prevalence` holds the true share of the
articles that can be read, and ``over_all`` where the bounds hold that of all; ``error`` is the
figure less the true share. Ways to damage: a prefix looped to the passage's length; the same with a
word in twelve replaced in every round; a cut; unknown words; loops with unknown words; and any of
these by chance, one label's passages damaged more often than the other's.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table
from sklearn.metrics import confusion_matrix

from biasloop.analysis import Tables, instrument_confusion, outcomes, prevalence
from biasloop.config.schema import CorpusConfig, ReportConfig
from biasloop.corpus.load import load_corpus
from biasloop.metrics.classifier import fit_builtin
from biasloop.metrics.damage import (
    DamageCurve,
    fit_curve,
    fit_domain,
    measure,
    read_by_all,
    unknown_words,
)
from biasloop.metrics.evaluation import group_ids
from biasloop.metrics.tokenization import words
from biasloop.tables import LEANING_SCORES, SCORES, SET_SCORES

SHARES = (0.2, 0.5, 0.8)
#: Speakers that are read -> the share of the others, as its inverse, that validates.
KINDS = {25: 2, 45: 3}
RESAMPLES = 400
MAX_WORDS = 500

Damage = Callable[[str, np.random.Generator], str]


def looped(share: float, replaced: float = 0.0) -> Damage:
    """Loop a prefix of a share of the words to the text's length."""

    def damage(text: str, random: np.random.Generator) -> str:
        pieces = text.split()
        prefix = pieces[: max(3, round(share * len(pieces)))]
        found = [prefix[i % len(prefix)] for i in range(len(pieces))]
        for at in np.flatnonzero(random.random(len(found)) < replaced):
            if at >= len(prefix):
                found[at] = pieces[int(random.integers(len(pieces)))]
        return " ".join(found)

    return damage


def cut(share: float, anywhere: bool = False) -> Damage:
    """Keep a share of the words, from the first or from a place of chance."""

    def damage(text: str, random: np.random.Generator) -> str:
        pieces = text.split()
        count = max(1, round(share * len(pieces)))
        start = int(random.integers(len(pieces) - count + 1)) if anywhere else 0
        return " ".join(pieces[start : start + count])

    return damage


def unknown(share: float, first: Damage | None = None) -> Damage:
    """Replace a share of the word types by made-up ones."""

    def damage(text: str, random: np.random.Generator) -> str:
        text = first(text, random) if first else text
        types = frozenset(words(text))
        made = unknown_words(text, share - 0.04, share + 0.04, types, frozenset(), random)
        return text if made is None else made

    return damage


WAYS: dict[str, Damage] = {
    "none": lambda text, _: text,
    "loop of 1/2": looped(0.5),
    "loop of 1/4": looped(0.25),
    "loop of 1/8": looped(0.125),
    "loop of 1/12": looped(1 / 12),
    "loop of 1/16": looped(0.0625),
    "loop of 1/4, a word in 12 replaced": looped(0.25, 1 / 12),
    "cut to 1/2": cut(0.5),
    "cut to 1/4": cut(0.25),
    "cut to 1/8": cut(0.125),
    "cut to 1/2, anywhere": cut(0.5, anywhere=True),
    "cut to 1/8, anywhere": cut(0.125, anywhere=True),
    "cut to 1/12, anywhere": cut(1 / 12, anywhere=True),
    "cut to 1/16, anywhere": cut(0.0625, anywhere=True),
    "20 % unknown": unknown(0.2),
    "40 % unknown": unknown(0.4),
    "60 % unknown": unknown(0.6),
    "loop of 1/4, 40 % unknown": unknown(0.4, looped(0.25)),
}
#: Chance of each way for the first label and the second.
MIXED = "by chance, the labels differently"


class Held:
    """Held-out passages, their readings on every level, and after every way of damage."""

    def __init__(self, seed: int) -> None:
        corpus = load_corpus(CorpusConfig(), seed)
        articles = corpus.articles
        self.labels = tuple(corpus.labels)
        truth = np.array([self.labels.index(label) for label in articles["label"]])
        speakers = group_ids(articles["source"].to_list())
        random = np.random.default_rng(seed)
        order = random.permutation(speakers.max() + 1)
        of_training = np.isin(speakers, order[: len(order) // 3])
        texts = read_by_all(articles["body"].to_list(), MAX_WORDS)
        train, rest = np.flatnonzero(of_training), np.flatnonzero(~of_training)
        sources = [str(source) for source in articles["source"]]
        classifier = fit_builtin(
            [texts[i] for i in train],
            truth[train],
            [sources[i] for i in train],
            len(self.labels),
            ("word-tfidf", "character-tfidf"),
            seed,
        ).classifier
        known = frozenset().union(*(words(texts[i]) for i in train))
        domain = fit_domain(texts, [rest])

        def read(_: int, versions: Sequence[str]) -> np.ndarray:
            return classifier.probabilities(versions).argmax(axis=1)

        self.curve = fit_curve(
            self.labels, texts, truth, speakers, domain, [rest], read, len(rest), random
        )
        self.truth, self.speakers = truth[rest], speakers[rest]
        self.level, self.reading, self.distinct = {}, {}, {}
        for name, way in WAYS.items():
            damaged = [way(articles["body"][int(i)], random) for i in rest]
            seen = read_by_all(damaged, MAX_WORDS)
            found = measure(seen, known, damaged)
            self.level[name] = domain.place(found)
            self.reading[name] = read(0, seen)
            self.distinct[name] = float(np.nanmean(found["distinct_3"]))
        ways = list(WAYS)
        chances = np.stack([np.linspace(2, 1, len(ways)), np.linspace(1, 2, len(ways))])
        chosen = [random.choice(len(ways), p=chances[t] / chances[t].sum()) for t in self.truth]
        for measured in (self.level, self.reading):
            measured[MIXED] = np.array([measured[ways[w]][i] for i, w in enumerate(chosen)])
        self.distinct[MIXED] = float(np.mean([self.distinct[ways[w]] for w in chosen]))

    def true_shares(self, chance: float, readable: np.ndarray) -> tuple[float, float]:
        """Give the second label's share of all articles and of readable ones."""
        shares = []
        for counted in (np.ones(len(readable)), readable):
            by_speaker = [
                counted[self.truth == k].sum() / len(np.unique(self.speakers[self.truth == k]))
                for k in range(2)
            ]
            first, second = (1 - chance) * by_speaker[0], chance * by_speaker[1]
            shares.append(second / (first + second) if first + second else float("nan"))
        return shares[0], shares[1]


def simulate(held: Held, size: int, random: np.random.Generator) -> list[dict]:
    """Draw validation and articles once, for every way of damage, of a true share by chance."""
    label_of = dict(zip(held.speakers.tolist(), held.truth.tolist(), strict=True))
    rows_of = {s: np.flatnonzero(held.speakers == s) for s in label_of}
    validating, reading = [], []
    for label in range(2):
        own = random.permutation([s for s, k in label_of.items() if k == label])
        part = len(own) // KINDS[size]
        validating += list(own[:part])
        reading += list(own[part:])
    rows = [row for s in validating for row in rows_of[s]]
    source = np.repeat(np.arange(len(validating)), [len(rows_of[s]) for s in validating])
    curve = DamageCurve(
        held.labels, held.curve.levels, source, held.truth[rows], held.curve.read[rows]
    )
    card = {"metric": "leaning", "labels": held.labels, "held_out": {}}
    counts = confusion_matrix(held.truth[rows], held.reading["none"][rows], labels=range(2))
    card["held_out"]["sources"] = {"labels": held.labels, "confusion": counts.tolist()}
    confusion = instrument_confusion([card], held.labels)
    scores, leanings, sources, truths = [], [], {}, {}
    by_label = [np.array([s for s in reading if label_of[s] == k]) for k in range(2)]
    for way, level in held.level.items():
        readable = (level >= 0) & curve.readable[level]
        share = float(random.choice(SHARES))
        key = (way, 0, 0)
        truths[way] = (share, *held.true_shares(share, readable))
        for label, count in enumerate(np.bincount(random.random(size) < share, minlength=2)):
            there = by_label[label]  # in 1 of 100 draws of 45 more are wanted than there are
            drawn = random.choice(there, min(count, len(there)), replace=False)
            for place, speaker in enumerate(drawn):
                for row in rows_of[speaker]:
                    article = f"{way}:{label}:{place}:{row}"
                    sources[article] = f"{label}:{place}"
                    scores.append((*key, article, "damage_level", float(level[row])))
                    scores.append((*key, article, "outside_domain", float(not readable[row])))
                    read = int(held.reading[way][row])
                    leanings += [
                        (*key, article, name, float(k == read))
                        for k, name in enumerate(held.labels)
                    ]
    tables = Tables(
        held.labels,
        pl.DataFrame(scores, SCORES, orient="row"),
        pl.DataFrame(leanings, LEANING_SCORES, orient="row"),
        SET_SCORES.to_frame(),
        outside_share=ReportConfig().outside_share,
        sources=sources,
        curve=curve,
    )
    table = prevalence(
        tables, outcomes(tables), confusion, RESAMPLES, int(random.integers(2**31)), False
    ).filter(pl.col("leaning") == held.labels[1])
    found = {row["regime"]: row for row in table.iter_rows(named=True)}
    return [
        {"way": way, "share": share, **_judge(found.get(way), *true)}
        for way, (share, *true) in truths.items()
    ]


def _judge(row: dict | None, share: float, readable: float) -> dict:
    if row is None:
        return dict.fromkeys(("hit", "over_all", "error", "width", "unread", "as_read"))
    return {
        "hit": bool(row["adjusted_low"] <= readable <= row["adjusted_high"]),
        "over_all": bool(row["least"] <= share <= row["most"]),
        "error": row["adjusted"] - readable,
        "width": row["adjusted_high"] - row["adjusted_low"],
        "unread": row["unread"],
        "as_read": bool(row["read_low"] <= readable <= row["read_high"]),
    }


def split_rows(split: int, simulations: int) -> list[dict]:
    """Simulate one split of the speakers, for both kinds of articles."""
    held, random = Held(split), np.random.default_rng([1, split])
    return [
        {"speakers": size, "split": split, "distinct": held.distinct[row["way"]], **row}
        for size in KINDS
        for _ in range(simulations)
        for row in simulate(held, size, random)
    ]


def summarised(rows: Sequence[dict]) -> pl.DataFrame:
    """Average over simulations; ``hit_error`` is the standard error over splits of the speakers."""
    figures = ("distinct", "hit", "over_all", "as_read", "error", "width", "unread")
    by = ["speakers", "way"]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    of_split = frame.group_by(*by, "split", maintain_order=True).agg(pl.col("hit").mean())
    error = of_split.group_by(*by, maintain_order=True).agg(
        (pl.col("hit").std() / pl.col("hit").count().sqrt()).alias("hit_error")
    )
    table = frame.group_by(*by, maintain_order=True).agg(
        *(pl.col(name).mean() for name in figures),
        pl.col("hit").is_null().mean().alias("withheld"),
    )
    return table.join(error, on=by, maintain_order="left")


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=60, help="of each split")
    parser.add_argument("--splits", type=int, default=10, help="of the speakers")
    parser.add_argument("--first", type=int, default=0, help="number of the first split")
    parser.add_argument("--jobs", type=int, default=1, help="splits side by side")
    parser.add_argument("--rows", type=Path, help="write each finished split's rows here (JSONL)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: list[dict] = []
    with ProcessPoolExecutor(arguments.jobs, get_context("spawn")) as pool:
        splits = range(arguments.first, arguments.first + arguments.splits)
        futures = [pool.submit(split_rows, split, arguments.simulations) for split in splits]
        for count, future in enumerate(as_completed(futures), start=1):
            rows += future.result()
            if arguments.rows:
                with arguments.rows.open("a") as file:
                    file.writelines(json.dumps(row) + "\n" for row in future.result())
            print(f"{count} of {arguments.splits} splits", file=sys.stderr, flush=True)
    table = summarised(rows)
    shown = Table("speakers", "damage", "distinct trigrams", *table.columns[3:])
    for size, way, distinct, *values in table.iter_rows():
        cells = ["–" if value is None else f"{100 * value:.1f}" for value in values]
        shown.add_row(str(size), way, f"{distinct:.2f}", *cells)
    Console(width=190).print(shown)
    if arguments.json:
        arguments.json.write_text(json.dumps(table.to_dicts(), indent=1))


if __name__ == "__main__":
    main()
