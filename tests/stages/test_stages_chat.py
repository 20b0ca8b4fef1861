"""Turns of a chat: those of the template, the loss on the answer alone, prompts that match."""

from dataclasses import replace

import polars as pl
import pytest
import torch
from made_up import CHATML, chat_tokenizer

from biasloop import api
from biasloop.config import GenerationConfig, ScratchConfig, TrainingConfig
from biasloop.device import Device
from biasloop.errors import InputError
from biasloop.models.fast.packing import NO_LOSS, pack
from biasloop.models.load import build_scratch_model, load_model, save_model
from biasloop.models.tokens import chat_of
from biasloop.stages.finetune import finetune, training_samples
from biasloop.stages.generate import generate_articles, generate_blocks
from biasloop.stages.train import collate
from biasloop.tables import ARTICLES

TEXTS = ["The river runs to the sea and the sea is wide.", "We hold a vote. The vote is close."]
OPENINGS = GenerationConfig(prompts="openings", opening_tokens=5, new_tokens=40)
BLOCKS = GenerationConfig(block_tokens=6, new_tokens=6)
TITLE = "Write an article with this title: {title}"


def chat(**settings):
    return TrainingConfig(text="chat", **{"precision": "float32", "batch_size": 2} | settings)


def articles(bodies=TEXTS, titles=("On the sea", "On the vote")):
    columns = {name: [""] * len(bodies) for name in ARTICLES.names()}
    ids = [str(number) for number in range(len(bodies))]
    own = {"article_id": ids, "title": list(titles), "body": list(bodies)}
    return pl.DataFrame({**columns, **own}, schema=ARTICLES)


def instruct(template=CHATML, end="<|im_end|>"):
    return chat_tokenizer(TEXTS, template, end)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    scratch = ScratchConfig(layers=2, width=48, heads=2, vocabulary=300, context=192)
    place = tmp_path_factory.mktemp("instruct")
    save_model(build_scratch_model(instruct(), scratch, 3), place)
    return place


@pytest.fixture
def loaded(folder):
    return replace(load_model(str(folder), precision="float32"), device=Device("cpu", "float32"))


def in_template(tokenizer, text, *answer, instruction="Continue this article:\n\n{text}"):
    user = {"role": "user", "content": instruction.replace("{text}", text).replace("{title}", text)}
    given = [{"role": "assistant", "content": one} for one in answer]
    said = tokenizer.apply_chat_template([user, *given], tokenize=False, add_generation_prompt=True)
    # Of a whole exchange, what stands after the answer's end is no part of it.
    return said if not answer else said[: said.rindex("<|im_end|>") + len("<|im_end|>")]


def test_prompts_are_the_templates_own_with_its_generation_prompt(loaded):
    words, real = loaded.tokenizer, articles()
    plain = words(f"On the sea\n{TEXTS[0]}")["input_ids"]
    blocks = generate_blocks(loaded, real, OPENINGS, 0, instruction=chat().asks)
    expected = in_template(words, words.decode(plain[:5]))
    assert words.decode(blocks["prompt"][0].to_list()) == expected
    by_title = generate_blocks(loaded, real, OPENINGS, 0, instruction=TITLE)
    expected = in_template(words, "On the vote", instruction=TITLE)
    assert words.decode(by_title["prompt"][1].to_list()) == expected
    cut = generate_blocks(loaded, real, BLOCKS, 0, instruction=chat().asks)
    without = generate_blocks(loaded, real, BLOCKS, 0)
    assert cut.select("article_id", "block").equals(without.select("article_id", "block"))
    for prompt, block in zip(cut["prompt"], without["prompt"], strict=True):
        assert words.decode(prompt.to_list()) == in_template(words, words.decode(block.to_list()))


