"""Where biasloop keeps what can be fetched or computed again. Knows no asset and no network."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder of biasloop's cache; it need not exist yet.

    Returns
    -------
    Path
        ``$BIASLOOP_CACHE`` where that is set, else ``biasloop`` under ``$XDG_CACHE_HOME``, else
        ``~/.cache/biasloop``. Always absolute. As the XDG base directory specification asks, a
        relative ``$XDG_CACHE_HOME`` is passed over.
    """
    own = os.environ.get("BIASLOOP_CACHE", "").strip()
    if own:
        return Path(own).expanduser().absolute()
    shared = Path(os.environ.get("XDG_CACHE_HOME", "").strip())
    parent = shared if shared.is_absolute() else Path.home() / ".cache"
    return parent / "biasloop"
