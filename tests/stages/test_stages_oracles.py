"""Each fast path against its slow twin: padding, batching, blocks."""

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biasloop.config import GenerationConfig, PretrainingConfig, ScratchConfig, TrainingConfig
from biasloop.errors import InputError
from biasloop.models.load import build_scratch_model, load_model, save_model, train_tokenizer
from biasloop.stages.finetune import finetune, samples_of
from biasloop.stages.generate import blocks_of, continue_prompts, generate_articles, split_blocks
from biasloop.stages.pretrain import pretrain
from biasloop.stages.train import collate
from biasloop.tables import ARTICLES

TEXTS = [
    "The river runs to the sea and the sea is wide.",
    "We hold a vote. The vote is close, and then it is over.",
    "A market opens early; people come, people go.\nNobody stays for long.",
]
pytestmark = pytest.mark.accelerator

CONFIG = ScratchConfig(layers=2, width=32, heads=2, vocabulary=300, context=512)


@pytest.fixture(scope="module")
def loaded():
    return build_scratch_model(train_tokenizer(TEXTS, 300), CONFIG, seed=3)


def articles(bodies=TEXTS, titles=None, labels=None):
    n = len(bodies)
    return pl.DataFrame(
        {
            "article_id": [f"a{i}" for i in range(n)],
            "title": titles or [f"Title {i}" for i in range(n)],
            "body": bodies,
            "label": labels or ["left", "right", "left"][:n],
            "source": [""] * n,
        },
        schema=ARTICLES,
    )


def loss_and_gradients(loaded, batch):
    loaded.model.zero_grad()
    loss = loaded.model(**{k: v.to(loaded.model.device) for k, v in batch.items()}).loss
    loss.backward()
    return loss.item(), [p.grad.clone() for p in loaded.model.parameters()]


