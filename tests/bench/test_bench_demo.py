"""The demo is run both ways and reckoned from a part, on made-up text."""

import json

import numpy as np
import pytest

from biasloop.bench import BenchSettings
from biasloop.bench.demo import measure_demo
from biasloop.config import parse_config

WORDS = ["river", "market", "tax", "farm", "school", "health", "union", "the", "of", "and", "we"]


@pytest.fixture
def small_demo(tmp_path, monkeypatch):
    random = np.random.default_rng(5)
    path = tmp_path / "articles.jsonl"
    with path.open("w") as handle:
        for i in range(60):
            label = ("red", "blue")[i % 2]
            body = ". ".join(" ".join([label, *random.choice(WORDS, 8)]) for _ in range(5))
            row = {"id": str(i), "title": "T", "label": label, "body": body, "source": str(i % 9)}
            handle.write(json.dumps(row) + "\n")
    values = {
        "corpus": {
            "source": str(path),
            "articles_per_label": 9,
            "instrument_fraction": 0.5,
            "holdout_per_label": 2,
        },
        "base": {
            "model": "scratch",
            "scratch": {
                "layers": 1,
                "width": 16,
                "heads": 2,
                "vocabulary": 300,
                "context": 128,
                "pretraining": {"steps": 2, "batch_size": 2, "tokens": 32},
            },
        },
        "training": {"epochs": 1, "samples": "article"},
        "generation": {"block_tokens": 32, "new_tokens": 8, "decoding": "nucleus"},
        "loop": {"generations": 2},
        "regimes": ["synthetic", "preservation"],
        "metrics": {"leaning": {"candidates": ["word-tfidf"]}, "self_bleu_articles": 4},
    }
    monkeypatch.setattr(
        "biasloop.bench.demo.load_config", lambda name, over=(): parse_config(values, over)
    )


def test_the_demo_is_run_both_ways(small_demo):
    (figure,) = measure_demo(BenchSettings("demo", quick=True, threads=1))
    assert figure.speed > 0
    assert figure.baseline > 0
    kinds = ("base", "corpus", "instrument", "finetune", "generate", "score", "update", "neurons")
    assert all(f"{kind} " in figure.note for kind in kinds)


def test_another_model_has_no_demo():
    assert measure_demo(BenchSettings("gpt2-size")) == []
