"""What there is to run on, in words for a person."""

from __future__ import annotations

import platform
import socket
from importlib import metadata


def _hub() -> str:
    try:
        socket.create_connection(("huggingface.co", 443), timeout=3).close()
    except OSError as error:
        return f"out of reach ({error}); use assets, local folders or base.model: scratch"
    return "within reach"


def findings(hub: bool) -> list[tuple[str, str]]:
    """List what was found, as pairs of a subject and what holds of it."""
    import torch

    from biasloop import __version__
    from biasloop.assets import ASSETS, asset_path, cache_folder
    from biasloop.device import choose, cores, multiplies_bfloat16
    from biasloop.errors import InputError

    device = choose()
    native = multiplies_bfloat16(device.name)
    rows = [
        ("biasloop", __version__),
        ("python", f"{platform.python_version()} on {platform.platform()}"),
        ("torch", metadata.version("torch")),
        ("transformers", metadata.version("transformers")),
        ("cores", f"{cores()} (torch uses {torch.get_num_threads()} threads)"),
        ("device", f"{device.name}, precision {device.precision}"),
        (
            "GPUs",
            ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
            or "none",
        ),
        ("bfloat16", "yes" if native else "slow here: no native instructions"),
        ("cache", str(cache_folder())),
    ]
    for name in ASSETS:
        try:
            rows.append((f"asset {name}", str(asset_path(name))))
        except InputError:
            rows.append((f"asset {name}", f"not here: biasloop download {name}"))
    if hub:
        rows.append(("hub", _hub()))
    return rows
