"""The built-in leaning classifiers on news: unseen articles of known outlets, and unseen outlets.

Run: python benchmarks/instruments.py ARTICLES.parquet [--json FILE]. The file has the columns body,
label, source, random_split and media_split (train, valid, or null for neither). Each candidate is
fitted to a split's train and scored on its valid. Intervals: 95 %, of 1,000 resamples of articles
for random_split; of outlets for media_split, whose articles are not independent of each other.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table
from sklearn.metrics import confusion_matrix

from biasloop.metrics.classifier import CANDIDATES, fit_linear
from biasloop.metrics.evaluation import macro_f1
from biasloop.metrics.tokenization import cut

MAX_WORDS = 500
RESAMPLES = 1000


def measure(articles: pl.DataFrame, split: str, name: str) -> dict:
    """Fit to a split's train, score its valid: macro-F1 with an interval, F1 by label."""
    kept = articles.filter(pl.col(split).is_in(["train", "valid"]))
    labels = kept["label"].unique().sort().to_list()
    truth = np.array([labels.index(label) for label in kept["label"]])
    is_train = (kept[split] == "train").to_numpy()
    train, test = np.flatnonzero(is_train), np.flatnonzero(~is_train)
    candidate = CANDIDATES[name]
    prepared = candidate.prepare([cut(body, MAX_WORDS) for body in kept["body"]])
    features, held_out = prepared.encode(train, test)
    linear = fit_linear(features, truth[train], len(labels), candidate.strength)
    read, wanted = linear.logits(held_out).argmax(axis=1), truth[test]
    units = kept["source"].to_numpy()[test] if split == "media_split" else np.arange(len(test))
    _, group = np.unique(units, return_inverse=True)
    cells = np.zeros((group.max() + 1, len(labels), len(labels)))
    np.add.at(cells, (group, wanted, read), 1)
    random = np.random.default_rng(0)
    draws = random.multinomial(len(cells), np.full(len(cells), 1 / len(cells)), RESAMPLES)
    pairs = np.indices((len(labels), len(labels))).reshape(2, -1)
    scores = [macro_f1(*pairs, len(labels), np.tensordot(draw, cells, 1).ravel()) for draw in draws]
    confusion = confusion_matrix(wanted, read, labels=range(len(labels)))
    by_label = 2 * np.diag(confusion) / (confusion.sum(0) + confusion.sum(1))
    return {
        "split": split,
        "candidate": name,
        "train": len(train),
        "test": len(test),
        "units": len(cells),
        "macro_f1": macro_f1(wanted, read, len(labels)),
        "interval": np.quantile(scores, [0.025, 0.975]).tolist(),
        "f1": dict(zip(labels, by_label.tolist(), strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("articles", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    articles = pl.read_parquet(given.articles)
    found = [
        measure(articles, split, name)
        for name in ("word-tfidf", "character-tfidf")
        for split in ("random_split", "media_split")
    ]
    table = Table(
        "split", "classifier", "train", "test", "units", "macro-F1", "95 %", "F1 by label"
    )
    for row in found:
        by_label = ", ".join(f"{label} {value:.2f}" for label, value in row["f1"].items())
        counts = (f"{row[key]:,}" for key in ("train", "test", "units"))
        interval = "{:.2f} to {:.2f}".format(*row["interval"])
        table.add_row(
            row["split"], row["candidate"], *counts, f"{row['macro_f1']:.2f}", interval, by_label
        )
    Console(width=120).print(table)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
