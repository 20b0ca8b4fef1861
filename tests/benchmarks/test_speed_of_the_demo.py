"""The demo is run both ways and reckoned from a part, on made-up text."""

import pytest
from made_up import experiment, write_corpus

from biasloop.config import parse_config
from stage_speed import BenchSettings
from stage_speed.demo import measure_demo


@pytest.fixture
def small_demo(tmp_path, monkeypatch):
    values = experiment(write_corpus(tmp_path / "articles.jsonl"))
    # Few tokens: one prompt at a time is slow by design.
    values["generation"] |= {"block_tokens": 64, "new_tokens": 4}
    values["loop"]["generations"] = 1
    values["metrics"]["leaning"]["damage_articles"] = 20
    monkeypatch.setattr(
        "stage_speed.demo.load_config", lambda name, over=(): parse_config(values, over)
    )


@pytest.mark.slow
def test_the_demo_is_run_both_ways(small_demo):
    (figure,) = measure_demo(BenchSettings("demo", quick=True, threads=1))
    assert figure.speed > 0
    assert figure.baseline > 0
    kinds = ("base", "corpus", "instrument", "finetune", "generate", "score", "update", "neurons")
    assert all(f"{kind} " in figure.note for kind in kinds)


def test_another_model_has_no_demo():
    assert measure_demo(BenchSettings("gpt2-size")) == []
