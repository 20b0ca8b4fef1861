"""What the authors' scripts do, by brute force, against the options that do the same."""

import csv
import io
import sys

import datasets
import numpy as np
import polars as pl
import pytest
import torch
from transformers import DataCollatorForLanguageModeling

from biasloop.config import GenerationConfig, ScratchConfig, TrainingConfig, parse_config
from biasloop.errors import InputError
from biasloop.loop import make_plan
from biasloop.models.fast.packing import pack
from biasloop.models.load import build_scratch_model, train_tokenizer
from biasloop.models.sites import feed_forwards, reading
from biasloop.stages.finetune import finetune, samples_of
from biasloop.stages.generate import article_prompts, blocks_of, generate_blocks
from biasloop.stages.neurons import summarise_neurons
from biasloop.stages.train import collate
from biasloop.tables import ARTICLES

BODIES = [
    "The vote is close.\n\nThen it is over, and 3.5 percent stay.",
    "One line. No more, e.g. of this",
    "\u2028A line separator ends no line here.\n",
    "",
]
TITLES = ["A vote is held", "", "The river, the sea and the wide, wide land", "Nothing"]
MARKED = '"title: {title}\nbody: {body}"'
CONFIG = ScratchConfig(layers=2, width=32, heads=2, vocabulary=300, context=512)


@pytest.fixture(scope="module")
def loaded():
    return build_scratch_model(train_tokenizer([*BODIES, *TITLES], 300), CONFIG, seed=3)


@pytest.fixture(scope="module")
def real():
    rows = {"article_id": list("abcd"), "title": TITLES, "body": BODIES, "label": ["x"] * 4}
    return pl.DataFrame({**rows, "source": [""] * 4}, schema=ARTICLES)


