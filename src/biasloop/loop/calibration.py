"""How fast this machine trains, writes and reads with a model: half a minute of measuring."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from biasloop.config import Config
from biasloop.device import choose_for_training
from biasloop.errors import InputError
from biasloop.loop.cost import Estimate, Material
from biasloop.metrics import perplexities
from biasloop.stages import article_prompts, samples_of
from biasloop.stages.generate import continue_prompts
from biasloop.stages.train import train

#: Seconds that each of the three measurements may take, about.
_SECONDS = 10.0


@dataclass(frozen=True)
class Speeds:
    """Tokens per second.

    Attributes
    ----------
    train, generate, read
        Trained on, written, and read for perplexity.
    seconds
        How long measuring took.
    """

    train: float
    generate: float
    read: float
    seconds: float

    def hours(self, cost: Estimate) -> float:
        """Hours that a run will take, scoring by the classifiers not counted."""
        return (
            sum(cost.train_tokens.values()) / self.train
            + cost.generate_tokens / self.generate
            + cost.read_tokens / self.read
        ) / 3600


def calibrate(config: Config, material: Material) -> Speeds:
    """Measure speeds on the run's own articles, with a copy of its own model.

    Raises
    ------
    InputError
        If there is no article to measure with.
    """
    start = time.perf_counter()
    loaded, real = material.model, material.parts["real"]
    samples = samples_of(loaded, real, config.training)
    own = article_prompts(loaded.tokenizer, real, config.generation)
    prompts = [prompt for one in own for prompt in one]
    if not samples or not prompts:
        raise InputError("there is no article with two tokens to measure speeds with")
    trained = replace(
        loaded,
        model=copy.deepcopy(loaded.model),
        device=choose_for_training(config.training.precision),
    )
    size = config.training.batch_size

    def train_some(steps: int) -> int:
        chosen = [samples[i % len(samples)] for i in range(steps * size)]
        return train(
            trained,
            chosen,
            seed=0,
            batch_size=size,
            learning_rate=0.0,
            weight_decay=0.0,
            steps=steps,
        ).tokens

    def generate_some(batches: int) -> int:
        count = batches * config.generation.batch_size
        chosen = [prompts[i % len(prompts)] for i in range(count)]
        return sum(map(len, continue_prompts(loaded, chosen, config.generation, 0)))

    def read_some(batches: int) -> int:
        bodies = real["body"].to_list()
        count = batches * config.metrics.perplexity_batch_size
        texts = [bodies[i % len(bodies)] for i in range(count)]
        perplexities(loaded.model, loaded.tokenizer, texts, config.metrics.perplexity_batch_size)
        encoded = loaded.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return sum(min(len(ids), loaded.context) for ids in encoded)

    speeds = [_speed(some) for some in (train_some, generate_some, read_some)]
    return Speeds(*speeds, time.perf_counter() - start)


def _speed(some: Callable[[int], int]) -> float:
    """Tokens per second of ``some(n)``, with n doubled until it takes long enough to be typical."""
    count, spent = 1, 0.0
    while True:
        begun = time.perf_counter()
        tokens = some(count)
        took = time.perf_counter() - begun
        spent += took
        if took > _SECONDS / 2 or spent > _SECONDS:
            return tokens / took
        count *= 2
