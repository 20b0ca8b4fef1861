"""A dry run's figures, against the published protocol counted by hand and against a real run."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
from typer.testing import CliRunner

import biasloop as bl
from biasloop.cli.main import app
from biasloop.config import ScratchConfig, load_config, parse_config
from biasloop.corpus.load import load_corpus
from biasloop.corpus.split import split_parts
from biasloop.errors import InputError
from biasloop.loop import Store, estimate, gather, make_plan, measure_throughput
from biasloop.models.load import build_scratch_model, save_model, train_tokenizer

PER_LABEL, HOLDOUT, FRACTION = 506, 20, 0.3
#: Enough rows that 506 and 20 are left of each label after the classifiers' part.
ROWS = 760


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """A corpus in the shape of Webis's, of one word per token, and a model that reads it."""
    folder = tmp_path_factory.mktemp("paper")
    random = np.random.default_rng(0)
    vocabulary = [f"w{i}" for i in range(50)]
    with (folder / "data_public.csv").open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["original_title", "original_body", "bias"])
        for label in ("Left", "Center", "Right"):
            for _ in range(ROWS):
                lines = [
                    " ".join(random.choice(vocabulary, random.integers(5, 60)))
                    for _ in range(random.integers(2, 8))
                ]
                title = " ".join(random.choice(vocabulary, 8))
                rows.writerow([title, "\n".join(lines), f"From the {label}"])
    config = ScratchConfig(layers=1, width=16, heads=2, vocabulary=300, context=512)
    tokenizer = train_tokenizer([" ".join(vocabulary)], 300)
    save_model(build_scratch_model(tokenizer, config, 0), folder / "model")
    return folder


def overrides(folder):
    return [
        f"corpus.source={folder / 'data_public.csv'}",
        f"base.model={folder / 'model'}",
        "metrics.leaning.classifier=builtin",
        "metrics.leaning.label_map={}",
        "metrics.quality.classifier=builtin",
    ]


