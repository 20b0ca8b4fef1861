"""Generation engines: what writes with a model that it loads from its folder. Each is one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from biasloop.config import GenerationConfig
from biasloop.errors import registered
from biasloop.stages.generate import Writer
from biasloop.stages.vllm_engine import continue_with_vllm

#: By what ``generation.engine`` calls them, beside ``transformers``, whose model is in memory.
ENGINES: dict[str, Callable[[Path], Writer]] = {"vllm": continue_with_vllm}


def writer_of(config: GenerationConfig, folder: Path) -> Writer | None:
    """Return what continues prompts with the model in a folder; None for `continue_prompts`."""
    if config.engine == "transformers":
        return None
    return registered(ENGINES, config.engine, "ENGINES of stages/engines.py")(folder)
