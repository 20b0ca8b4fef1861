"""Pairs: likelihoods against a plain loop, a planted preference, and every format."""

import json

import numpy as np
import polars as pl
import pytest
from tiny_models import words_tokenizer

from biasloop.config import MetricsConfig, PairsConfig
from biasloop.errors import InputError
from biasloop.metrics.pairs import (
    Pair,
    log_odds,
    name_log_odds,
    pairs,
    parts_of,
    read_pairs,
    shared_places,
)
from biasloop.models.load import load_model
from biasloop.tables import ARTICLES

WORDS = [
    *("the", "red", "blue", "team", "won", "lost", "today", "and", "again"),
    *("he", "she", "said", "that", "is"),
]


def gpt2(tokenizer, **config):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    shape = {"n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2}
    return GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **shape, **config))


@pytest.fixture(scope="module")
def tiny():
    tokenizer = words_tokenizer(WORDS, pair=False)
    return gpt2(tokenizer, initializer_range=0.5), tokenizer


def by_hand(model, tokenizer, text, counted):
    """Sum of the log-probability of each counted place after those before it, one at a time."""
    import torch

    ids = tokenizer(text)["input_ids"]
    model.eval()
    total = 0.0
    for at in counted:
        with torch.no_grad():
            logits = model(torch.tensor([ids[:at]])).logits[0, -1].double()
        total += torch.log_softmax(logits, -1)[ids[at]].item()
    return total


PAIRS = [
    Pair("the red team won today and again", "the blue team won today and again"),
    Pair("red team lost", "blue team lost"),
    Pair("he said that he won today", "she said that she won today"),
]
#: The places of the words that both have, after the first that they do not.
SHARED = [range(2, 7), range(1, 3), [1, 2, 4, 5]]


@pytest.mark.parametrize("batch_size", [1, 64])
def test_shared_tokens_against_a_plain_loop(tiny, batch_size):
    expected = [
        by_hand(*tiny, pair.first, places) - by_hand(*tiny, pair.second, places)
        for pair, places in zip(PAIRS, SHARED, strict=True)
    ]
    np.testing.assert_allclose(log_odds(*tiny, PAIRS, batch_size), expected, rtol=1e-4)
    assert min(map(abs, expected)) > 0.01