def test_dynamic_padding_leaves_loss_and_gradients_as_with_512(loaded):
    samples = [list(range(5, 5 + n)) for n in (2, 17, 60)]
    pad = loaded.tokenizer.pad_token_id
    short, fill = collate(samples, pad), {"input_ids": pad, "attention_mask": 0, "labels": -100}
    assert short["input_ids"].shape == (3, 60)
    more = torch.nn.functional.pad
    long = {name: more(short[name], (0, 452), value=value) for name, value in fill.items()}
    loss, gradients = loss_and_gradients(loaded, short)
    padded_loss, padded_gradients = loss_and_gradients(loaded, long)
    assert loss == pytest.approx(padded_loss, abs=1e-5)
    for one, other in zip(gradients, padded_gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_end_of_text_inside_a_sample_keeps_its_loss(loaded):
    end = loaded.tokenizer.eos_token_id
    batch = collate([[5, end, 6], [7, 8]], loaded.tokenizer.pad_token_id)
    assert batch["labels"].tolist() == [[-100, end, 6], [-100, 8, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batched_greedy_generation_equals_one_prompt_at_a_time(loaded, batch_size):
    prompts = [list(range(10, 10 + n)) for n in (1, 5, 5, 31, 32, 32, 32, 7)]
    config = GenerationConfig(block_tokens=32, new_tokens=20, batch_size=batch_size)
    end = loaded.tokenizer.eos_token_id
    alone = []
    for prompt in prompts:
        written = loaded.model.generate(
            input_ids=torch.tensor([prompt], device=loaded.model.device),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long, device=loaded.model.device),
            max_new_tokens=20,
            do_sample=False,
            pad_token_id=end,
            eos_token_id=end,
        )[0, len(prompt) :].tolist()
        alone.append(written[: written.index(end) + 1] if end in written else written)
    found = continue_prompts(loaded, prompts, config, seed=0)
    assert [tokens.tolist() for tokens in found] == alone


def test_beam_search_equals_one_prompt_at_a_time_and_beats_greedy(loaded):
    config = GenerationConfig(block_tokens=16, new_tokens=6, decoding="beam", beams=3, batch_size=4)
    prompts = [list(range(10, 10 + n)) for n in (1, 5, 5, 16, 9)]
    end = loaded.tokenizer.eos_token_id
    alone = []
    for prompt in prompts:
        written = loaded.model.generate(
            input_ids=torch.tensor([prompt], device=loaded.model.device),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long, device=loaded.model.device),
            max_new_tokens=6,
            do_sample=False,
            num_beams=3,
            pad_token_id=end,
            eos_token_id=end,
        )[0, len(prompt) :].tolist()
        alone.append(written[: written.index(end) + 1] if end in written else written)
    found = continue_prompts(loaded, prompts, config, seed=0)
    assert [tokens.tolist() for tokens in found] == alone
    again = continue_prompts(loaded, prompts, config, seed=1)
    assert [tokens.tolist() for tokens in again] == alone


def test_nucleus_sampling_follows_its_seed(loaded):
    config = GenerationConfig(block_tokens=8, new_tokens=24, decoding="nucleus")
    write = [
        generate_articles(loaded, articles(), config, seed)["body"].to_list() for seed in (1, 1, 2)
    ]
    assert write[0] == write[1]
    assert write[0] != write[2]


@pytest.mark.parametrize(
    ("length", "sizes"), [(0, []), (1, [1]), (63, [63]), (64, [64]), (65, [64, 1]), (128, [64, 64])]
)
def test_blocks_of_64(length, sizes):
    assert [len(block) for block in split_blocks(range(length), 64)] == sizes


@given(st.lists(st.integers(0, 50_000), max_size=400), st.integers(1, 80))
def test_blocks_join_to_what_they_were_cut_from(tokens, size):
    blocks = split_blocks(tokens, size)
    assert [token for block in blocks for token in block] == tokens
    assert all(len(block) == size for block in blocks[:-1])
    assert all(blocks)


def test_the_title_is_prompted_first_and_the_limit_is_of_the_body():
    assert blocks_of([1, 2], [3, 4, 5, 6, 7], 2, limit=3) == [[1, 2], [3, 4], [5]]
    assert blocks_of([], [], 4) == []


def test_articles_keep_who_they_are_and_get_a_new_body(loaded):
    real = articles([*TEXTS[:2], ""], titles=["T", "", ""])
    config = GenerationConfig(block_tokens=8, new_tokens=8)
    written = generate_articles(loaded, real, config, 0)
    assert written.drop("body").equals(real.drop("body"))
    assert written["body"][2] == ""
    assert written["body"][0] != real["body"][0]
    with pytest.raises(InputError, match="more than the model's context of 512"):
        generate_articles(loaded, real, GenerationConfig(block_tokens=300, new_tokens=300), 0)


def test_samples_by_line_and_by_article(loaded):
    real = articles(TEXTS[2:], titles=["T t"])
    line = samples_of(loaded, real, TrainingConfig(samples="line"))
    whole = samples_of(loaded, real, TrainingConfig(samples="article"))
    assert [loaded.tokenizer.decode(ids) for ids in line] == ["T t", *TEXTS[2].split("\n")]
    assert [loaded.tokenizer.decode(ids) for ids in whole] == ["T t\n" + TEXTS[2]]
    cut = samples_of(loaded, real, TrainingConfig(samples="article", max_tokens=8))
    assert cut == [whole[0][:8]]
    assert samples_of(loaded, articles(["x"], titles=[""]), TrainingConfig()) == []


def weights(loaded):
    return torch.cat([p.detach().flatten() for p in loaded.model.parameters()])


def test_training_learns_and_follows_its_seed():
    trained = []
    config = TrainingConfig(epochs=8, batch_size=2, learning_rate=1e-3, samples="article")
    for seed in (1, 1, 2):
        model = build_scratch_model(train_tokenizer(TEXTS, 300), CONFIG, seed=3)
        log = finetune(model, articles(), config, seed)
        assert log.losses[-1] < log.losses[0]
        assert log.steps == 16
        trained.append(weights(model))
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


def test_nothing_to_train_on_is_an_error(loaded):
    with pytest.raises(InputError, match="nothing to train on"):
        finetune(loaded, articles(["x"], titles=[""]), TrainingConfig(), 0)


def test_logs_that_would_be_lost_are_an_error(loaded, monkeypatch):
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    with pytest.raises(InputError, match="TENSORBOARD_LOGGING_DIR"):
        finetune(loaded, articles(), TrainingConfig(report_to=("tensorboard",)), 0)


def test_pretraining_follows_the_mix_and_refuses_what_it_cannot():
    bodies = ["alpha alpha alpha beta. " * 20, "omega omega omega psi. " * 20]
    real = articles(bodies, labels=["left", "right"], titles=["", ""])
    settings = PretrainingConfig(
        mix={"right": 1.0}, steps=60, batch_size=4, tokens=32, learning_rate=5e-3, warmup_steps=0
    )
    config = CONFIG.model_copy(update={"pretraining": settings})
    model, log = pretrain(real, config, 0)
    assert log.steps == 60

    def loss(text):
        ids = torch.tensor([model.tokenizer(text)["input_ids"]], device=model.model.device)
        return model.model(input_ids=ids, labels=ids).loss.item()

    assert loss(bodies[1]) < loss(bodies[0]) - 1
    wrong = config.model_copy(update={"pretraining": PretrainingConfig(mix={"rigth": 1.0})})
    with pytest.raises(InputError, match="did you mean 'right'"):
        pretrain(real, wrong, 0)
    with pytest.raises(InputError, match="no article left"):
        pretrain(real.clear(), config, 0)


def test_a_saved_model_is_the_same_and_only_safetensors_are_read(loaded, tmp_path):
    save_model(loaded, tmp_path / "model")
    again = load_model(str(tmp_path / "model"), precision="float32")
    assert torch.equal(weights(loaded), weights(again))
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be read"):
        load_model(str(tmp_path / "model"))
    with pytest.raises(InputError, match="no such model folder"):
        load_model("./absent")
