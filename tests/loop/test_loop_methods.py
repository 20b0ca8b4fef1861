"""A run of an instruct model by LoRA, through its chat template: stages, cost, report, adapters."""

import json

import polars as pl
import pytest
import torch
from made_up import WORDS, chat_tokenizer

import biasloop as bl
from biasloop.config import ScratchConfig, parse_config
from biasloop.loop import Store, estimate, gather, make_plan
from biasloop.loop.generation_stages import read_part
from biasloop.models.load import build_scratch_model, load_model, save_model
from biasloop.stages.generate import generate_articles

pytestmark = pytest.mark.usefixtures("own_cache")
peft = pytest.importorskip("peft")


@pytest.fixture
def config(bare, tmp_path):
    texts = [" ".join([*red, *blue]) for red, blue in [WORDS.values()]]
    scratch = ScratchConfig(layers=1, width=16, heads=2, vocabulary=300, context=256)
    base = build_scratch_model(chat_tokenizer(texts), scratch, 3)
    save_model(base, tmp_path / "base")
    return bare | {
        "base": {"model": str(tmp_path / "base")},
        "training": {
            "method": "lora",
            "lora": {"rank": 2, "keep": True},
            "text": "chat",
            "epochs": 1,
            "precision": "float32",
        },
        "generation": bare["generation"] | {"precision": "float32"},
        "loop": {"generations": 1, "seeds": [0], "keep_models": "last"},
        "regimes": ["synthetic"],
    }


def test_a_run_by_lora_through_the_chat_template(config, tmp_path):
    checked = parse_config(config)
    cost = estimate(checked, gather(checked))
    run = bl.run(config, tmp_path / "run")
    plan = make_plan(checked)
    store = Store(tmp_path / "run", tmp_path / "cache")
    first, last = (plan.finetuned["synthetic", 0, g] for g in (0, 1))
    real = read_part(store.path(plan.corpus), "real")

    logs = [json.loads((store.path(s) / "training.json").read_text()) for s in (first, last)]
    assert logs[0]["tokens"] == cost.real_tokens
    # Half of what an untrained model writes is no character, and is more tokens when read again.
    assert 0.5 < cost.synthetic_tokens / logs[1]["tokens"] < 1
    # Of a layer of width 16: into 48 and out of 16; 16 to 64 and back.
    assert cost.trained_parameters == 2 * ((16 + 48) + (16 + 16) + 2 * (16 + 64))
    assert cost.operations["train"] < 6 * cost.parameters * cost.train_tokens["finetune"]

    # Generation 0's weights are gone, its adapter is not, and makes them again.
    assert store.is_pruned(first)
    model = load_model(str(store.path(plan.base) / "model"), precision="float32").model
    for stage in (first, last):
        adapter = store.path(stage) / "adapter"
        model = peft.PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    kept = load_model(str(store.path(last) / "model"), precision="float32")
    for name, weights in model.named_parameters():
        assert torch.equal(weights, kept.model.get_parameter(name))

    # The articles are those that the last model writes when asked so.
    written = generate_articles(
        kept,
        real,
        checked.generation,
        plan.generated["synthetic", 0, 1].seed,
        instruction=checked.training.asks,
    )
    own = run.articles.filter(pl.col("generation") == 1).sort("article_id")
    assert own["body"].to_list() == written.sort("article_id")["body"].to_list()

    report = run.report().read_text()
    assert "LoRA of rank 2, through the chat template" in report
    assert "read articles as plain text, outside it" in report
    # The same config goes on where there is nothing left to do.
    assert bl.run(config, tmp_path / "run").articles.equals(run.articles)