def test_an_answer_is_what_follows_the_prompt_and_ends_where_the_article_ends(loaded):
    words = loaded.tokenizer
    whole = words(f"On the sea\n{TEXTS[0]}")["input_ids"]
    samples, asked = training_samples(loaded, articles(), chat(), OPENINGS)
    opening, rest = words.decode(whole[:5]), words.decode(whole[5:])
    assert words.decode(samples[0]) == in_template(words, opening, rest)
    assert words.decode(samples[0][asked[0] :]) == f"{rest}<|im_end|>"
    samples, asked = training_samples(loaded, articles(), chat(instruction=TITLE), OPENINGS)
    assert words.decode(samples[1]) == in_template(
        words, "On the vote", TEXTS[1], instruction=TITLE
    )

    ids = [*words("On the sea")["input_ids"], *words(TEXTS[0])["input_ids"]]
    title = len(words("On the sea")["input_ids"])
    cuts = [*range(6, title, 6), *range(title, len(ids), 6)]
    samples, asked = training_samples(loaded, articles()[:1], chat(), BLOCKS)
    answers = [list(one[start:]) for one, start in zip(samples, asked, strict=True)]
    end = words.eos_token_id
    assert answers == [[*ids[at : at + 6], *([end] if at + 6 >= len(ids) else [])] for at in cuts]

    _, asked = training_samples(loaded, articles()[:1], chat(), OPENINGS)
    cut, _ = training_samples(loaded, articles()[:1], chat(max_tokens=asked[0] + 3), OPENINGS)
    assert list(cut[0][asked[0] :]) == whole[5:8]
    assert training_samples(loaded, articles()[:1], chat(max_tokens=asked[0]), OPENINGS) == ([], [])
    short = OPENINGS.model_copy(update={"opening_tokens": 1000})
    with pytest.raises(InputError, match="nothing to train on"):
        finetune(loaded, articles(), chat(), 0, prompts=short)


def test_what_an_article_says_is_never_a_token_of_the_template(loaded):
    text = "He said <|im_end|> and <|im_start|>system then <|endoftext|> left the room."
    real, longer = articles([text, text]), OPENINGS.model_copy(update={"new_tokens": 100})
    special = set(loaded.tokenizer.all_special_ids)
    samples, asked = training_samples(loaded, real, chat(), longer)
    # The user's turn, the assistant's, and an end of each.
    assert [sum(token in special for token in sample) for sample in samples] == [4, 4]
    blocks = generate_blocks(loaded, real, OPENINGS, 0, instruction=chat().asks)
    prompts = blocks["prompt"].to_list()
    assert [sum(token in special for token in prompt) for prompt in prompts] == [3, 3]
    assert [
        sample[:start].tolist() for sample, start in zip(samples, asked, strict=True)
    ] == prompts


@pytest.mark.parametrize("fast", ["1", "0"])
def test_the_loss_is_the_answers_alone(loaded, monkeypatch, fast):
    monkeypatch.setenv("BIASLOOP_FAST", fast)
    samples, asked = training_samples(loaded, articles(), chat(), OPENINGS)
    losses = []
    for sample, start in zip(samples, asked, strict=True):
        with torch.no_grad():
            logits = loaded.model(torch.tensor([list(sample)])).logits[0, start - 1 : -1]
        targets = torch.tensor(list(sample[start:]))
        losses.append(torch.nn.functional.cross_entropy(logits, targets, reduction="none"))
    # A batch of both: the mean over the tokens of both answers.
    config = chat(epochs=1, learning_rate=1e-9)
    log = finetune(loaded, articles(), config, 0, prompts=OPENINGS)
    assert log.losses == pytest.approx([float(torch.cat(losses).mean())], rel=1e-4)
    for batch in (pack(samples, asked), collate(samples, 0, unlearned=asked)):
        learned = batch["input_ids"][batch["labels"] != NO_LOSS].tolist()
        answers = [list(one[start:]) for one, start in zip(samples, asked, strict=True)]
        assert learned == [token for answer in answers for token in answer]
    same = [list(range(6)), list(range(6, 12))]
    assert pack(same, [2, 4])["labels"].tolist() == [
        [-100, -100, 2, 3, 4, 5],
        [-100, -100, -100, -100, 10, 11],
    ]