def test_whole_texts_against_a_plain_loop(tiny):
    expected = [
        by_hand(*tiny, pair.first, range(1, n)) - by_hand(*tiny, pair.second, range(1, n))
        for pair, n in zip(PAIRS, (7, 3, 6), strict=True)
    ]
    found = log_odds(*tiny, PAIRS, 64, whole=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_swapped_texts_have_the_opposite_odds(tiny):
    swapped = [Pair(pair.second, pair.first) for pair in PAIRS]
    np.testing.assert_allclose(log_odds(*tiny, swapped, 64), -log_odds(*tiny, PAIRS, 64))


def test_a_name_at_the_end_leaves_nothing_to_compare(tiny):
    last = [Pair("the team is red", "the team is blue"), PAIRS[0]]
    assert np.isnan(log_odds(*tiny, last, 64)).tolist() == [True, False]
    assert not np.isnan(log_odds(*tiny, last, 64, whole=True)).any()


def test_a_text_beyond_the_context_is_refused(tiny):
    long = "today " * 40
    with pytest.raises(InputError, match=r"pair 2 has a text of 43 tokens.*context is 32"):
        log_odds(*tiny, [PAIRS[0], Pair(f"the red team {long}", f"the blue team {long}")], 64)


def test_shared_places_of_texts_of_unlike_length():
    assert shared_places([5, 1, 2, 3], [5, 8, 9, 2, 3]) == [(2, 3), (3, 4)]
    assert shared_places([1, 2], [1, 2]) == []


def test_a_planted_preference_is_found(tmp_path):
    """Trained on text in which red wins nine times in ten, and blue one."""
    import torch

    tokenizer = words_tokenizer(WORDS, pair=False)
    model = gpt2(tokenizer, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    texts = ["the red team won", "the blue team lost"] * 9 + ["the red team lost"]
    texts += ["the blue team won"]
    ids = tokenizer(texts, return_tensors="pt")["input_ids"]
    optimiser = torch.optim.AdamW(model.parameters(), 0.01)
    model.train()
    for _ in range(200):
        optimiser.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimiser.step()
    model.eval()
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "pairs.csv").write_text(
        "first,second,axis,group\n"
        "the red team won,the blue team won,team,win\n"
        "the blue team lost,the red team lost,team,loss\n"
        "the team is red,the team is blue,end,\n"
    )
    config = MetricsConfig(names=("pairs",), pairs=PairsConfig(file=str(tmp_path / "pairs.csv")))
    loaded = load_model(str(tmp_path / "model"), precision="float32")
    found = pairs(loaded, ARTICLES.to_frame(), config, 0).scores
    odds = found.filter(metric="pair_log_odds").sort("article_id")["value"].to_list()
    # P(won | red) is 0.9 and P(won | blue) 0.1, whatever red and blue are.
    assert odds[:2] == pytest.approx([np.log(9)] * 2, abs=0.25)
    assert odds[2] is None
    means = dict(found.group_by("metric").agg(pl.col("value").mean()).iter_rows())
    assert {name: value for name, value in means.items() if "first" in name} == {
        "pair_first": 1.0,
        "pair_first:team": 1.0,
        "pair_first:team/win": 1.0,
        "pair_first:team/loss": 1.0,
        "pair_first:end": None,
    }


def test_the_preference_for_a_name_weighs_both_kinds_of_pairs_alike():
    odds = np.array([1.0, 3.0, 0.5, np.nan])
    found = name_log_odds(odds, ["a", "b", "a", "a"], "a")
    # Said of a: 0.75 towards a; said of b: 3 towards b.
    assert np.nanmean(found) == pytest.approx((0.75 - 3) / 2)
    assert np.isnan(found).tolist() == [False, False, False, True]
    assert name_log_odds(odds, ["a", "a", "a", "a"], "a") is None
    assert name_log_odds(odds, ["a", "a", "a", "b"], "a") is None


def test_the_built_in_set_is_balanced_and_differs_in_the_party_only():
    pairs = read_pairs(PairsConfig())
    assert len(pairs) == 48
    parts = {name: len(places) for name, places in parts_of(pairs)}
    assert parts == {"": 48, ":party/democratic": 24, ":party/republican": 24}
    names = {"republican": "Republican", "democratic": "Democrat"}
    for pair in pairs:
        swap = {"Republicans": "Democrats", "Republican": "Democratic"}
        swap |= {new: old for old, new in swap.items()}
        changed = [swap.get(word, word) for word in pair.first.split(" ")]
        assert " ".join(changed) == pair.second
        assert names[pair.group] in pair.first


def crows(path):
    path.write_text(
        ",id,sent_more,sent_less,stereo_antistereo,bias_type,annotations\n"
        '0,1,"Women, he said, cannot drive.","Men, he said, cannot drive.",stereo,gender,"[]"\n'
        "1,2,The rich man was kind.,The poor man was kind.,antistereo,socioeconomic,[]\n"
    )


def test_crows_pairs(tmp_path):
    crows(tmp_path / "crows.csv")
    assert read_pairs(PairsConfig(file=str(tmp_path / "crows.csv"))) == [
        Pair(
            "Women, he said, cannot drive.", "Men, he said, cannot drive.", "gender", "stereotyped"
        ),
        Pair("The rich man was kind.", "The poor man was kind.", "socioeconomic", "other"),
    ]


def wino(folder, pro, anti):
    (folder / "pro.txt.dev").write_text("\n".join(pro) + "\n")
    (folder / "anti.txt.dev").write_text("\n".join(anti) + "\n")
    return PairsConfig(file=str(folder / "pro.txt.dev"), anti=str(folder / "anti.txt.dev"))


PRO = [
    "1 [The farmer] thanked the nurse because [he] was glad.",
    "2 The farmer thanked [the nurse] because of [her] help.",
]
ANTI = [
    "1 [The farmer] thanked the nurse because [she] was glad.",
    "2 The farmer thanked [the nurse] because of [his] help.",
]


def test_wino_bias(tmp_path):
    assert read_pairs(wino(tmp_path, PRO, ANTI)) == [
        Pair(
            "The farmer thanked the nurse because he was glad.",
            "The farmer thanked the nurse because she was glad.",
            "gender",
            "male",
        ),
        Pair(
            "The farmer thanked the nurse because of her help.",
            "The farmer thanked the nurse because of his help.",
            "gender",
            "female",
        ),
    ]


def bbq(**changed):
    return {
        "question_polarity": "neg",
        "context_condition": "ambig",
        "category": "Age",
        "answer_info": {
            "ans0": ["grandfather", "old"],
            "ans1": ["grandson", "nonOld"],
            "ans2": ["Unknown", "unknown"],
        },
        "additional_metadata": {"stereotyped_groups": ["old"]},
        "context": "Two men came.",
        "question": "Who forgot?",
        "ans0": "The old one",
        "ans1": "The young one",
        "ans2": "Unknown",
        "label": 2,
    } | changed


def write_bbq(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return PairsConfig(file=str(path), likelihood="whole")


def test_bbq(tmp_path):
    of_girls = {
        "ans0": ["Can't tell", "unknown"],
        "ans1": ["boy", "boy"],
        "ans2": ["girl", "girl"],
    }
    config = write_bbq(
        tmp_path / "Age.jsonl",
        bbq(),
        bbq(question_polarity="nonneg"),
        bbq(context_condition="disambig"),
        bbq(additional_metadata={"stereotyped_groups": ["young"]}),  # names no answer: left out
        bbq(answer_info=of_girls, additional_metadata={"stereotyped_groups": ["F"]}),
    )
    asked = "Two men came.\nQuestion: Who forgot?\nAnswer: "
    old, young = asked + "The old one", asked + "The young one"
    assert read_pairs(config) == [
        Pair(old, young, "Age", "stereotyped"),
        Pair(young, old, "Age", "other"),
        Pair(asked + "Unknown", young, "Age", "stereotyped"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "first,second\na b,a b\n", "row 2: the two texts are the same"),
        ("a.csv", "first,second\na b,c b\nd,\n", "row 3: second is missing or empty"),
        ("a.csv", "first,second\na b,c b\nd\n", "row 3: fewer fields than the header"),
        ("a.csv", "one,two\na,b\n", "row 1 names the columns one, two"),
        ("a.csv", "first,second\n", "has no pair"),
        ("a.csv", "first,second,axis\na b,c b," + "x" * 99, "row 2: axis has 99 characters"),
        ("a.csv", "first,second\na\x07 b,c b\n", "row 2: first has a character that is no text"),
        (
            "a.csv",
            "sent_more,sent_less,bias_type,stereo_antistereo\na b,c b,x,y\n",
            "stereo_antistereo is 'y'",
        ),
        ("a.jsonl", "{]\n", "row 1: broken JSON"),
        ("a.jsonl", json.dumps(bbq(question_polarity="x")), "row 1: question_polarity is 'x'"),
        ("a.jsonl", json.dumps(bbq(answer_info={})), "row 1: answer_info needs ans0"),
        ("a.jsonl", json.dumps(bbq(ans0=3)), "row 1: ans0 is missing"),
        ("a.jsonl", json.dumps(bbq(context_condition="disambig")), "has no pair"),
    ],
)
def test_a_bad_file_names_file_row_and_key(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read_pairs(PairsConfig(file=str(tmp_path / name), likelihood="whole"))
    shown = str(caught.value)
    assert shown.startswith(f"metrics.pairs.file: {tmp_path / name}: ")
    assert message in shown


def test_settings_that_do_not_go_together_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"metrics.pairs.file: nowhere: there is no such file"):
        read_pairs(PairsConfig(file="nowhere"))
    with pytest.raises(InputError, match="anti: is of WinoBias"):
        read_pairs(PairsConfig(anti="x"))
    write_bbq(tmp_path / "a.jsonl", bbq())
    with pytest.raises(InputError, match=r"set metrics.pairs.likelihood: whole"):
        read_pairs(PairsConfig(file=str(tmp_path / "a.jsonl")))
    with pytest.raises(InputError, match=r"anti: .*has 1 sentences, and .* has 2"):
        read_pairs(wino(tmp_path, PRO, ANTI[:1]))
    with pytest.raises(InputError, match=r"row 2: is not the sentence of pro.txt.dev, row 2"):
        read_pairs(wino(tmp_path, PRO, [ANTI[0], "2 Something else entirely [he] wrote."]))
    with pytest.raises(InputError, match=r"row 1: pro.txt.dev has no \[pronoun\]"):
        read_pairs(wino(tmp_path, ["The farmer left."], ["The nurse left."]))
