"""Benchmarks: baselines are the slow twins, operations are counted by torch, figures are whole."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import typer
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2LMHeadModel, RobertaConfig
from transformers import RobertaForSequenceClassification as Roberta
from typer.testing import CliRunner

import speed
from biasloop.config import GenerationConfig
from biasloop.errors import InputError
from biasloop.metrics.perplexity import perplexities
from biasloop.stages.generate import continue_prompts
from stage_speed import BENCHMARKS, BenchSettings, Figure, baselines, operations
from stage_speed.generation import _agreement
from stage_speed.machine import describe
from stage_speed.subjects import classifier, language_model, texts

APP = typer.Typer()
APP.command()(speed.speed)
SETTINGS = BenchSettings("demo", quick=True, threads=1)


def test_the_fast_paths_give_what_the_baselines_give():
    loaded = language_model(SETTINGS)
    end = loaded.tokenizer.eos_token_id
    prompts = [list(range(300, 300 + n)) for n in (9, 16, 3, 16)]
    config = GenerationConfig(block_tokens=16, new_tokens=6)
    alone = baselines.generate_one_by_one(loaded.model, prompts, 6, end)
    assert baselines.generate_in_batches(loaded.model, prompts, 6, end, 3) == alone
    assert [t.tolist() for t in continue_prompts(loaded, prompts, config, 0)] == alone

    articles = texts(1, 5, 3, 60)
    expected = baselines.perplexity_one_by_one(loaded.model, loaded.tokenizer, articles, 512)
    found = perplexities(loaded.model, loaded.tokenizer, articles, 64)
    np.testing.assert_allclose(found, expected, rtol=1e-5)

    judge = classifier(SETTINGS)
    expected = baselines.classify_one_by_one(judge.model, judge.tokenizer, articles, 40)
    np.testing.assert_allclose(judge.probabilities(articles, 64, 40), expected, atol=1e-5)


@pytest.mark.parametrize("judged", [True, False])
def test_operations_of_reading_are_those_that_torch_counts(judged):
    config = GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=100, attn_implementation="eager")
    model = GPT2LMHeadModel(config).eval()
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.ones(1, 12, dtype=torch.long), logits_to_keep=0 if judged else 1)
    # The eager model does not spare itself what a causal mask hides.
    counted = operations.reading(model, [12], judged=judged, causal=False)
    assert counted == counter.get_total_flops()
    body, head = operations.linear_weights(model)
    hidden = 4 * 2 * 32 * (12 * 12 - 12 * 13 / 2)
    assert operations.reading(model, [12], judged, causal=True) == counted - hidden
    assert (body, head) == (2 * 12 * 32 * 32, 3200)


def test_operations_of_writing_are_those_of_reading_one_by_one():
    config = GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=100)
    model = GPT2LMHeadModel(config).eval()
    whole = operations.reading(model, [15], judged=True)
    prompt = operations.reading(model, [12], judged=True)
    assert operations.writing(model, 12, 3) == pytest.approx(whole - prompt)


def test_a_classifier_has_no_layer_over_the_vocabulary():
    config = RobertaConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        vocab_size=99,
    )
    body, head = operations.linear_weights(Roberta(config))
    assert head == 0
    assert body == 4 * 32 * 32 + 2 * 32 * 64 + 32 * 32 + 32 * 2


def test_agreement_counts_tokens_after_the_same_text():
    exact = [np.array([1, 2, 3, 4]), np.array([5, 6])]
    said = _agreement([np.array([1, 2, 9, 9]), np.array([5, 6])], exact)
    # Three tokens of the first follow the same text and one of them differs; both of the second.
    assert "50% of continuations" in said
    assert "80.0% of tokens" in said


def test_texts_and_models_follow_the_seed():
    assert texts(1, 3, 5, 9) == texts(1, 3, 5, 9)
    assert texts(1, 3, 5, 9) != texts(2, 3, 5, 9)
    assert all(5 <= len(text.split()) <= 9 for text in texts(1, 20, 5, 9))


def test_a_figures_ratio():
    figure = Figure("generate", "a", "b", "tokens/s", 30.0, 10.0)
    assert figure.ratio == 3.0
    assert figure.as_dict()["ratio"] == 3.0
    assert figure.ratio_at_peak is None
    half = replace(figure, peak_share=0.5)
    assert half.ratio_at_peak == half.as_dict()["ratio_at_peak"] == 6.0


def test_the_command_prints_and_writes_every_figure(tmp_path, monkeypatch):
    figure = Figure("leaning", "what [x]", "plain", "articles/s", 30.0, 10.0, 10.0, 0.5, "a note")
    monkeypatch.setattr("speed.BENCHMARKS", {"leaning": lambda settings: [figure]})
    monkeypatch.setattr("stage_speed.machine.peak", lambda precision, threads: 1e9)
    monkeypatch.setattr("stage_speed.machine.multiplies_bfloat16", lambda device: True)
    out = tmp_path / "figures.json"
    command = ["--stage", "leaning", "--model", "demo", "--quick", "--json", str(out)]
    result = CliRunner().invoke(APP, command)
    assert result.exit_code == 0, result.output
    for said in ("3.0x", "10x", "50 %", "6.0x", "[x]", "a note"):
        assert said in result.output
    written = json.loads(out.read_text())
    assert written["figures"] == [{"model": "demo", **figure.as_dict()}]
    assert written["machine"]["peak"] == {"float32": 1e9, "bfloat16": 1e9}


def test_nothing_is_cut_off_and_nothing_measured_prints_nothing(monkeypatch):
    figure = Figure("quality", "x", "left-padded generate", "sentences/s", 3.0, 1.0, 1.0, 0.5)
    found = {"quality": lambda settings: [figure], "demo": lambda settings: []}
    monkeypatch.setattr("speed.BENCHMARKS", found)
    monkeypatch.setattr("stage_speed.machine.peak", lambda precision, threads: 1e9)
    command = ["--model", "demo"]
    result = CliRunner(env={"COLUMNS": "60"}).invoke(APP, command)
    assert result.exit_code == 0, result.output
    assert "…" not in result.output
    assert result.output.count("model: demo") == 1


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_measured_where_there_are_instructions_for_it(monkeypatch, native):
    monkeypatch.setattr("stage_speed.machine.multiplies_bfloat16", lambda device: native)
    monkeypatch.setattr("stage_speed.machine.peak", lambda precision, threads: 1e9)
    machine = describe(2)
    assert list(machine.peak) == ["float32", "bfloat16"][: 1 + native]
    assert ("no instructions" in machine.sentence) is not native
    monkeypatch.setattr("stage_speed.scoring.peak", lambda precision, threads: 1e12)
    monkeypatch.setattr("stage_speed.clock._TWICE", 0.0)
    measured = {figure.what.split(", ")[1] for figure in BENCHMARKS["perplexity"](SETTINGS)}
    assert measured == set(machine.peak)


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--stage", "leanin"], "leaning"), (["--json", "/no/such/folder/x.json"], "no such folder")],
)
def test_bad_options_are_errors_for_the_user(options, said):
    result = CliRunner().invoke(APP, options)
    assert isinstance(result.exception, InputError)
    assert said in str(result.exception)


def test_every_benchmark_gives_finite_figures_of_its_stage(monkeypatch):
    monkeypatch.setattr("stage_speed.clock._TWICE", 0.0)
    monkeypatch.setattr("stage_speed.generation.peak", lambda precision, threads: 1e12)
    monkeypatch.setattr("stage_speed.scoring.peak", lambda precision, threads: 1e12)
    for stage in ("leaning", "quality", "perplexity"):
        for figure in BENCHMARKS[stage](SETTINGS):
            assert figure.stage == stage
            assert math.isfinite(figure.ratio)
            assert figure.ratio > 0
            assert figure.peak_share > 0