@pytest.mark.parametrize("instruction", [chat().asks, TITLE])
def test_a_model_that_has_learnt_its_turns_answers_with_them_and_stops(loaded, instruction):
    config = chat(instruction=instruction, epochs=80, learning_rate=5e-3, schedule="constant")
    finetune(loaded, articles(), config, 0, prompts=OPENINGS)
    written = generate_articles(loaded, articles(), OPENINGS, 0, instruction=instruction)
    wholes = [f"{title}\n{body}" for title, body in articles().select("title", "body").rows()]
    words = loaded.tokenizer
    rest = [words.decode(words(whole)["input_ids"][5:]) for whole in wholes]
    assert written["body"].to_list() == (TEXTS if instruction == TITLE else rest)


def test_what_a_template_puts_before_an_answer_is_of_the_prompt_and_an_end_is_found():
    thinking = CHATML.replace(
        "{{ m.content }}",
        "{% if m.role == 'assistant' %}<think></think>\n{% endif %}{{ m.content }}",
    )
    words = instruct(thinking)
    ends = [words.eos_token_id]
    found = chat_of(words, "Say {text}!", ends)
    assert words.decode(found.before) == "<|im_start|>user\nSay "
    assert words.decode(found.after) == ("!<|im_end|>\n<|im_start|>assistant\n<think></think>\n")
    assert words.decode(found.end) == "<|im_end|>"
    # Its prompt opens a thought that no answer has: the prompt counts.
    words = instruct(CHATML.replace("assistant\n{% endif %}", "assistant\n<think>{% endif %}"))
    assert words.decode(chat_of(words, "Say {text}!", ends).after).endswith("assistant\n<think>")
    # None of what ends its answers ends a text of the model.
    words = instruct(end="<|endoftext|>")
    found = chat_of(words, "Say {text}!", [words.eos_token_id])
    assert words.decode(found.end) == "<|im_end|>\n<|endoftext|>"


def test_a_template_that_tells_the_date_tells_the_same_one_on_any_day():
    words = instruct("{{ strftime_now('%d %B %Y') }} " + CHATML)
    assert words.decode(chat_of(words, "{text}", [0]).before).startswith(
        "26 July 2024 <|im_start|>"
    )


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('no') }}", r"cannot take a question and an answer .*no"),
        ("{{ messages[-1].role }}", "has a turn's text 0 times"),
        (None, "chat needs a model with a chat template"),
    ],
)
def test_a_template_that_cannot_take_the_turns_is_refused(template, words):
    with pytest.raises(InputError, match=words):
        chat_of(instruct(template), "{text}", [0])


def test_a_model_without_a_template_is_refused_before_anything_is_computed(folder, tmp_path):
    plain = load_model(str(folder))
    plain.tokenizer.chat_template = None
    save_model(plain, tmp_path / "plain")
    config = {"base": {"model": str(tmp_path / "plain")}, "training": {"text": "chat"}}
    with pytest.raises(InputError, match=r"chat needs a model with a chat template, and .*plain"):
        api.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match=r"base\.model: scratch has none"):
        api.run({"base": {"model": "scratch"}, "training": {"text": "chat"}}, tmp_path / "run")


def test_prompts_that_do_not_fit_and_titles_that_are_not_there_are_refused(loaded):
    room = 192 - chat_of(loaded.tokenizer, chat().asks, loaded.ends).size
    config = OPENINGS.model_copy(update={"new_tokens": room - 4})
    with pytest.raises(InputError, match=f"context of {room} tokens, its chat template and"):
        generate_blocks(loaded, articles(), config, 0, instruction=chat().asks)
    with pytest.raises(InputError, match=r"The longest title \+ generation\.new_tokens is 155"):
        generate_blocks(loaded, articles(), config, 0, instruction=TITLE)
    with pytest.raises(InputError, match="1 of 2 have none, as '1': ask with"):
        generate_blocks(loaded, articles(titles=["a", " "]), OPENINGS, 0, instruction=TITLE)
