"""Every regime on the positive control, held against synthetic: what it does to a planted bias.

    python benchmarks/regimes.py OUT [REGIME ...] [--seeds 3]   # no REGIME: all of them

A run per regime, with synthetic beside it; what runs have in common is computed once, in the
cache. It goes on where it stopped. docs/dose.md has the table. Nothing is chosen by its outcome:
doses are each regime's default, 1/2 or 1, the verifier's band is where 90 % of real articles lie,
words are paired in the order in which the corpus was made up, and neurons to edit come from chains
of other seeds.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import biasloop as bl
from biasloop.analysis import judge_run, outcomes, run_answer, tables_of
from biasloop.config import Config, load_config
from biasloop.corpus.control import vocabulary

REGIMES: dict[str, dict[str, Any]] = {
    "synthetic": {"kind": "synthetic"},
    "overfitting": {"kind": "overfitting", "epochs": 6},
    "preservation": {"kind": "preservation", "fraction": 1.0},
    "real_share": {"kind": "real_share", "share": 0.5},
    "accumulation": {"kind": "accumulation"},
    "accumulate_subsample": {"kind": "accumulate_subsample"},
    "balanced": {"kind": "balanced"},
    "verified": {"kind": "verified", "quality": None},
    "surprise": {"kind": "surprise"},
    "detector": {"kind": "detector"},
    "reweighted": {"kind": "reweighted"},
    "anchored": {"kind": "anchored"},
    "anchored-kl-1": {"kind": "anchored", "kl": 1.0},
    "interpolated": {"kind": "anchored", "kl": 0, "interpolate": 0.5},
    "counterfactual": {"kind": "counterfactual"},
    "edited": {"kind": "edited"},
    "temperature-1": {"kind": "synthetic", "decoding": {"temperature": 1.0}},
    "min-p-0.1": {"kind": "synthetic", "decoding": {"min_p": 0.1}},
    "real-only": {"kind": "real"},
}
#: Of the chains in which the neurons to edit are looked for.
OTHER_SEEDS = (100, 101, 102)


def experiment(seeds: Sequence[int], regimes: list[Any]) -> dict[str, Any]:
    """Put the positive control's config together with perplexity, and these regimes."""
    config = load_config("control-positive").model_dump(mode="json")
    config["loop"]["seeds"] = list(seeds)
    config["metrics"]["names"].append("perplexity")
    return config | {"regimes": regimes}


def settings(name: str, out: Path, seeds: int) -> dict[str, Any]:
    """Complete a regime's settings with what only another run or the corpus can say."""
    own = {"name": name, **REGIMES[name]}
    config = load_config("control-positive")
    if own["kind"] == "verified":
        own["perplexity"] = _band(
            bl.run(experiment(range(seeds), ["synthetic"]), out / "synthetic")
        )
    if own["kind"] == "counterfactual":
        own["pairs"] = _pairs(config)
    if own["kind"] == "edited":
        values = experiment(OTHER_SEEDS, ["synthetic"])
        source = bl.run(values | {"neurons": {"sites": ["mlp_out"]}}, out / "neurons")
        bl.find_neurons(source, ["leaning:red"], out=source.folder / "neurons")
        own["file"] = str(source.folder / "neurons" / "associations.parquet")
    return own


def _band(run: bl.Run) -> list[float]:
    rows = run.scores.filter(regime="real", metric="perplexity")["value"]
    return [float(rows.quantile(at) or 0) for at in (0.05, 0.95)]


def _pairs(config: Config) -> list[list[str]]:
    words = vocabulary(config.corpus.control, config.seed)
    return [list(pair) for pair in zip(words["red"], words["blue"], strict=False)]


def measured(run: bl.Run, name: str) -> dict[str, Any]:
    """Read what a run says of one regime."""
    results = run.results
    found = outcomes(tables_of(results))
    answer = run_answer(results, judge_run(results, found), found)
    (one,) = (one for one in answer.regimes if one.regime.label == name)
    moved, against = one.verdict.leaning_change, one.contrast
    return {
        "regime": name,
        "trains on": one.regime.trains_on,
        "chains": one.verdict.chains,
        "articles": one.verdict.articles,
        "change": moved and [moved.value, moved.low, moved.high],
        "less": against and [against.value, against.low, against.high],
        "holm": against and against.holm,
        "before": moved and moved.before,
        "bias": one.verdict.bias,
        "collapsed": one.verdict.collapsed,
        "tokens": one.tokens,
        "real": one.real_articles,
    }


def row(found: Mapping[str, Any]) -> str:
    """Write a line of the table in Markdown."""

    def points(figures: list[float] | None) -> str:
        if not figures:
            return "–"
        value, low, high = (100 * figure for figure in figures)
        return f"{value:+.1f} ({low:+.1f} to {high:+.1f})".replace("-", "−")

    tokens = "–" if found["tokens"] is None else f"{found['tokens'] / 1000:,.0f}"
    cells = [
        f"`{found['regime']}`",
        "–" if found["before"] is None else f"{100 * found['before']:.0f}",
        points(found["change"]),
        points(found["less"]),
        found["bias"],
        found["collapsed"],
        tokens,
        f"{found['real']:,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run what was asked for, and print the table of all that is there."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("regimes", nargs="*", metavar="REGIME")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_intermixed_args()
    if unknown := set(given.regimes) - set(REGIMES):
        sys.exit(f"no regime {', '.join(sorted(unknown))}; there are {', '.join(REGIMES)}")
    os.environ.setdefault("BIASLOOP_CACHE", str(given.out / "cache"))
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.regimes or REGIMES:
        kept = given.out / f"{name}-{given.seeds}.json"
        if not kept.is_file():
            regimes: list[Any] = [{"kind": "synthetic"}] * (name != "synthetic")
            regimes.append(settings(name, given.out, given.seeds))
            folder = given.out / f"{name}-{given.seeds}"
            run = bl.run(experiment(range(given.seeds), regimes), folder)
            kept.write_text(json.dumps(measured(run, name)), encoding="utf-8")
        print(row(json.loads(kept.read_text(encoding="utf-8"))), flush=True)


if __name__ == "__main__":
    main()
