"""A made-up run with known drifts, whose texts try to break out of the page."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from biasloop.config import parse_config
from biasloop.loop.results import Results
from biasloop.tables import ARTICLES, LEANING_SCORES, SCORES, SET_SCORES, TRAINED

#: Marks that a script of a generated text ran.
MARKER = "biasloop-was-here"

HOSTILE = (
    f"<script>document.title='{MARKER}'</script> and so </script><script>alert(1)</script>",
    f'<img src="x" onerror="document.title=\'{MARKER}\'">',
    f"\"><svg onload=document.title='{MARKER}'>",
    "a\x00b \u202eright to left override\u202c \u2066isolate\u2069 \u200frtl mark مرحبا",
    "Donaudampfschifffahrt" * 60,
    "{{ 7 * 7 }} {% raw %} ${x} $\\frac{1}{2}$ &lt;b&gt; <!-- <![CDATA[ ]]> \u2028 \ufeff",
    "an ordinary sentence about the economy, jobs and families. " * 30,
)

_WORDS = ["we", "will", "build", "an", "economy", "that", "works", "for", "families", "and"]


def _body(rng: np.random.Generator, index: int, words: int = 120) -> str:
    plain = " ".join(rng.choice(_WORDS, words))
    return f"{plain}. {HOSTILE[index % len(HOSTILE)]}"


def _evaluation(labels: tuple[str, ...], n: int, accuracy: float) -> dict[str, Any]:
    size = len(labels)
    each = n // size
    right = round(each * accuracy)
    wrong = (each - right) // max(size - 1, 1)
    confusion = [[right if i == j else wrong for j in range(size)] for i in range(size)]
    bins = [
        {"confidence": c, "accuracy": min(1.0, c * 0.9 + 0.05), "n": n // 5}
        for c in (0.45, 0.55, 0.65, 0.75, 0.9)
    ]
    return {
        "n": n,
        "macro_f1": accuracy - 0.01,
        "accuracy": accuracy,
        "labels": list(labels),
        "confusion": confusion,
        "log_loss": 0.5,
        "brier": 0.31,
        "expected_calibration_error": 0.041,
        "bins": bins,
    }


def leaning_card(labels: tuple[str, ...], weak: bool = False) -> dict[str, Any]:
    return {
        "metric": "leaning",
        "instrument": "word TF-IDF + logistic regression",
        "labels": list(labels),
        "trained_on": 300,
        "held_out": {
            "articles": _evaluation(labels, 300, 0.86),
            "sources": _evaluation(labels, 240, 0.55 if weak else 0.81),
        },
        "candidates": [
            {"name": "word-tfidf", "macro_f1": 0.85, "chosen": True},
            {"name": "character-tfidf", "macro_f1": 0.82, "chosen": False},
        ],
        "domain": {
            "words": {"low": 40.0, "high": None},
            "oov": {"low": None, "high": 0.35},
            "confidence": {"low": 0.5, "high": None},
        },
        "warnings": ["macro-F1 0.54 on unseen sources is hardly above chance"] if weak else [],
        "notes": ["held-out figures are out-of-fold predictions <b>not bold</b>"],
    }


def quality_card() -> dict[str, Any]:
    labels = ("noise", "word salad", "mild gibberish", "clean")
    return {
        "metric": "quality",
        "instrument": "sentence features + logistic regression",
        "labels": list(labels),
        "trained_on": 2400,
        "held_out": {"articles": _evaluation(labels, 800, 0.78), "sources": None},
        "candidates": [],
        "domain": {},
        "warnings": [],
        "notes": ["an article without a sentence scores 0"],
    }


def build_results(
    folder: Path,
    regimes: tuple[str, ...] = ("synthetic", "overfitting", "preservation", "accumulation"),
    seeds: tuple[int, ...] = (0,),
    generations: int = 5,
    labels: tuple[str, ...] = ("left", "center", "right"),
    articles: int = 60,
    metrics: tuple[str, ...] = ("leaning", "quality", "perplexity", "diversity"),
    collapsing: tuple[str, ...] = ("overfitting",),
    weak: bool = False,
    bad_rows: int = 0,
    unfinished: dict[str, int] | None = None,
    settings: dict[str, Any] | None = None,
) -> Results:
    """Make up a run.

    ``synthetic`` drifts towards the last label; ``collapsing`` regimes leave the domain from
    Generation 2 on; ``unfinished`` says after which generation a regime stops.
    """
    rng = np.random.default_rng(7)
    config = parse_config(
        {
            "name": "made-up",
            "regimes": list(regimes),
            "loop": {"generations": generations, "seeds": list(seeds)},
            "metrics": {"names": list(metrics)},
            "corpus": {"labels": list(labels)},
            **(settings or {}),
        }
    )
    ids = [f"a{index:04d}" for index in range(articles)]
    real = pl.DataFrame(
        {
            "article_id": ids,
            "title": [f"Title {i} {HOSTILE[i % len(HOSTILE)][:80]}" for i in range(articles)],
            "body": [_body(rng, index) for index in range(articles)],
            "label": [labels[index % len(labels)] for index in range(articles)],
            "source": [f"source {index % 7}" for index in range(articles)],
        },
        schema=ARTICLES,
    )
    taste = rng.normal(size=(articles, len(labels)))
    sets = [("real", 0, -1), ("base", 0, -1)]
    for regime in regimes:
        last = (unfinished or {}).get(regime, generations)
        sets += [(regime, seed, g) for seed in seeds for g in range(last + 1)]
    made, scores, leanings, set_scores = [], [], [], []
    for regime, seed, generation in sets:
        own_world = zlib.crc32(regime.encode()) if generation > 0 else 0
        own = np.random.default_rng([seed, generation + 1, own_world])
        age = max(generation, 0)
        gone = regime in collapsing and generation >= 2
        drift = {"synthetic": 0.25, "overfitting": 0.3}.get(regime, -0.02) * age
        start = {"real": 0.0, "base": 0.5}.get(regime, 0.3)
        logits = taste + own.normal(scale=0.7, size=taste.shape)
        logits[:, -1] += start + drift
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        keys = {"regime": regime, "seed": seed, "generation": generation}
        if "leaning" in metrics:
            leanings += [
                {**keys, "article_id": a, "leaning": label, "probability": float(p[i, j])}
                for i, a in enumerate(ids)
                for j, label in enumerate(labels)
            ]
        loss = {"synthetic": 0.12, "overfitting": 0.3}.get(regime, 0.02) * age
        columns = {
            "leaning": {
                "leaning_confidence": p.max(axis=1),
                "leaning_agreement": (p.max(axis=1) > 0.5).astype(float),
                "domain_words": own.normal(200, 10, articles),
                "domain_oov": np.clip(own.normal(0.2 + 0.25 * gone, 0.03, articles), 0, 1),
                "domain_distinct_3": np.clip(own.normal(0.95 - 0.5 * gone, 0.02, articles), 0, 1),
                "domain_repetition": np.clip(own.normal(0.03 + 0.5 * gone, 0.01, articles), 0, 1),
                "outside_domain": (own.random(articles) < (1.0 if gone else 0.04)).astype(float),
            },
            "quality": {"quality": np.clip(own.normal(2.3 - loss, 0.3, articles), 0, 3)},
            "perplexity": {"perplexity": np.exp(own.normal(2.0 - 0.1 * age, 0.3, articles))},
            "diversity": {
                "distinct_1": np.clip(own.normal(0.6 - 0.03 * age, 0.05, articles), 0, 1),
                "distinct_2": np.clip(own.normal(0.9 - 0.04 * age, 0.03, articles), 0, 1),
                "distinct_3": np.clip(own.normal(0.97 - 0.05 * age, 0.02, articles), 0, 1),
                "repetition": np.clip(own.normal(0.03 + 0.04 * age, 0.02, articles), 0, 1),
            },
        }
        for metric, found in columns.items():
            if metric in metrics:
                scores += [
                    {**keys, "article_id": a, "metric": name, "value": float(values[i])}
                    for name, values in found.items()
                    for i, a in enumerate(ids)
                ]
        if "diversity" in metrics:
            scores += [
                {**keys, "article_id": a, "metric": "self_bleu", "value": float(own.random() * 0.2)}
                for a in ids[:20]
            ]
            size = 3000.0 - 200 * age
            set_scores.append(
                {**keys, "metric": "vocabulary", "value": size, "low": size - 90, "high": size + 90}
            )
        if "perplexity" in metrics and regime != "real":
            scores += [
                {
                    **keys,
                    "article_id": f"h{i}",
                    "metric": "holdout_perplexity",
                    "value": float(np.exp(own.normal(3.0 + 0.15 * age, 0.3))),
                }
                for i in range(24)
            ]
        if regime != "real":
            made.append(
                real.with_columns(
                    pl.lit(regime).alias("regime"),
                    pl.lit(seed, dtype=pl.Int64).alias("seed"),
                    pl.lit(generation, dtype=pl.Int64).alias("generation"),
                    pl.Series("body", [_body(own, i + generation) for i in range(articles)]),
                )
            )
    cards = []
    if "leaning" in metrics:
        cards.append(leaning_card(labels, weak))
    if "quality" in metrics:
        cards.append(quality_card())
    stages = [
        {
            "kind": kind,
            "name": f"{regime} seed {seed} generation {generation}",
            "key": "0123456789abcdef" * 4,
            "seconds": 1.5 + generation,
            "finished": "2026-01-02T03:04:05+00:00",
        }
        for regime, seed, generation in sets
        if generation >= 0
        for kind in ("finetune", "generate", "score")
    ]
    sizes = {"overfitting": lambda g: 5, "accumulation": lambda g: 1 + g}
    trained = [
        {"regime": r, "seed": s, "generation": g, "tokens": 100 * sizes.get(r, lambda g: 1)(g)}
        for r, s, g in sets
        if g >= 0
    ]
    counts = real.group_by("label").len().sort("label")
    part = dict(zip(counts["label"].to_list(), counts["len"].to_list(), strict=True))
    return Results(
        folder=folder,
        config=config,
        labels=labels,
        corpus={
            "name": "made-up speeches",
            "citation": "Nobody (2026), <i>Made-up speeches</i>",
            "licence": "CC0",
            "parts": {"real": part, "instrument": part, "holdout": dict.fromkeys(labels, 8)},
        },
        real=real,
        articles=pl.concat(made),
        scores=pl.DataFrame(scores, schema=SCORES),
        leaning_scores=pl.DataFrame(leanings, schema=LEANING_SCORES),
        set_scores=pl.DataFrame(set_scores, schema=SET_SCORES),
        cards=tuple(cards),
        stages=pl.DataFrame(stages),
        bad_rows=pl.DataFrame(
            {
                "location": [f"speeches.csv, row {row}" for row in range(bad_rows)],
                "reason": ["empty body"] * bad_rows,
            },
            schema={"location": pl.String, "reason": pl.String},
        ),
        trained=pl.DataFrame(trained, schema=TRAINED),
        provenance={
            "biasloop": "0.1.0",
            "torch": "2.13.0",
            "platform": "Linux x86_64",
            "config_hash": "0123456789abcdef" * 4,
        },
    )
