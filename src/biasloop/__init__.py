"""Measure, explain and mitigate bias amplification, apart from model collapse.

>>> import biasloop as bl
>>> run = bl.run("demo")  # doctest: +SKIP
>>> run.scores  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from biasloop.version import __version__ as __version__

if TYPE_CHECKING:
    from biasloop.api import *
    from biasloop.config import Config, load_config
    from biasloop.controls import validate
    from biasloop.errors import BiasloopError, InputError, StoreError

_HOMES = {
    "Config": "config",
    "load_config": "config",
    "validate": "controls",
    "BiasloopError": "errors",
    "InputError": "errors",
    "StoreError": "errors",
}

__all__ = [
    "BiasloopError",
    "Config",
    "InputError",
    "Run",
    "StoreError",
    "ablate",
    "audit_set",
    "clean",
    "compare",
    "config_schema",
    "download",
    "export_model",
    "find_dose",
    "find_neurons",
    "intervene",
    "load_config",
    "load_run",
    "power",
    "push",
    "read_labels",
    "reproduce",
    "run",
    "score",
    "simulate",
    "validate",
    "verify",
    "write_label_sheets",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is public
    # Loaded at first use: `biasloop --help` must not wait for torch.
    if name in __all__:
        home = importlib.import_module(f"biasloop.{_HOMES.get(name, 'api')}")
        return getattr(home, name)
    raise AttributeError(f"module 'biasloop' has no attribute '{name}'")
