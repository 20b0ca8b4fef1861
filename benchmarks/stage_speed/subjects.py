"""Models and texts to measure with: of a real size, with random weights and made-up words."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from biasloop.device import Device
from biasloop.models.load import LoadedModel, load_model, quiet, train_tokenizer
from biasloop.seeds import generator, integer
from stage_speed.settings import DEMO, GPT2_SIZE, BenchSettings

_WORDS = 3000
_LETTERS = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))


def texts(seed: int, count: int, low: int, high: int) -> list[str]:
    """Make up texts of ``low`` to ``high`` words, words as unequally frequent as real ones."""
    rng = generator(seed, "bench", "texts")
    words = ["".join(rng.choice(_LETTERS, rng.integers(2, 9))) for _ in range(_WORDS)]
    weights = 1 / np.arange(1, _WORDS + 1)
    weights /= weights.sum()
    return [
        " ".join(rng.choice(words, rng.integers(low, high + 1), p=weights)) + "."
        for _ in range(count)
    ]


@cache
def _tokenizer(seed: int) -> Any:
    return train_tokenizer(texts(seed, 400, 100, 200), 2048)


@cache
def language_model(settings: BenchSettings) -> LoadedModel:
    """Build or load the model that is measured, in float32."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, set_seed

    from biasloop.config import load_config
    from biasloop.device import choose
    from biasloop.models.load import build_scratch_model

    quiet()
    seed = integer(settings.seed, "bench", "weights")
    if settings.model == DEMO:
        return build_scratch_model(
            _tokenizer(settings.seed), load_config("demo").base.scratch, seed
        )
    if settings.model != GPT2_SIZE:
        return load_model(settings.model, precision="float32")
    set_seed(seed)
    device = choose("float32")
    model = GPT2LMHeadModel(GPT2Config()).to(torch.device(device.name)).eval()
    return LoadedModel(model, _tokenizer(settings.seed), device)


@cache
def classifier(settings: BenchSettings) -> Any:
    """Build a classifier of RoBERTa-base's size, or of the demo model's, in float32."""
    import torch
    from transformers import RobertaConfig, RobertaForSequenceClassification, set_seed

    from biasloop.device import choose
    from biasloop.metrics.pretrained import SequenceClassifier

    set_seed(integer(settings.seed, "bench", "weights"))
    size: dict[str, Any] = {"num_labels": 4}
    if settings.model == DEMO:
        size |= {
            "hidden_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 512,
        }
    config = RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, **size)
    model = RobertaForSequenceClassification(config)
    model.to(torch.device(choose("float32").name)).eval()
    return SequenceClassifier(model, _tokenizer(settings.seed), None, np.eye(4))


def in_precision(loaded: LoadedModel, precision: str) -> LoadedModel:
    """Give a float32 model in a precision: itself, or a copy."""
    device = Device(loaded.device.name, precision)
    if precision == "float32":
        return loaded
    return replace(loaded, model=copy.deepcopy(loaded.model).to(device.dtype), device=device)
