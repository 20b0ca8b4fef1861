"""What a run costs against its articles, generations, regimes and model size: seconds and memory.

    python benchmarks/cost.py [--quick]

Each run is a process of its own, with a cache of its own, so that its peak memory is its own and
nothing is taken from another. For every kind of stage the exponent of growth is printed, between
the two largest sizes: 1 is linear. Stages whose seconds are too few to tell are left out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

#: A stage kind that takes less than this at the larger size says nothing of growth.
_TELLING = 0.5
_WORDS = 120


def write_corpus(path: Path, per_label: int) -> None:
    """Write made-up articles of two leanings, of as many different words as such a set has."""
    random = np.random.default_rng(0)
    common = [f"word{i}" for i in range(2000)]
    weights = 1 / np.arange(1, len(common) + 1)
    weights /= weights.sum()
    with path.open("w", encoding="utf-8") as handle:
        for label in ("red", "blue"):
            own = [f"{label}{i}" for i in range(30)]
            for i in range(per_label):
                drawn = random.choice(common, size=_WORDS, p=weights)
                marked = random.random(_WORDS) < 0.15
                drawn[marked] = random.choice(own, size=int(marked.sum()))
                body = " ".join(
                    " ".join(drawn[at : at + 12]).capitalize() + "." for at in range(0, _WORDS, 12)
                )
                row = {"id": f"{label}-{i}", "title": "", "body": body, "label": label}
                handle.write(json.dumps({**row, "source": f"{label}-{i % 40}"}) + "\n")


def config_of(corpus: Path, articles: int, generations: int, regimes: int, width: int) -> Any:
    """Lay out a run of so many real articles in the loop, and the same number beside it."""
    return {
        "name": "cost",
        "corpus": {
            "source": str(corpus),
            "articles_per_label": articles // 2,
            "instrument_fraction": 0.4,
            "holdout_per_label": 10,
        },
        "base": {
            "model": "scratch",
            "scratch": {
                "layers": 2,
                "width": width,
                "heads": 4,
                "vocabulary": 1000,
                "context": 256,
                "pretraining": {"steps": 20, "batch_size": 8, "tokens": 64},
            },
        },
        "training": {"epochs": 1, "samples": "article", "precision": "float32"},
        "generation": {
            "decoding": "nucleus",
            "batch_size": 256,
            "max_article_tokens": 128,
            "precision": "float32",
        },
        "loop": {"generations": generations},
        "regimes": [
            "synthetic",
            "preservation",
            "accumulate_subsample",
            # By itself it trains 25 times as long, which would be growth of another kind.
            {"kind": "overfitting", "epochs": 1},
        ][:regimes],
        "metrics": {"leaning": {"candidates": ["word-tfidf"]}},
    }


def run(config: Any, place: Path) -> None:
    """Run in this process; print the seconds of each kind of stage, and the peak memory."""
    os.environ["BIASLOOP_CACHE"] = str(place / "cache")
    import biasloop as bl

    done = bl.run(config, place / "run")
    stages = done.results.stages.group_by("kind").agg(seconds=_sum("seconds")).sort("kind")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"kinds": dict(stages.iter_rows()), "peak": peak}))


def _sum(column: str) -> Any:
    import polars as pl

    return pl.col(column).sum()


def measure(articles: int, generations: int, regimes: int, width: int) -> dict[str, Any]:
    """Run one size in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "articles.jsonl"
        # Half in the loop; the rest for instruments, held-out text and the base model.
        write_corpus(corpus, articles + 40)
        config = config_of(corpus, articles, generations, regimes, width)
        done = subprocess.run(
            [sys.executable, __file__, "--one", json.dumps(config), folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        return json.loads(done.stdout.strip().splitlines()[-1])


def exponent(small: float, large: float, ratio: float) -> float:
    """Return b of seconds proportional to size to the power b."""
    return math.log(large / small) / math.log(ratio)


def table(what: str, sizes: list[int], given: dict[str, int]) -> None:
    """Measure one dimension and print it."""
    found = []
    for size in sizes:
        found.append(measure(**{**given, what: size}))
        print(f"{what} {size:,}: {json.dumps(found[-1])}", file=sys.stderr, flush=True)
    kinds = sorted({kind for one in found for kind in one["kinds"]})
    print(f"\n{what}: {', '.join(f'{key} {value}' for key, value in given.items() if key != what)}")
    print(f"{'':14}" + "".join(f"{size:>10,}" for size in sizes) + f"{'exponent':>10}")
    ratio = sizes[-1] / sizes[-2]

    def line(name: str, values: list[float], unit: str = "s") -> None:
        grown = (
            f"{exponent(values[-2], values[-1], ratio):10.2f}"
            if unit != "s" or values[-1] >= _TELLING
            else ""
        )
        print(f"{name:14}" + "".join(f"{value:10.2f}" for value in values) + grown)

    for kind in kinds:
        line(kind, [one["kinds"].get(kind, 0.0) or 1e-3 for one in found])
    line("all stages", [sum(one["kinds"].values()) for one in found])
    line("peak, GiB", [one["peak"] / 2**30 for one in found], "GiB")
    per = (found[-1]["peak"] - found[0]["peak"]) / (sizes[-1] - sizes[0])
    print(f"memory per {what.rstrip('s')}: {per / 2**10:,.1f} KiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["articles", "generations", "regimes", "width"])
    parser.add_argument("--one", nargs=2, metavar=("CONFIG", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        run(json.loads(given.one[0]), Path(given.one[1]))
        return
    usual = {"articles": 100, "generations": 1, "regimes": 1, "width": 64}
    sizes = {
        "articles": [100, 400] if given.quick else [100, 1000, 10000],
        "generations": [1, 2] if given.quick else [1, 2, 4, 8],
        "regimes": [1, 2] if given.quick else [1, 2, 4],
        "width": [64, 128] if given.quick else [64, 128, 256, 512],
    }
    for what, these in sizes.items():
        if given.only in (None, what):
            table(what, these, usual)


if __name__ == "__main__":
    main()
