"""Fine-tuning against a plain Trainer that pads every line to 512 tokens, on the same batches."""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from biasloop.bench.figure import Figure
from biasloop.bench.peak import peak
from biasloop.bench.settings import DEMO, GPT2_SIZE, BenchSettings
from biasloop.config import Config, load_config
from biasloop.device import Device, choose
from biasloop.models import LoadedModel, load_model, train_tokenizer
from biasloop.seeds import generator, integer
from biasloop.stages import train

#: The published protocol's padded length, samples per step and learning rate.
_PADDED, _BATCH, _RATE = 512, 8, 5e-5
#: Lengths of the lines of news articles, in tokens, are close to a gamma distribution of this
#: shape and scale: median 46, one in twenty under 10 and one over 125.
_LINES = (2.0, 27.0)
_ARTICLE = 512


def training(settings: BenchSettings) -> list[Figure]:
    """Measure fine-tuning on lines and on whole articles, in float32 and bfloat16.

    The model has no dropout here, on either side, so that losses can be compared step by step.
    """
    start = _model(settings)
    vocabulary = int(start.model.config.vocab_size)
    large = settings.model != DEMO
    timed = (1 if settings.quick else 2) if large else (4 if settings.quick else 12)
    context = min(start.context, _PADDED)
    random = generator(settings.seed, "bench", "training")
    lengths = np.clip(random.gamma(*_LINES, size=_BATCH * (timed + 1)), 2, context).astype(int)
    lines = [random.integers(0, vocabulary, size=n).tolist() for n in lengths]
    whole = random.integers(0, vocabulary, size=(_BATCH * (timed + 1), min(context, _ARTICLE)))
    seed = integer(settings.seed, "bench", "order")
    plain = _Run(_plain(start, lines, seed, context), start, lines)
    figures = []
    for precision in ("float32", "bfloat16"):
        ceiling = peak(precision, settings.threads)
        device = replace(start.device, precision=precision)
        ours = _Run(_ours(start, lines, seed, device), start, lines)
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
        articles = _Run(_ours(start, whole.tolist(), seed, device), start, whole.tolist())
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


class _Run:
    """What a training's steps took, the first (which warms up) left out."""

    def __init__(
        self,
        steps: tuple[list[int], list[float], Sequence[float]],
        loaded: LoadedModel,
        samples: Sequence[Sequence[int]],
    ) -> None:
        tokens, ends, self.losses = steps
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


def _ours(
    start: LoadedModel, samples: Sequence[Sequence[int]], seed: int, device: Device
) -> tuple[list[int], list[float], Sequence[float]]:
    tokens: list[int] = []
    ends: list[float] = []

    def told(count: int) -> None:
        tokens.append(count)
        ends.append(time.perf_counter())

    log = train(
        replace(start, model=copy.deepcopy(start.model), device=device),
        samples,
        seed=seed,
        batch_size=_BATCH,
        learning_rate=_RATE,
        weight_decay=0.01,
        on_progress=told,
    )
    return tokens, ends, log.losses


def _plain(
    start: LoadedModel, samples: Sequence[Sequence[int]], seed: int, padded: int
) -> tuple[list[int], list[float], Sequence[float]]:
    """Train as a user of the transformers Trainer would at first: every sample padded to 512."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

    from biasloop.models.load import quiet

    quiet()
    tokens: list[int] = []
    ends: list[float] = []
    pad = start.tokenizer.pad_token_id
    rows = [
        {
            "input_ids": torch.tensor([*sample, *[pad] * (padded - len(sample))]),
            "attention_mask": torch.tensor([1] * len(sample) + [0] * (padded - len(sample))),
            "labels": torch.tensor([-100, *sample[1:], *[-100] * (padded - len(sample))]),
        }
        for sample in samples
    ]

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
            tokens.append(state.num_input_tokens_seen - sum(tokens))
            ends.append(time.perf_counter())

    set_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=copy.deepcopy(start.model),
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=_BATCH,
                num_train_epochs=1,
                learning_rate=_RATE,
                weight_decay=0.01,
                seed=seed,
                data_seed=seed,
                logging_steps=1,
                include_num_input_tokens_seen="non_padding",
                use_cpu=start.device.name == "cpu",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=rows,  # ty: ignore[invalid-argument-type]
            callbacks=[Watch()],
        )
        from transformers.trainer_callback import PrinterCallback

        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return tokens, ends, [row["loss"] for row in trainer.state.log_history if "loss" in row]


def _model(settings: BenchSettings) -> LoadedModel:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, set_seed

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