def by_hand(config, tokenizer):
    """The published protocol, counted from its own words (facts.md), with none of our code."""
    table = split_parts(load_corpus(config.corpus, config.seed), config.corpus, config.seed)
    real = table.filter(table["part"] == "real")

    def count(text):
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    lines = blocks = synthetic = 0
    for title, body in real.select("title", "body").iter_rows():
        lines += min(512, count(title)) + sum(min(512, count(t)) for t in body.split("\n"))
        own = -(-count(title) // 64) + -(-count(body) // 64)
        blocks += own
        synthetic += count(title) + 64 * own
    fresh = lines * 152 / 1518
    train = 5 * lines + 25 * lines  # Generation 0, shared by three regimes; that of overfitting
    train += 10 * 5 * synthetic  # synthetic
    train += 10 * 25 * synthetic  # overfitting
    train += 10 * 5 * (synthetic + fresh)  # preservation
    train += sum(5 * (lines + g * synthetic) for g in range(1, 11))  # accumulation
    # Four regimes of 10, two of Generation 0, and the base model itself.
    return real.height, train, 43 * 64 * blocks


def test_the_papers_preset_costs_what_the_protocol_says(paper):
    config = load_config("paper-gpt2-webis", [*overrides(paper), "loop.seeds=[0]"])
    material = gather(config)
    articles, train, generate = by_hand(config, material.model.tokenizer)
    cost = estimate(config, material)
    assert articles == cost.articles == 1518
    assert cost.train_tokens["finetune"] == pytest.approx(train, rel=0.05)
    assert cost.generate_tokens == pytest.approx(generate, rel=0.05)
    assert cost.stages["finetune"] == 42
    assert cost.regimes == {
        "synthetic": 11, "overfitting": 11, "preservation": 10, "accumulation": 10
    }  # fmt: skip


def test_the_center_preset_loops_over_center_articles_only(paper):
    config = load_config("paper-gpt2-center", overrides(paper))
    table = split_parts(load_corpus(config.corpus, config.seed), config.corpus, config.seed)
    by_part = dict(table.group_by("part").agg("label").iter_rows())
    assert set(by_part["real"]) == set(by_part["holdout"]) == {"center"}
    found = Counter(by_part["instrument"])
    assert found == {
        "left": ROWS * FRACTION,
        "center": round(ROWS * 0.02),
        "right": ROWS * FRACTION,
    }
    assert len(by_part["real"]) == ROWS - round(ROWS * 0.02) - HOLDOUT
    assert config.bias_direction == "none"
    wrong = config.corpus.model_copy(update={"real_labels": ("centre",)})
    with pytest.raises(InputError, match=r"real_labels: 'centre'.*center"):
        split_parts(load_corpus(wrong, 0), wrong, 0)
    wrong = config.corpus.model_copy(update={"instrument_fractions": {"centre": 0.1}})
    with pytest.raises(InputError, match=r"instrument_fractions: 'centre'.*center"):
        split_parts(load_corpus(wrong, 0), wrong, 0)
    with pytest.raises(InputError, match="fine-tunes on each label"):
        load_config("paper-gpt2-center", ["loop.bias_direction=contrast"])


def test_a_second_stream_costs_a_generation_of_every_model_that_is_updated(tiny, own_cache):
    with_updates, without = (
        estimate(config, gather(config))
        for config in (parse_config(tiny), parse_config(tiny, ["loop.bias_direction=none"]))
    )
    # Of two regimes and Generations 0 to 2: base, Generation 0 shared, both at 1 and 2; the last
    # is updated no more.
    sets, streams = 6, 4
    assert with_updates.generate_tokens * sets == without.generate_tokens * (sets + streams)
    assert with_updates.prompt_tokens * sets == without.prompt_tokens * (sets + streams)


@pytest.mark.parametrize("samples", ["line", "article"])
def test_generation_0_is_exact(tiny, tmp_path, monkeypatch, samples):
    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "cache"))
    changes = [
        f"training.samples={samples}", "metrics.names=[diversity]", "loop.bias_direction=none"
    ]  # fmt: skip
    config = parse_config(tiny, changes)
    material = gather(config)
    cost = estimate(config, material)
    zero = parse_config(tiny, [*changes, "loop.generations=0"])
    run = bl.run(tiny, tmp_path / "run", changes)
    store, plan = Store(run.folder, tmp_path / "cache"), make_plan(config)
    trained = {
        stage.key: json.loads((store.path(stage) / "training.json").read_text())["tokens"]
        for stage in plan.finetuned.values()
    }
    start = plan.finetuned["synthetic", 0, 0].key
    assert estimate(zero, material).train_tokens["finetune"] == trained[start]
    if samples == "article":  # an untrained model breaks lines anywhere
        assert sum(trained.values()) == pytest.approx(cost.train_tokens["finetune"], rel=0.1)
    assert dict(cost.stages) == {
        kind: sum(stage.kind == kind for stage in plan.stages.values()) for kind in cost.stages
    }


def test_a_dry_run_prints_and_writes_nothing(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("biasloop.loop.cost._SECONDS", 0.1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(json.dumps(tiny))
    before = sorted(tmp_path.rglob("*"))
    shown = CliRunner().invoke(app, ["run", "tiny.yaml", "--dry-run"])
    assert shown.exit_code == 0, shown.output
    for word in ("stages: ", "tokens to train", "tokens to generate", "disk: ", "on this machine"):
        assert word in shown.output
    value = json.loads(
        CliRunner()
        .invoke(app, ["run", "tiny.yaml", "--dry-run", "--no-calibrate", "--json"])
        .output
    )
    assert value["hours"] is None
    assert value["articles"] == 12
    assert sorted(tmp_path.rglob("*")) == before


def test_speeds_are_measured_without_changing_the_model(tiny, monkeypatch):
    monkeypatch.setattr("biasloop.loop.cost._SECONDS", 0.1)
    config = parse_config(tiny)
    material = gather(config)
    weights = {n: v.clone() for n, v in material.model.model.state_dict().items()}
    speeds = measure_throughput(config, material)
    assert min(speeds.train, speeds.generate, speeds.read) > 0
    assert speeds.hours(estimate(config, material)) > 0
    assert all((v == weights[n]).all() for n, v in material.model.model.state_dict().items())
