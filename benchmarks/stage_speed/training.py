"""Fine-tuning against a plain Trainer that pads every line to 512 tokens, on the same batches."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from biasloop.config import Config, load_config
from biasloop.device import choose
from biasloop.models.load import LoadedModel, load_model, quiet, train_tokenizer
from biasloop.seeds import generator, integer
from biasloop.stages.train import TrainingLog, train
from stage_speed.figure import Figure
from stage_speed.machine import precisions
from stage_speed.padded_training import PADDED_TOKENS, train_padded
from stage_speed.peak import peak
from stage_speed.settings import DEMO, GPT2_SIZE, BenchSettings

#: The published protocol's samples per step and learning rate.
BATCH, _RATE = 8, 5e-5
#: Lengths of the lines of news articles, in tokens, are close to a gamma distribution of this
#: shape and scale: median 46, one in twenty under 10 and one over 125.
LINES = (2.0, 27.0)


def measure_training(settings: BenchSettings) -> list[Figure]:
    """Measure fine-tuning on lines and on whole articles, in every precision there is.

    The model has no dropout here, on either side, so that losses can be compared step by step.
    """
    start = model_of(settings)
    vocabulary = int(start.model.config.vocab_size)
    large = settings.model != DEMO
    timed = (1 if settings.quick else 2) if large else (4 if settings.quick else 12)
    context = min(start.context, PADDED_TOKENS)
    random = generator(settings.seed, "bench", "training")
    lengths = np.clip(random.gamma(*LINES, size=BATCH * (timed + 1)), 2, context).astype(int)
    lines = [random.integers(0, vocabulary, size=n).tolist() for n in lengths]
    whole = random.integers(0, vocabulary, size=(BATCH * (timed + 1), context))
    seed = integer(settings.seed, "bench", "order")
    plain = Run(steps(train_padded, start, lines, seed), start, lines)
    figures = []
    for precision in precisions():
        ceiling = peak(precision, settings.threads)
        placed = replace(start, device=replace(start.device, precision=precision))
        # Once for nothing: memory comes from the system page by page, the first time.
        steps(train, placed, lines, seed)
        ours = Run(steps(train, placed, lines, seed), start, lines)
        apart = max(abs(a - b) for a, b in zip(ours.losses, plain.losses, strict=True))
        figures.append(
            Figure(
                stage="fine-tune",
                what=f"lines, {precision}",
                baseline_name=f"lines padded to {context}, float32 Trainer",
                unit="tokens/s",
                speed=ours.tokens_per_second,
                baseline=plain.tokens_per_second,
                wanted=5.0,
                peak_share=ours.operations_per_second / ceiling,
                note=f"same batches; losses of {len(plain.losses)} steps differ by at most "
                f"{apart:.0e} nats",
            )
        )
        steps(train, placed, whole[:BATCH].tolist(), seed)
        articles = Run(steps(train, placed, whole.tolist(), seed), start, whole.tolist())
        figures.append(
            Figure(
                stage="fine-tune",
                what=f"articles of {whole.shape[1]} tokens, {precision}",
                baseline_name=f"lines padded to {context}, float32 Trainer",
                unit="tokens/s",
                speed=articles.tokens_per_second,
                baseline=plain.tokens_per_second,
                peak_share=articles.operations_per_second / ceiling,
            )
        )
    return figures


class Run:
    """What a training's steps took, the first (which warms up) left out."""

    def __init__(
        self,
        made: tuple[list[int], list[float], Sequence[float]],
        loaded: LoadedModel,
        samples: Sequence[Sequence[int]],
    ) -> None:
        tokens, ends, self.losses = made
        seconds = np.diff(ends)
        rates = [count / took for count, took in zip(tokens[1:], seconds, strict=True)]
        self.tokens_per_second = statistics.median(rates)
        per_token = operations(loaded, samples) / sum(map(len, samples))
        self.operations_per_second = self.tokens_per_second * per_token


def operations(loaded: LoadedModel, samples: Sequence[Sequence[int]]) -> float:
    """Floating-point operations that one training step on each sample must do.

    Six for each weight of a linear layer and token (a product and a sum, forward, and for the
    gradients of inputs and of weights), the output layer among them and embeddings not; and
    causal attention's six times layers, width and the square of the sample's length.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    config = loaded.model.config
    weights = sum(
        layer.weight.numel()
        for layer in loaded.model.modules()
        if isinstance(layer, (torch.nn.Linear, Conv1D))
    )
    width = config.num_hidden_layers * config.hidden_size
    return float(sum(6 * weights * len(s) + 6 * width * len(s) ** 2 for s in samples))


def steps(
    method: Callable[..., TrainingLog],
    start: LoadedModel,
    samples: Sequence[Sequence[int]],
    seed: int,
) -> tuple[list[int], list[float], Sequence[float]]:
    """Train a copy for an epoch: each step's tokens, when it ended, and its loss."""
    tokens: list[int] = []
    ends: list[float] = []

    def told(count: int) -> None:
        tokens.append(count)
        ends.append(time.perf_counter())

    log = method(
        replace(start, model=copy.deepcopy(start.model)),
        samples,
        seed=seed,
        batch_size=BATCH,
        learning_rate=_RATE,
        weight_decay=0.01,
        on_progress=told,
    )
    return tokens, ends, log.losses


def model_of(settings: BenchSettings) -> LoadedModel:
    """Build a model of GPT-2's or the demo's size with random weights, or load the named one."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, set_seed

    quiet()
    if settings.model not in {DEMO, GPT2_SIZE}:
        return load_model(settings.model, precision="float32")
    config = GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    if settings.model == DEMO:
        scratch = _demo().base.scratch
        config.update(
            {
                "vocab_size": scratch.vocabulary,
                "n_positions": scratch.context,
                "n_embd": scratch.width,
                "n_layer": scratch.layers,
                "n_head": scratch.heads,
            }
        )
    set_seed(settings.seed)
    device = choose("float32")
    model = GPT2LMHeadModel(config).to(torch.device(device.name))
    return LoadedModel(model, train_tokenizer([""], 300), device)


def _demo() -> Config:
    return load_config("demo")
