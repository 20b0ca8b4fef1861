"""What a simulation leaves behind: rows to print, and files in a folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from biasloop.errors import InputError
from biasloop.files import write_bytes, write_json
from biasloop.theory.chain import Chain
from biasloop.theory.measures import measure, summarise, verdict
from biasloop.theory.settings import command


def report(chain: Chain) -> dict[str, Any]:
    """Return what ``--json`` prints: ``{"generations": [...]}``; see `measures.summarise`."""
    return {"generations": summarise(chain)}


def describe(chain: Chain) -> dict[str, Any]:
    """Return what ``summary.json`` holds: `report`, the settings, the command and the verdict."""
    given = chain.settings
    return report(chain) | {
        "command": command(given),
        "settings": {
            "estimator": given.estimator,
            "family": given.family.name,
            "pretrained": list(given.pretrained) if given.estimator == "wmle" else None,
            "real": list(given.real),
            "generations": given.generations,
            "samples": given.samples,
            "replicates": given.replicates,
            "regime": given.regime,
            "real_fraction": given.real_fraction,
            "real_weight": given.real_weight,
            "seed": given.seed,
            "pretrained_samples": given.pretrained_samples,
        },
        "verdict": asdict(verdict(chain)) | {"case": verdict(chain).case},
    }


def save(chain: Chain, folder: Path) -> list[Path]:
    """Write ``density.png``, ``overlay.png``, ``path.png``, ``paths.parquet``, ``summary.json``.

    Each file appears whole or not at all; existing ones are replaced. ``paths.parquet`` has one
    row per generation and replicate with every quantity of `measures.measure`. The summary is
    written last, so where it is, everything is.

    Raises
    ------
    InputError
        If the folder cannot be written to.
    """
    import polars as pl

    from biasloop.tables import write_table
    from biasloop.theory.figures import density_png, overlay_png, path_png

    measured = measure(chain)
    generations, replicates = chain.parameters.shape[:2]
    table = pl.DataFrame(
        {
            "generation": np.repeat(np.arange(generations), replicates),
            "replicate": np.tile(np.arange(replicates), generations),
        }
        | {name: values.ravel() for name, values in measured.items()}
    )
    names = ("density.png", "overlay.png", "path.png", "paths.parquet", "summary.json")
    paths = [folder / name for name in names]
    try:
        write_bytes(paths[0], density_png(chain))
        write_bytes(paths[1], overlay_png(chain))
        write_bytes(paths[2], path_png(chain))
        write_table(paths[3], table)
        write_json(paths[4], describe(chain))
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written to: {error}") from error
    return paths
