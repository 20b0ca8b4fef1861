"""One base model, written with from blocks and from openings: how far does its own lean feed back?

    python benchmarks/protocols.py [--seeds 5] [--out FOLDER]

The articles are made up so that the truth is known: a neutral opening of seven words, then
sentences with words of one leaning only. Red says its sentences in 5 words of its own, blue in 20.
Sampling at a temperature T below 1 favours what is said in fewer words: the odds of red after a
neutral opening multiply by (20/5)^(1/T - 1), which is 2.5 at T = 0.6. Half of the articles are red.
Prints the table of docs/protocols.md and the config.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import biasloop as bl
from biasloop.config import parse_config, write_yaml
from biasloop.loop import make_plan

PER_LABEL = 420
NEUTRAL = "today many people in the town met to talk about plans for next year".split()  # noqa: SIM905
COMMON = "the and of we our will must that".split()  # noqa: SIM905
OWN = {"red": 5, "blue": 20}
PROTOCOLS: dict[str, dict[str, Any]] = {
    "blocks": {"prompts": "blocks", "block_tokens": 8, "new_tokens": 8},
    "openings": {"prompts": "openings", "opening_tokens": 7, "new_tokens": 46},
}


def words_of(label: str) -> list[str]:
    """Name a leaning's own words: short, so that each is about one token."""
    return [f"{label[0]}{letter}a" for letter in "bcdfghjklmnpqrstvwxz"[: OWN[label]]]


def write_corpus(path: Path) -> None:
    """Write the made-up articles."""
    random = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as handle:
        for label in OWN:
            own = words_of(label)
            for number in range(PER_LABEL):
                opening = " ".join(random.choice(NEUTRAL, 7))
                sentences = [
                    " ".join(f"{random.choice(COMMON)} {random.choice(own)}" for _ in range(4))
                    for _ in range(5)
                ]
                body = ". ".join([opening, *sentences]) + "."
                row = {"id": f"{label}-{number}", "title": "", "label": label, "body": body}
                handle.write(json.dumps({**row, "source": ""}) + "\n")


def config_of(corpus: Path, protocol: str, seeds: int) -> dict[str, Any]:
    """Lay out a run; everything but the prompts is the same in both."""
    return {
        "name": protocol,
        "corpus": {
            "source": str(corpus),
            "articles_per_label": 100,
            "instrument_fraction": 0.5,
            "holdout_per_label": 10,
        },
        "base": {
            "model": "scratch",
            "scratch": {
                "layers": 2,
                "width": 64,
                "heads": 2,
                "vocabulary": 420,
                "context": 128,
                "pretraining": {
                    "steps": 250,
                    "batch_size": 16,
                    "tokens": 64,
                    "learning_rate": 3e-3,
                    "mix": {"red": 0.5, "blue": 0.5},
                    "precision": "float32",
                },
            },
        },
        "training": {
            "epochs": 3,
            "learning_rate": 4e-4,
            "batch_size": 16,
            "samples": "article",
            "precision": "float32",
        },
        "generation": {
            **PROTOCOLS[protocol],
            "decoding": "nucleus",
            "top_p": 1.0,
            "temperature": 0.6,
            "batch_size": 512,
            "precision": "float32",
        },
        "loop": {
            "generations": 4,
            "seeds": list(range(seeds)),
            "bias_direction": "none",
            "keep_models": "none",
        },
        "regimes": ["synthetic", "real"],
        "metrics": {"names": ["leaning"], "leaning": {"candidates": ["word-tfidf"]}},
        "neurons": {"sites": []},
    }


def told(run: bl.Run, regime: str, generation: int) -> str:
    """Write the share of red, pooled over chains, with its interval."""
    row = run.summary().filter(
        (pl.col("regime") == regime)
        & (pl.col("generation") == generation)
        & (pl.col("quantity") == "share:red")
        & (pl.col("seed").is_null() | pl.lit(regime in {"real", "base"}))
    )
    found = row.row(0, named=True)
    if found["value"] is None:
        return "withheld"
    value, low, high = (f"{100 * found[name]:.0f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def counted(run: bl.Run, regime: str, generation: int) -> tuple[list[float], float]:
    """Count words, which no classifier can misread.

    Returns
    -------
    chains
        For each, the share of articles that have more red words than blue.
    words
        Red words, as a share of the leaning words of an article; the mean over articles.
    """
    table = run.articles.filter((pl.col("regime") == regime) & (pl.col("generation") == generation))
    mine = {label: set(words_of(label)) for label in OWN}
    rows = []
    for seed, body in table.select("seed", "body").iter_rows():
        words = body.replace(".", " ").split()
        red, blue = (sum(word in mine[label] for word in words) for label in ("red", "blue"))
        rows.append((seed, red > blue, red / (red + blue) if red + blue else None))
    frame = pl.DataFrame(rows, schema=["seed", "red", "words"], orient="row")
    chains = frame.group_by("seed").agg(pl.col("red").mean()).sort("seed")["red"].to_list()
    return chains, float(frame["words"].drop_nulls().to_numpy().mean())


def main() -> None:
    """Run both, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    folder = given.out or Path(tempfile.mkdtemp(prefix="biasloop-protocols-"))
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "articles.jsonl"
    if not corpus.exists():
        write_corpus(corpus)
    runs, seconds, bases = {}, {}, set()
    for protocol in PROTOCOLS:
        values = config_of(corpus, protocol, given.seeds)
        begun = time.perf_counter()
        runs[protocol] = bl.run(values, folder / protocol)
        seconds[protocol] = time.perf_counter() - begun
        bases.add(make_plan(parse_config(values)).base.key)
    (base,) = bases
    print(f"base model of both: {base}; seconds: {seconds}\n")
    sets = [("real", -1), ("base", -1)]
    sets += [(r, g) for r in ("synthetic", "real_only") for g in range(5)]
    print("| set | from blocks | from openings |\n|---|---|---|")
    for regime, generation in sets:
        cells = [told(run, regime, generation) for run in runs.values()]
        name = regime if generation < 0 else f"{regime}, Generation {generation}"
        print(f"| {name} | {' | '.join(cells)} |")
    print("\nby counting words: articles with more red words, by chain; red words in an article")
    for regime, generation in sets[1:]:
        for protocol, run in runs.items():
            chains, words = counted(run, regime, generation)
            shares = ", ".join(f"{100 * share:.0f}" for share in chains)
            print(f"{regime} {generation} {protocol}: {shares} %; {100 * words:.0f} %")
    print("\n" + write_yaml(config_of(Path("articles.jsonl"), "openings", given.seeds)))


if __name__ == "__main__":
    main()
