"""What each choice of the paper's authors changes, measured against ours on the demo's corpus.

    python benchmarks/paper_options.py [--news FILE] [--seeds 3] [--generations 2] [--out FOLDER]

Everything is the demo's (corpus, base model, epochs, sampling), but that the model writes from
blocks and trains on lines, as the paper's does, in one regime, `synthetic`.
Convention passages have neither titles nor empty lines: --news takes articles that have (columns
title, body, label and source, such as those of Article-Bias-Prediction), cut to 150 words. Each
option is run against the default; what it does not change is taken from the default's run. The
figures are of the last generation; intervals are over articles, by source, and chains, and a
difference is paired. Prints the table of docs/protocols.md. Some 6 minutes of processor time a
corpus.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from transformers import AutoTokenizer

import biasloop as bl
from biasloop.analysis import Inference, paired_mean
from biasloop.assets import cache_folder
from biasloop.config import example_text, read_yaml
from biasloop.loop import Store, make_plan
from biasloop.models.tokens import tokenized

WORDS = 150
LINE = "title: {title}\nbody: {body}"
#: Option -> settings that differ from the default's, and the figures to show.
OPTIONS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "classifier reads the title line": ({"metrics.leaning.input": LINE}, ("share",)),
    "perplexity reads the title line": ({"metrics.perplexity.input": LINE}, ("perplexity",)),
    "sentences end at every full stop": (
        {"metrics.quality.sentence_end": "full-stop"},
        ("quality",),
    ),
    "the same, the title line graded, too": (
        {"metrics.quality.sentence_end": "full-stop", "metrics.quality.input": f'"{LINE}"'},
        ("quality",),
    ),
    "training lines with marks, and empty lines": (
        {"training.input": f'"{LINE}"', "training.empty_lines": "keep"},
        ("share", "quality", "perplexity"),
    ),
}


def write_news(source: Path, target: Path) -> None:
    """Write news articles, cut to as many words as the demo's passages have."""
    table = pl.read_parquet(source).select("id", "title", "body", "label", "source")
    with target.open("w", encoding="utf-8") as handle:
        for row in table.iter_rows(named=True):
            body = row["body"].split(" ")[:WORDS]
            handle.write(json.dumps({**row, "body": " ".join(body)}) + "\n")


def config_of(news: Path | None, seeds: int, generations: int) -> dict[str, Any]:
    """Lay the default out."""
    values: Any = read_yaml(example_text("demo"), "demo")
    values["generation"] = {
        key: values["generation"][key] for key in ("decoding", "top_p", "temperature", "batch_size")
    }
    values["training"]["samples"] = "line"
    values["regimes"] = ["synthetic"]
    values["loop"] = {"generations": generations, "seeds": list(range(seeds)), "keep_models": "all"}
    values["neurons"] = {"sites": ["mlp_out", "resid_post"], "max_tokens": 512, "batch_size": 16}
    values["metrics"] = {"names": ["leaning", "quality", "perplexity"]}
    if news:
        values["corpus"] = {
            "source": str(news),
            "format": "jsonl",
            "labels": ["left", "center", "right"],
            "articles_per_label": 40,
            "instrument_fraction": 0.2,
            "holdout_per_label": 10,
        }
        mix = {"left": 0.2, "center": 0.3, "right": 0.5}
        values["base"]["scratch"]["pretraining"] |= {"mix": mix, "steps": 250}
        values["report"]["leaning"] = "right"
    return values


