"""Measure, explain and mitigate bias amplification, apart from model collapse.

>>> import biasloop as bl
>>> run = bl.run("demo")  # doctest: +SKIP
>>> run.scores()  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from biasloop.api import (
        Run,
        audit_set,
        config_schema,
        download,
        load_run,
        read_labels,
        run,
        score,
        write_label_sheets,
    )
    from biasloop.config import Config, load_config
    from biasloop.errors import BiasloopError, InputError, StoreError

_HOMES = {
    "Run": "api",
    "audit_set": "api",
    "config_schema": "api",
    "download": "api",
    "load_run": "api",
    "read_labels": "api",
    "run": "api",
    "score": "api",
    "write_label_sheets": "api",
    "Config": "config",
    "load_config": "config",
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
    "audit_set",
    "config_schema",
    "download",
    "load_config",
    "load_run",
    "read_labels",
    "run",
    "score",
    "write_label_sheets",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is public
    # Loaded at first use: `biasloop --help` must not wait for torch.
    if name in _HOMES:
        return getattr(importlib.import_module(f"biasloop.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'biasloop' has no attribute '{name}'")
