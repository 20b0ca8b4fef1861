"""Fixtures of the metrics tests: a small invented corpus with sources, labels and a grammar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny_models import WORDS, tiny_bert, words_tokenizer

from biasloop.config import MetricsConfig
from biasloop.metrics.base import FitContext
from biasloop.tables import ARTICLES

LABELS = ("left", "right")
_SYLLABLES = [a + b for a in "bdfgklmnprstv" for b in ("a", "e", "i", "o", "u", "an", "er", "il")]


def _lexicon(rng: np.random.Generator, count: int) -> list[str]:
    return sorted(
        {"".join(rng.choice(_SYLLABLES, size=int(rng.integers(2, 4)))) for _ in range(count * 2)}
    )[:count]


def make_corpus(
    articles: int, *, seed: int = 0, words: int = 80, sources: int = 8, hint: float = 0.5
) -> pl.DataFrame:
    """Invent a corpus: sentences of one grammar, some nouns used by one leaning only."""
    rng = np.random.default_rng(0)
    nouns, verbs, adjectives = _lexicon(rng, 120), _lexicon(rng, 50), _lexicon(rng, 50)
    own = {"left": [f"{n}ism" for n in nouns[:15]], "right": [f"{n}ity" for n in nouns[15:30]]}
    rng = np.random.default_rng(seed + 1)
    pick = lambda items: str(items[int(rng.integers(len(items)))])  # noqa: E731

    def noun(label: str) -> str:
        return pick(own[label]) if rng.random() < hint / 4 else pick(nouns)

    def sentence(label: str) -> str:
        parts = ["the", pick(adjectives), noun(label), "will", pick(verbs), "a", noun(label)]
        if rng.random() < 0.5:
            parts += ["in", "the", pick(nouns), "of", "our", pick(nouns)]
        if rng.random() < 0.3:
            parts += ["and", "we", pick(verbs) + "ed", "it"]
        return " ".join(parts).capitalize() + "."

    rows = []
    for row in range(articles):
        label = LABELS[row % 2]
        body = ""
        while len(body.split()) < words:
            body += sentence(label) + " "
        source = f"{label}-{int(rng.integers(sources))}"
        rows.append((f"a{row:04d}", f"Title {row}", body.strip(), label, source))
    return pl.DataFrame(rows, schema=ARTICLES, orient="row")


@pytest.fixture(scope="session")
def corpus() -> pl.DataFrame:
    return make_corpus(120)


@pytest.fixture(scope="session")
def other_corpus() -> pl.DataFrame:
    return make_corpus(40, seed=7)


@pytest.fixture
def corpus_maker():
    return make_corpus


@pytest.fixture
def make_context():
    def make(articles: pl.DataFrame, *, labels=LABELS, seed=0, **settings) -> FitContext:
        return FitContext(MetricsConfig(**settings), labels, articles, None, seed)

    return make


HOSTILE = [
    "",
    " \n\t ",
    "\0",
    "a",
    ".",
    "." * 5000,
    "!?" * 3000 + "x",
    "\U0001f600 \U0001f468‍\U0001f469‍\U0001f467 \U0001f600",
    "x" * 50_000,
    "word " * 5000,
    "<script>alert(1)</script>",
    "漢字かな交じり文。それだけ。",
    "‮ right to left \x07\x1b[31m",
    "a. b. c. d. " * 500,
    "\n\n".join(["line"] * 300),
]


@pytest.fixture(scope="session")
def hostile() -> pl.DataFrame:
    """Articles as a broken model may write them."""
    rows = [(f"h{row}", "", text, "left", "") for row, text in enumerate(HOSTILE)]
    return pl.DataFrame(rows, schema=ARTICLES, orient="row")


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory) -> Path:
    """A tiny untrained BERT with three labels of its own."""
    return build_classifier(tmp_path_factory.mktemp("classifier"), ("LEFT", "CENTER", "RIGHT"))


@pytest.fixture
def classifier_maker():
    return build_classifier


def build_classifier(folder: Path, labels: tuple[str, ...]) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(chr(97 + i) for i in range(26)), "."]
    vocabulary += [f"##{chr(97 + i)}" for i in range(26)]
    tokenizer = Tokenizer(
        models.WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        initializer_range=0.5,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def marked() -> pl.DataFrame:
    """Articles of three leanings, each said by the word "aaaa", "bbbb" or "cccc"."""
    rng = np.random.default_rng(3)
    rows = []
    for row in range(90):
        label, word = (("left", "aaaa"), ("center", "bbbb"), ("right", "cccc"))[row % 3]
        own = rng.permutation([word] * 10 + [f"w{n}" for n in rng.integers(60, size=30)])
        rows.append((f"m{row:03d}", f"T{row}", " ".join(own), label, f"s{row // 3 % 15}"))
    return pl.DataFrame(rows, schema=ARTICLES, orient="row")


@pytest.fixture(scope="session")
def authors_folder(tmp_path_factory, marked) -> Path:
    """A classifier with the authors' names of labels: 0 is right, 1 left, 2 center."""
    names = ("right", "left", "center")
    answers = [names.index(label) for label in marked["label"]]
    labels = ("LABEL_0", "LABEL_1", "LABEL_2")
    folder = tmp_path_factory.mktemp("authors")
    tokenizer = words_tokenizer(WORDS)
    return tiny_bert(
        "BertForSequenceClassification", tokenizer, folder, marked["body"].to_list(), answers,
        labels=labels,
    )  # fmt: skip