def changed(values: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Set settings by their dotted names."""
    result = copy.deepcopy(values)
    for name, value in settings.items():
        *path, last = name.split(".")
        section = result
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
    return result


def figures(run: bl.Run, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Lay a figure of the last generation out, shape (chains, articles), and the sources."""
    if name == "share":
        table = run.leaning_scores.sort("probability", descending=True, maintain_order=True)
        table = table.group_by("regime", "seed", "generation", "article_id", maintain_order=True)
        leaning = run.config.report.leaning
        table = table.agg((pl.first("leaning") == leaning).cast(pl.Float64).alias("value"))
    else:
        table = run.scores.filter(metric=name)
    table = table.filter(regime="synthetic", generation=run.config.loop.generations)
    wide = table.pivot(on="seed", index="article_id", values="value").sort("article_id")
    sources = wide.join(run.articles.unique("article_id"), on="article_id", maintain_order="left")
    values = wide.drop("article_id").to_numpy().T.astype(float)
    return values, sources["source"].rank("dense").to_numpy()


def told(found: Inference | None, scale: float, digits: int, sign: str = "") -> str:
    """Write an estimate with its interval."""
    if found is None:
        return "–"
    value, *ends = (scale * number for number in (found.value, *found.interval()))
    low, high = (f"{end:{sign}.{digits}f}" for end in ends)
    return f"{value:{sign}.{digits}f} ({low} to {high})"


def compared(name: str, figure: str, before: bl.Run, after: bl.Run) -> str:
    """Write a row of the table."""
    (ours, sources), (theirs, _) = figures(before, figure), figures(after, figure)
    scale, digits = {"share": (100, 1), "quality": (1, 3), "perplexity": (1, 1)}[figure]
    label = f"share {before.config.report.leaning}, %" if figure == "share" else figure
    one = figure == "share"
    clusters = sources if len(np.unique(sources)) > 10 else None
    cells = [told(paired_mean(v, clusters, one), scale, digits) for v in (ours, theirs)]
    cells.append(told(paired_mean(theirs - ours, clusters, one), scale, digits, "+"))
    return f"| {name} | {label} | {' | '.join(cells)} |"


def neurons(run: bl.Run, titled: bl.Run) -> None:
    """Print how many neurons go with leaning, by site."""
    places = (
        ("mlp_out", "weight", run),
        ("mlp_out", "activation", run),
        ("mlp_out, titles read", "activation", titled),
        ("resid_post", "activation", run),
        ("resid_post, titles read", "activation", titled),
    )
    print("\n| site | quantity | p < 0.05 for leaning | for quality | of |\n|---|---|---|---|---|")
    for site, quantity, own in places:
        found = bl.find_neurons(
            own, quantity=quantity, site=site.partition(",")[0], include_withheld=True
        )
        counts = list(found.counts().values())
        total = counts[0].tests
        print(f"| {site} | {quantity} | {counts[0].raw} | {counts[1].raw} | {total} |")


def long_titles(run: bl.Run, news: Path | None) -> None:
    """Print how many titles one block does not hold: what `generation.whole_titles` changes."""
    base = Store(run.folder, cache_folder()).checked(make_plan(run.config).base)
    tokenizer = AutoTokenizer.from_pretrained(base / "model")
    everything = pl.read_ndjson(news)["title"] if news else run.results.real["title"]
    for name, titles in (("the loop's", run.results.real["title"]), ("all", everything)):
        lengths = [len(ids) for ids in tokenized(tokenizer, titles)]
        longer = sum(length > 64 for length in lengths)
        print(f"titles of more than 64 tokens, {name}: {longer:,} of {len(lengths):,}")


def main() -> None:
    """Run all, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--news", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--generations", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    folder = given.out or Path(tempfile.mkdtemp(prefix="biasloop-paper-options-"))
    folder.mkdir(parents=True, exist_ok=True)
    news = folder / "news.jsonl" if given.news else None
    if news and not news.exists():
        write_news(given.news, news)
    values = config_of(news, given.seeds, given.generations)
    default = bl.run(values, folder / "default")
    print("| option | figure | default | the authors' | difference |\n|---|---|---|---|---|")
    for number, (name, (settings, shown)) in enumerate(OPTIONS.items()):
        run = bl.run(changed(values, settings), folder / f"option-{number}", reuse=[default.folder])
        for figure in shown:
            print(compared(name, figure, default, run), flush=True)
    long_titles(default, news)
    titled = changed(values, {"neurons.input": LINE})
    neurons(default, bl.run(titled, folder / "titled", reuse=[default.folder]))


if __name__ == "__main__":
    main()
