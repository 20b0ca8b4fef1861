"""Speed of generation beside `baselines`, and the share of tokens that agree with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from biasloop.config import GenerationConfig
from biasloop.models.load import LoadedModel
from biasloop.seeds import generator
from biasloop.stages.generate import continue_prompts
from stage_speed import baselines, operations
from stage_speed.clock import timed
from stage_speed.figure import Figure
from stage_speed.machine import precisions
from stage_speed.peak import peak
from stage_speed.settings import BenchSettings
from stage_speed.subjects import in_precision, language_model

_ALONE = "one prompt at a time, float32"


def measure_generation(settings: BenchSettings) -> list[Figure]:
    """Measure greedy and nucleus decoding of 64 tokens after 64, in every precision there is."""
    loaded = language_model(settings)
    tokens = 16 if settings.quick else 64
    config = GenerationConfig(block_tokens=64, new_tokens=tokens)
    rng = generator(settings.seed, "bench", "prompts")
    vocabulary = min(loaded.model.config.vocab_size, len(loaded.tokenizer))
    prompts = rng.integers(0, vocabulary, (config.batch_size, 64)).tolist()
    end = loaded.tokenizer.eos_token_id

    few = prompts[: 1 if settings.quick else 2]
    alone, seconds = timed(lambda: baselines.generate_one_by_one(loaded.model, few, tokens, end))
    one_by_one = sum(map(len, alone)) / seconds
    size, batched = _best_batch(loaded, prompts, tokens, settings.quick)

    figures = []
    exact: list[np.ndarray] = []
    for precision in precisions():
        subject = in_precision(loaded, precision)
        written, seconds = timed(lambda s=subject: continue_prompts(s, prompts, config, 0))
        if precision == "float32":
            exact = written
            note = f"{_identical(written, alone):.0%} of continuations as one at a time"
        else:
            note = _agreement(written, exact)
        share, parts = shares(subject, prompts, config, written, seconds, settings)
        figure = Figure(
            stage="generate",
            what=f"greedy, {precision}, batch {config.batch_size}",
            baseline_name=_ALONE,
            unit="tokens/s",
            speed=sum(map(len, written)) / seconds,
            baseline=one_by_one,
            wanted=20.0,
            peak_share=share,
            note=f"{parts}; {note}",
        )
        figures.append(figure)
        if precision == "float32":
            figures.append(
                replace(
                    figure,
                    baseline_name=f"left-padded generate, float32, best batch ({size})",
                    baseline=batched,
                    wanted=2.0,
                    note="",
                )
            )
    nucleus = config.model_copy(update={"decoding": "nucleus"})
    written, seconds = timed(lambda: continue_prompts(loaded, prompts, nucleus, 0))
    return [
        *figures,
        Figure(
            stage="generate",
            what=f"nucleus, float32, batch {config.batch_size}",
            baseline_name=_ALONE,
            unit="tokens/s",
            speed=sum(map(len, written)) / seconds,
            baseline=one_by_one,
        ),
    ]


def _best_batch(
    loaded: LoadedModel, prompts: list[list[int]], tokens: int, quick: bool
) -> tuple[int, float]:
    """Batch size at which transformers' generate is fastest, and its tokens per second."""

    def speed(size: int, length: int) -> float:
        written, seconds = timed(
            lambda: baselines.generate_in_batches(
                loaded.model, prompts[:size], length, loaded.tokenizer.eos_token_id, size
            )
        )
        return sum(map(len, written)) / seconds

    # Which is best shows in a quarter of the tokens.
    best = 32 if quick else max((16, 64), key=lambda size: speed(size, tokens // 4))
    return best, speed(best, tokens)


def shares(
    loaded: LoadedModel,
    prompts: list[list[int]],
    config: GenerationConfig,
    written: Sequence[np.ndarray],
    seconds: float,
    settings: BenchSettings,
) -> tuple[float, str]:
    """Share of the machine's peak: of all, and of reading the prompts and writing apart."""
    first = config.model_copy(update={"new_tokens": 1})
    _, reading = timed(lambda: continue_prompts(loaded, prompts, first, 0))
    read = operations.reading(loaded.model, [len(p) for p in prompts], judged=False)
    write = sum(
        operations.writing(loaded.model, len(prompt), len(tokens) - 1)
        for prompt, tokens in zip(prompts, written, strict=True)
    )
    limit = peak(loaded.device.precision, settings.threads)
    parts = (
        f"of peak: prefill {read / reading / limit:.0%}, "
        f"decoding {write / max(seconds - reading, 1e-9) / limit:.0%}"
    )
    return (read + write) / seconds / limit, parts


def _identical(written: Sequence[Any], expected: Sequence[Any]) -> float:
    pairs = zip(written, expected, strict=False)  # the baseline may have done fewer
    return float(np.mean([list(one) == list(other) for one, other in pairs]))


def _agreement(written: Sequence[np.ndarray], exact: Sequence[np.ndarray]) -> str:
    """How far bfloat16 writes what float32 does: until they differ they read the same text."""
    same = differ = 0
    for one, other in zip(written, exact, strict=True):
        length = min(len(one), len(other))
        different = np.flatnonzero(one[:length] != other[:length])
        same += int(different[0]) if len(different) else length
        differ += bool(len(different))
    return (
        f"{_identical(written, exact):.0%} of continuations as in float32, "
        f"{same / (same + differ):.1%} of tokens after the same text"
    )
