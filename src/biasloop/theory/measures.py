"""Bias and collapse of a simulated chain, kept apart, and the files of a simulation."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from biasloop.errors import InputError
from biasloop.files import write_bytes, write_json
from biasloop.theory.chain import Chain
from biasloop.theory.family import Floats
from biasloop.theory.settings import command

#: A mean shift of more than this many real standard deviations is a bias.
BIAS_THRESHOLD = 0.1
#: Less than this share of the real variance is a collapse.
COLLAPSE_THRESHOLD = 0.5
#: The interval over replicates, as quantiles.
INTERVAL = (0.025, 0.975)


@dataclass(frozen=True)
class ChainVerdict:
    """What the last generation shows, by the medians over replicates.

    Attributes
    ----------
    biased
        ``|bias|`` above `BIAS_THRESHOLD` real standard deviations.
    amplified
        Biased, and by more than the same margin further from the real mean than Generation 0.
    collapsed
        Variance below `COLLAPSE_THRESHOLD` of the real one.
    """

    biased: bool
    amplified: bool
    collapsed: bool

    @property
    def case(self) -> str:
        """One of the four cases, in words."""
        return {
            (True, True): "bias and collapse",
            (True, False): "bias without collapse",
            (False, True): "collapse without bias",
            (False, False): "neither bias nor collapse",
        }[self.biased, self.collapsed]


def measure(chain: Chain) -> dict[str, Floats]:
    """Every quantity of every generation and replicate.

    Returns
    -------
    dict
        Each ``(generations, replicates)``: the family's parameters by name, then ``mean``,
        ``variance``, ``mode`` (NaN where there is not one), ``bias`` (mean minus the real mean),
        and, for collapse, ``entropy`` (nats) and ``tail``. Tail is the mass outside the real
        central 90 % interval *moved so that it keeps its place about the model's mean*, over the
        10 % that real data have there, so that a mere shift loses nothing; for a Categorical it is
        the rarest leaning's share over the rarest one's in the real data.
    """
    given = chain.settings
    family, real = given.family, given.real_array()
    generations, replicates, width = chain.parameters.shape
    rows = chain.parameters.reshape(-1, width)
    mean = family.mean(rows)
    quantities = dict(zip(given.parameter_names, rows.T, strict=True)) | {
        "mean": mean,
        "variance": family.variance(rows),
        "mode": family.mode(rows),
        "bias": mean - family.mean(real[None, :])[0],
        "entropy": family.entropy(rows),
        "tail": family.tail(rows, real),
    }
    return {
        name: np.asarray(values).reshape(generations, replicates)
        for name, values in quantities.items()
    }


def summarise(chain: Chain) -> list[dict[str, Any]]:
    """One row per generation: medians over replicates, with 2.5 and 97.5 percentiles.

    Returns
    -------
    list of dict
        ``generation``, every quantity of `measure`, and with more than one replicate ``NAME_low``
        and ``NAME_high``; None where a quantity does not exist.
    """
    measured = measure(chain)
    rows = []
    for generation in range(chain.parameters.shape[0]):
        row: dict[str, Any] = {"generation": generation}
        for name, values in measured.items():
            here = values[generation]
            row[name] = _number(np.median(here))
            if here.size > 1:
                low, high = np.quantile(here, INTERVAL)
                row |= {f"{name}_low": _number(low), f"{name}_high": _number(high)}
        rows.append(row)
    return rows


def verdict(chain: Chain) -> ChainVerdict:
    """Say of a chain's last generation whether it is biased and whether it has collapsed."""
    family, real = chain.settings.family, chain.settings.real_array()[None, :]
    measured = measure(chain)
    bias = np.median(measured["bias"], axis=1)
    real_variance = family.variance(real)[0]
    margin = BIAS_THRESHOLD * np.sqrt(real_variance)
    biased = bool(abs(bias[-1]) > margin)
    # Bias that Generation 0 did not have, or had on the other side, counts from zero.
    grown = abs(bias[-1]) - max(0.0, bias[0] * np.sign(bias[-1]))
    return ChainVerdict(
        biased,
        biased and bool(grown > margin),
        bool(np.median(measured["variance"][-1]) < COLLAPSE_THRESHOLD * real_variance),
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def report(chain: Chain) -> dict[str, Any]:
    """Return what ``--json`` prints: ``{"generations": [...]}``; see `measures.summarise`."""
    return {"generations": summarise(chain)}


def describe(chain: Chain) -> dict[str, Any]:
    """Return what ``summary.json`` holds: `report`, the settings, the command and the verdict."""
    given = chain.settings
    own = {field.name: getattr(given, field.name) for field in fields(given)}
    base = given.pretrained if given.estimator == "wmle" else None
    return report(chain) | {
        "command": command(given),
        "settings": own | {"family": given.family.name, "pretrained": base},
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
    from biasloop.theory.chain_figures import density_png, overlay_png, path_png

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