def file_of_generation_0(real):
    """As pandas writes one column of text without its name: quoted, for it has line breaks."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerows([f"title: {t}\nbody: {b}"] for t, b in real.select("title", "body").iter_rows())
    return text.getvalue()


def file_of_a_later_generation(real):
    rows = real.select("title", "body").iter_rows()
    return "".join(f'"title: {title}\nbody: {body}"\n\n' for title, body in rows)


def settings_of(generation):
    """As the stage has them: after Generation 0 an empty line follows each article."""
    own = TrainingConfig(input=MARKED, empty_lines="keep")
    plan = make_plan(parse_config({"training": own.model_dump(), "base": {"model": "scratch"}}), {
        "corpus": None, "base": None, "instruments": {}
    })  # fmt: skip
    return plan.finetuned["synthetic", 0, generation].training


@pytest.mark.parametrize(
    ("generation", "written"), [(0, file_of_generation_0), (1, file_of_a_later_generation)]
)
def test_samples_are_the_lines_of_the_authors_files(generation, written, loaded, real, tmp_path):
    (tmp_path / "train.txt").write_text(written(real), encoding="utf-8")
    lines = datasets.load_dataset(
        "text", data_files=str(tmp_path / "train.txt"), cache_dir=str(tmp_path / "cache")
    )["train"]["text"]
    expected = [
        loaded.tokenizer(line, truncation=True, max_length=512)["input_ids"] for line in lines
    ]
    found = samples_of(loaded, real, settings_of(generation))
    pad = [loaded.tokenizer.pad_token_id]
    assert [list(ids) for ids in found] == [ids or pad for ids in expected]
    empty = sum(not ids for ids in expected)
    assert empty == (1 if generation == 0 else 5)


def test_a_batch_with_empty_lines_has_the_authors_loss_and_gradients(loaded, real):
    samples = samples_of(loaded, real, settings_of(1))
    texts = file_of_a_later_generation(real).split("\n")[:-1]
    theirs = loaded.tokenizer(texts, truncation=True, padding="max_length", max_length=512)
    rows = [{name: theirs[name][i] for name in theirs} for i in range(len(texts))]
    collator = DataCollatorForLanguageModeling(loaded.tokenizer, mlm=False)
    measured = {}
    for name, batch in {
        "theirs": collator(rows),
        "padded": collate(samples, loaded.tokenizer.pad_token_id),
    }.items():
        loaded.model.zero_grad()
        names = ("input_ids", "attention_mask", "labels")
        loss = loaded.model(**{key: batch[key] for key in names}).loss
        loss.backward()
        measured[name] = loss, [p.grad.clone() for p in loaded.model.parameters()]
    torch.testing.assert_close(measured["padded"], measured["theirs"], atol=1e-6, rtol=1e-5)
    labels = pack(samples)["labels"]
    assert (labels >= 0).sum() == sum(len(ids) - 1 for ids in samples)


@pytest.mark.parametrize("short_cuts", [True, False])
def test_a_batch_of_empty_lines_changes_nothing_but_takes_a_step(short_cuts, loaded, monkeypatch):
    module = sys.modules["biasloop.stages.train"]
    monkeypatch.setattr(module, "can_pack", lambda model: short_cuts)
    body = "\n" * 11 + "The river is wide and the land is wide."
    one = pl.DataFrame({name: [body if name == "body" else ""] for name in ARTICLES}, ARTICLES)
    config = TrainingConfig(empty_lines="keep", epochs=1, batch_size=4, weight_decay=0.0)
    model = build_scratch_model(loaded.tokenizer, CONFIG, seed=3)
    log = finetune(model, one, config, seed=0)
    assert log.steps == 3
    assert sum(loss > 0 for loss in log.losses) == 1
    assert all(torch.isfinite(p).all() for p in model.model.parameters())


def test_a_whole_title_is_the_first_block(loaded, real):
    encode = loaded.tokenizer
    config = GenerationConfig(block_tokens=4, new_tokens=4, whole_titles=True)
    expected = []
    for title, body in real.select("title", "body").iter_rows():  # the authors' loop
        ids = encode.encode(body, add_special_tokens=False)
        blocks = [encode.encode(title, add_special_tokens=False)]
        blocks += [ids[i : i + 4] for i in range(0, len(ids), 4)]
        expected.append([block for block in blocks if block])  # an empty prompt cannot be continued
    assert article_prompts(encode, real, config, 512) == expected
    assert len(expected[2][0]) > 4
    written = generate_blocks(loaded, real, config, seed=0)
    assert written["prompt"].to_list() == [block for own in expected for block in own]
    assert written["continuation"].list.len().max() <= 4
    assert blocks_of([], [1, 2, 3], 2, whole_title=True) == [[1, 2], [3]]
    cut = article_prompts(encode, real, config.model_copy(update={"whole_titles": False}), 512)
    assert cut[2][0] == expected[2][0][:4]


def test_a_title_beyond_the_context_is_refused(loaded, real):
    long = real.with_columns(title=pl.lit("wide land " * 400))
    config = GenerationConfig(block_tokens=4, new_tokens=4, whole_titles=True)
    with pytest.raises(InputError, match=r"title of 'a' has .* model's context of 512"):
        generate_blocks(loaded, long, config, seed=0)


def test_the_residual_stream_is_what_transformers_calls_hidden_states(loaded, real):
    """All but the last, which transformers gives after the final layer norm."""
    found = summarise_neurons(
        loaded, real, ("resid_post", "mlp_out"), max_tokens=6, template="{title} {body}"
    )
    texts = [f"{title} {body}" for title, body in real.select("title", "body").iter_rows()]
    seen = []
    last = loaded.model.transformer.h[-1]
    hook = last.register_forward_hook(
        lambda module, args, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    states = []
    for text in texts:
        ids = loaded.tokenizer(text, return_tensors="pt", truncation=True, max_length=6)
        with torch.inference_mode():
            out = loaded.model(ids["input_ids"], output_hidden_states=True)
        states.append(torch.stack([*out.hidden_states[1:-1], seen.pop()])[:, 0])
    hook.remove()
    tokens = torch.cat(states, dim=1).double().numpy()
    own = found.filter(site="resid_post")
    assert set(own["quantity"]) == {"activation_mean", "activation_variance", "activation_positive"}
    for quantity, expected in {
        "activation_mean": tokens.mean(1),
        "activation_variance": tokens.var(1),
        "activation_positive": (tokens > 0).mean(1),
    }.items():
        values = own.filter(quantity=quantity).sort("layer", "neuron")["value"].to_numpy()
        np.testing.assert_allclose(values, expected.ravel(), atol=1e-5)
    assert found.filter(site="mlp_out", quantity="weight_mean").height == 2 * 32


def test_the_residual_stream_can_be_replaced(loaded):
    blocks = feed_forwards(loaded.model)
    tokens = torch.tensor([[4, 9, 2]])
    with (
        torch.inference_mode(),
        reading(blocks, "resid_post", lambda layer, values: torch.zeros_like(values)),
    ):
        logits = loaded.model(input_ids=tokens).logits
    norm = loaded.model.transformer.ln_f.bias @ loaded.model.lm_head.weight.T
    torch.testing.assert_close(logits, norm.expand_as(logits), atol=1e-5, rtol=1e-5)
    assert not blocks[0].weights("resid_post")
    assert blocks[0].units("resid_post") == 32


def keys_by_kind(values):
    plan = make_plan(parse_config({"base": {"model": "scratch"}, **values}), {
        "corpus": None, "base": None, "instruments": {}
    })  # fmt: skip
    found = {}
    for key, stage in plan.stages.items():
        found.setdefault((stage.kind, stage.name), set()).add(key)
    return found


@pytest.mark.parametrize(
    ("section", "settings", "of"),
    [
        ("metrics", {"perplexity": {"input": "{title} {body}"}}, "perplexity"),
        ("metrics", {"quality": {"input": "{title} {body}"}}, "quality"),
        ("metrics", {"quality": {"sentence_end": "full-stop"}}, "quality"),
        ("metrics", {"leaning": {"input": "{title} {body}"}}, "leaning"),
        ("neurons", {"input": "{title} {body}"}, "neurons"),
    ],
)
def test_an_option_changes_the_stages_that_read_it_and_no_other(section, settings, of):
    default, other = keys_by_kind({}), keys_by_kind({section: settings})
    changed = {name for name in default if default[name] != other[name]}
    assert changed
    assert all(of in name or kind == "join" for kind, name in changed)


def test_training_and_titles_leave_the_stages_before_them():
    default = keys_by_kind({})
    trained = keys_by_kind({"training": {"empty_lines": "keep"}})
    assert {kind for kind, name in default if default[kind, name] == trained[kind, name]} >= {
        "corpus", "base", "instrument"
    }  # fmt: skip
    written = keys_by_kind({"generation": {"whole_titles": True}})
    first = ("finetune", "synthetic seed 0 generation 0: fine-tune")
    assert default[first] == written[first] != trained[first]


def test_options_at_their_defaults_are_not_written_out():
    config = parse_config({})
    written = config.model_dump(mode="json")
    assert not {"input", "empty_lines"} & set(written["training"])
    assert "whole_titles" not in written["generation"]
    assert "perplexity" not in written["metrics"]
    assert not {"input", "sentence_end"} & set(written["metrics"]["quality"])
    assert "input" not in written["neurons"]
    assert parse_config(written) == config
    theirs = parse_config(
        {
            "training": {"input": MARKED, "empty_lines": "keep"},
            "generation": {"whole_titles": True},
            "metrics": {"perplexity": {"input": "{title} {body}"}},
        }
    )
    assert parse_config(theirs.model_dump(mode="json")) == theirs


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"training": {"samples": "article", "empty_lines": "keep"}}, "set samples: line"),
        (
            {"training": {"input": MARKED}, "generation": {"prompts": "openings"}},
            "set generation.prompts: blocks",
        ),
        (
            {"generation": {"prompts": "openings", "whole_titles": True}},
            "whole_titles is a setting of prompts: blocks",
        ),
        ({"training": {"input": "{title}"}}, "{body} is missing"),
        ({"metrics": {"quality": {"sentence_end": "fullstop"}}}, "full-stop"),
    ],
)
def test_an_option_that_does_not_apply_is_refused(values, said):
    with pytest.raises(InputError, match=said):
        parse_config(values)
