"""An instrument on disk: named arrays as safetensors, everything else as JSON. Never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from biasloop.errors import StoreError
from biasloop.files import canonical_json, write_bytes, write_text

_ARRAYS = "arrays.safetensors"
_META = "instrument.json"


def save_instrument(
    folder: Path, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write an instrument; equal content gives equal bytes."""
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    write_bytes(folder / _ARRAYS, save(contiguous))
    write_text(folder / _META, canonical_json(dict(meta)) + "\n")


def load_instrument(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read an instrument back.

    Raises
    ------
    StoreError
        If a file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        arrays = load((folder / _ARRAYS).read_bytes())
    except (OSError, ValueError, SafetensorError) as error:
        raise StoreError(
            f"{folder}: the instrument cannot be read ({error}); remove this folder and run "
            "again to fit it anew"
        ) from error
    return meta, arrays
