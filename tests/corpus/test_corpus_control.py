"""The made-up corpus holds what it says, and nothing else tells its leanings apart."""

from collections import Counter

import pytest

from biasloop.config import load_config, parse_config
from biasloop.corpus.control import FRAMES, OPENING_WORDS, PLACES, SENTENCE_TOKENS, vocabulary
from biasloop.corpus.load import fingerprint, load_corpus
from biasloop.corpus.split import split_parts
from biasloop.errors import InputError
from biasloop.loop import make_plan
from biasloop.models.load import train_tokenizer
from biasloop.stages.finetune import training_text

NEUTRAL = {*OPENING_WORDS, *PLACES, *" ".join(FRAMES).split()}


def config(**control):
    return parse_config({"corpus": {"source": "control", "control": control}})


def corpus(seed=3, **control):
    return load_corpus(config(**control).corpus, seed)


def words(text):
    return text.replace(".", " ").split()


def test_planted_word_types_are_there_and_each_is_as_frequent():
    made = corpus(word_types={"blue": 12, "red": 3}, articles_per_leaning=300, sentences=4)
    own = vocabulary(config(word_types={"blue": 12, "red": 3}).corpus.control, 3)
    found = {"blue": Counter(), "red": Counter()}
    for label, body in made.articles.select("label", "body").iter_rows():
        found[label].update(word for word in words(body) if word not in NEUTRAL)
    for label, types in (("blue", 12), ("red", 3)):
        assert set(found[label]) == set(own[label])
        assert found[label].total() == 300 * 4
        expected = 1200 / types
        assert max(abs(n - expected) for n in found[label].values()) < 5 * expected**0.5
    assert not set(own["blue"]) & set(own["red"])


def test_nothing_neutral_tells_the_leanings_apart():
    made = corpus(articles_per_leaning=1000)
    counts = {label: Counter() for label in ("blue", "red")}
    for title, label, body in made.articles.select("title", "label", "body").iter_rows():
        counts[label].update(word for word in words(f"{title} {body}") if word in NEUTRAL)
    for word in NEUTRAL - {"{place}", "{word}."}:
        blue, red = counts["blue"][word], counts["red"][word]
        assert abs(blue - red) < 5 * (blue + red) ** 0.5, word


def test_labels_balance_and_lengths_agree():
    made = corpus(articles_per_leaning=50, opening_words=5, sentences=2)
    assert dict(Counter(made.articles["label"])) == {"blue": 50, "red": 50}
    assert {len(title.split()) for title in made.articles["title"]} == {5}
    assert {body.count(".") for body in made.articles["body"]} == {2}
    assert made.articles["article_id"].n_unique() == 100


def test_same_seed_same_text_and_another_seed_other_text():
    assert corpus(1).articles.equals(corpus(1).articles)
    assert not corpus(1).articles["body"].equals(corpus(2).articles["body"])


def test_three_leanings():
    made = corpus(word_types={"a": 2, "b": 4, "c": 8}, articles_per_leaning=5)
    assert made.labels == ("a", "b", "c")


def test_key_follows_settings_and_seed():
    def key(values):
        return make_plan(parse_config({"base": {"model": "scratch"}, **values})).corpus.key

    control = {"source": "control"}
    assert key({"corpus": control}) == key({"corpus": control})
    assert key({"corpus": control}) != key({"corpus": control, "seed": 1})
    assert key({"corpus": control}) != key({"corpus": control | {"control": {"sentences": 3}}})
    # It is no other corpus's business, so that older runs are still known.
    other = parse_config({"corpus": {"control": {"sentences": 3}}})
    assert fingerprint(other.corpus) == fingerprint(parse_config({}).corpus)


@pytest.mark.parametrize("name", ["control-positive", "control-negative"])
def test_example_prompts_are_the_titles(name):
    """Every word is one token, so that an opening ends where the neutral title does."""
    settings = load_config(name)
    made = load_corpus(settings.corpus, settings.seed)
    parts = split_parts(made, settings.corpus, settings.seed)
    texts = [training_text(t, b) for t, b in parts.select("title", "body").iter_rows()]
    tokenizer = train_tokenizer(texts, settings.base.scratch.vocabulary)
    ids = tokenizer(texts)["input_ids"]
    control = settings.corpus.control
    body = SENTENCE_TOKENS * control.sentences
    assert {len(one) for one in ids} == {control.opening_words + 1 + body}
    assert settings.generation.opening_tokens == control.opening_words + 1
    assert settings.generation.new_tokens == body


def test_the_examples_differ_in_temperature_only():
    positive = load_config("control-positive").model_dump()
    negative = load_config("control-negative").model_dump()
    assert negative["generation"].pop("temperature") == 1.0
    assert positive["generation"].pop("temperature") < 1.0
    assert positive.pop("name") != negative.pop("name")
    assert positive == negative


def test_bad_settings_are_named():
    with pytest.raises(InputError, match=r"word_types"):
        config(word_types={"red": 2})
    with pytest.raises(InputError, match=r"corpus\.format"):
        load_corpus(parse_config({"corpus": {"source": "control", "format": "csv"}}).corpus, 0)
