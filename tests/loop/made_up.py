"""A tiny experiment on made-up text: seconds, not minutes."""

import json

import numpy as np

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def words(text: str) -> list[str]:
    return text.split()


WORDS = {
    "red": words("river stone market tax freedom border farm church flag rifle"),
    "blue": words("school health union climate equal vote city rights care wage"),
}
COMMON = words("the a of and to in we our they people have will make see go with for on all")


def write_corpus(path):
    random = np.random.default_rng(5)
    with path.open("w") as handle:
        for label, own in WORDS.items():
            for i in range(40):
                sentences = [
                    " ".join(
                        random.choice(own if random.random() < 0.4 else COMMON) for _ in range(9)
                    ).capitalize()
                    + "."
                    for _ in range(7)
                ]
                row = {
                    "id": f"{label}-{i}",
                    "title": f"On {own[i % 10]}",
                    "label": label,
                    "body": " ".join(sentences),
                    "source": f"{label}-{i % 8}",
                }
                handle.write(json.dumps(row) + "\n")
    return path


def experiment(corpus_file):
    return {
        "name": "tiny",
        "corpus": {
            "source": str(corpus_file),
            "articles_per_label": 6,
            "instrument_fraction": 0.5,
            "holdout_per_label": 3,
        },
        "base": {
            "model": "scratch",
            "scratch": {
                "layers": 1,
                "width": 16,
                "heads": 2,
                "vocabulary": 300,
                "context": 128,
                "pretraining": {
                    "steps": 8,
                    "batch_size": 4,
                    "tokens": 32,
                    "mix": {"red": 0.8, "blue": 0.2},
                },
            },
        },
        "training": {"epochs": 1, "samples": "article"},
        "generation": {"block_tokens": 32, "new_tokens": 24, "decoding": "nucleus"},
        "loop": {"generations": 2, "seeds": [0], "bias_direction": "auto"},
        "regimes": ["synthetic", "preservation"],
        "metrics": {
            "leaning": {"candidates": ["word-tfidf"], "damage_articles": 20},
            "self_bleu_articles": 4,
        },
        "report": {"bootstrap": 100},
    }


def chat_tokenizer(texts, template=CHATML, end="<|im_end|>"):
    """A tokenizer with a chat template and the tokens that it takes."""
    from biasloop.models.load import train_tokenizer

    tokenizer = train_tokenizer(texts, 300)
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "eos_token": end}
    )
    tokenizer.chat_template = template
    return tokenizer
