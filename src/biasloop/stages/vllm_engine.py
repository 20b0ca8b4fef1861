"""Continue prompts with vLLM, where it is installed. Knows a model's folder and token ids.

vLLM schedules requests as memory allows, so which ones share a batch differs from run to run and
with it the last bits of a logit: on equal hardware the texts are nearly, not surely, the same.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from biasloop.config import GenerationConfig
from biasloop.errors import InputError
from biasloop.models.load import LoadedModel
from biasloop.seeds import integer

#: Prompts given to vLLM in one call: enough to fill a GPU, few enough to tell of progress.
_AT_ONCE = 4096


def continue_with_vllm(folder: Path) -> Callable[..., list[list[int]]]:
    """Return what continues prompts with the model in a folder; see `generate.continue_prompts`."""
    try:
        vllm = importlib.import_module("vllm")
    except ImportError as error:
        raise InputError(
            "generation.engine: vllm needs vLLM, which is not installed: pip install "
            "'biasloop[vllm]', or take generation.engine: transformers"
        ) from error

    def continue_prompts(
        loaded: LoadedModel,
        prompts: Sequence[Sequence[int]],
        config: GenerationConfig,
        seed: int,
        on_progress: Callable[[int], None] | None = None,
        names: Sequence[tuple[str | int, ...]] | None = None,
    ) -> list[list[int]]:
        import torch

        longest = len(loaded.card.begins) + config.prompt_tokens
        longest = max(longest, *map(len, prompts))  # a whole title may be longer than a block
        engine = vllm.LLM(
            model=str(folder),
            dtype=loaded.device.precision,
            max_model_len=longest + config.new_tokens,
            tensor_parallel_size=max(1, torch.cuda.device_count()),
            seed=seed,
            trust_remote_code=False,
            load_format="safetensors",
            # Hardly one article begins as another does; samples from one opening do.
            enable_prefix_caching=config.samples_per_prompt > 1,
            disable_log_stats=True,
        )
        ends = loaded.ends
        continuations: list[list[int]] = []
        streams = names or [(place,) for place in range(len(prompts))]
        try:
            for start in range(0, len(prompts), _AT_ONCE):
                chosen = prompts[start : start + _AT_ONCE]
                outputs = engine.generate(
                    [{"prompt_token_ids": [int(token) for token in ids]} for ids in chosen],
                    [
                        vllm.SamplingParams(**_sampling(config, seed, name, ends))
                        for name in streams[start : start + _AT_ONCE]
                    ],
                    use_tqdm=False,
                )
                written = [_tokens(output.outputs[0], ends) for output in outputs]
                continuations += written
                if on_progress:
                    on_progress(sum(map(len, written)))
        finally:
            del engine
            _free()
        return continuations

    return continue_prompts


def _sampling(
    config: GenerationConfig, seed: int, name: tuple[str | int, ...], ends: Sequence[int]
) -> dict[str, Any]:
    """Say to vLLM what `GenerationConfig` says; every prompt has a stream of its own."""
    common = {"max_tokens": config.new_tokens, "stop_token_ids": list(ends), "detokenize": False}
    if config.decoding == "greedy":
        return {**common, "temperature": 0.0}
    return {
        **common,
        "temperature": config.temperature,
        "top_p": config.top_p,
        **({"min_p": config.min_p} if config.min_p else {}),
        "seed": integer(seed, "vllm", *name),
    }


def _tokens(output: Any, ends: Sequence[int]) -> list[int]:  # noqa: ANN401 - optional library
    """Take a continuation's tokens; one that the model ended has its end token, once."""
    tokens = list(output.token_ids)
    stop = next((place for place, token in enumerate(tokens) if token in ends), None)
    if stop is not None:
        return tokens[: stop + 1]
    return [*tokens, ends[0]] if output.finish_reason == "stop" else tokens


def _free() -> None:
    """Give the GPU's memory back, which vLLM takes nearly all of."""
    import torch

    gc.collect()
    importlib.import_module("vllm.distributed.parallel_state").cleanup_dist_env_and_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
