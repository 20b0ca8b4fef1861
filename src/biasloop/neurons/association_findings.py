"""What was found of a run's neurons, kept in the run folder: associations, then a causal check."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from biasloop.analysis import tables_of, validity
from biasloop.errors import InputError, StoreError
from biasloop.files import write_bytes, write_json
from biasloop.loop import Results
from biasloop.neurons.ablation import Ablation, ablation_of
from biasloop.neurons.associate import (
    DEFAULT_METHOD,
    FEW_VERSIONS,
    LEVEL,
    Counts,
    Overlap,
    associate,
    count_significant,
    full_quantity,
    model_scores,
    overlap,
    versions,
)
from biasloop.neurons.association_figures import ablation_png, correlations_png, counts_png
from biasloop.neurons.methods import method as check_method
from biasloop.tables import ASSOCIATIONS, CHAIN, read_table, write_table

ASSOCIATIONS_FILE = "associations.parquet"
_SUMMARY_FILE = "associations.json"
_ABLATION_FILE = "ablation.json"
#: What `_SUMMARY_FILE` holds: everything of `AssociationFindings` but the table.
_SUMMARY = ("metrics", "method", "versions", "left_out", "let_in", "models")
_KEY = list(CHAIN)


@dataclass(frozen=True)
class AssociationFindings:
    """Associations of the neurons of one site and quantity.

    Attributes
    ----------
    associations
        `associate.ASSOCIATIONS`, of one metric or several.
    metrics
        Their names, in the order asked for.
    method
        One of `METHODS`.
    versions
        How many model versions there were.
    left_out
        Metric -> versions left out because their leaning figures are withheld.
    let_in
        The same where they were asked to count all the same.
    models
        The keys of the stages that made these models; empty where a file does not say.
    """

    associations: pl.DataFrame
    metrics: tuple[str, ...]
    method: str
    versions: int
    left_out: dict[str, int]
    let_in: dict[str, int] = field(default_factory=dict)
    models: tuple[str, ...] = ()

    def few(self) -> dict[str, int]:
        """Give the metrics whose p-values rest on few versions, with how many those are."""
        counted = {name: self.versions - self.left_out.get(name, 0) for name in self.metrics}
        return {name: versions for name, versions in counted.items() if versions < FEW_VERSIONS}

    def counts(self) -> dict[str, Counts]:
        """Count significant neurons, by metric."""
        return {name: count_significant(self._pvalues(name)) for name in self.metrics}

    def overlap(self) -> Overlap | None:
        """Hold the first two metrics' neurons against each other, of those tested for both.

        None for one metric.
        """
        if len(self.metrics) < 2:
            return None
        first, second = (self._pvalues(name) for name in self.metrics[:2])
        both = ~np.isnan(first) & ~np.isnan(second)
        return overlap(first[both] < LEVEL, second[both] < LEVEL)

    def _pvalues(self, metric: str) -> np.ndarray:
        return self.associations.filter(pl.col("metric") == metric)["pvalue"].to_numpy()


def find(
    runs: Sequence[Results],
    metrics: Sequence[str],
    quantity: str = "weight",
    site: str = "mlp_out",
    method: str = DEFAULT_METHOD,
    include_withheld: bool = False,
) -> AssociationFindings:
    """Associate the neurons of one run, or of several of one base model, with metrics.

    Parameters
    ----------
    runs
        The runs; the regimes of several are told apart by the run's place.
    metrics
        See `model_scores`.
    quantity, site, method
        See `associate`; ``weight`` and ``activation`` are their means.
    include_withheld
        Let versions count whose leaning figures are withheld, in ``leaning:`` metrics.

    Raises
    ------
    InputError
        See `associate` and `model_scores`.
    """
    check_method(method)
    neurons = _together(runs, [run.neurons for run in runs])
    have = versions(neurons, site, full_quantity(quantity)).keys
    sources = [
        _together(runs, [getattr(run, name) for run in runs])
        for name in ("scores", "leaning_scores", "set_scores")
    ]
    checked = _together(runs, [validity(tables_of(run)) for run in runs])
    withheld = checked.filter(pl.col("withheld") & (pl.col("generation") >= 0)).select(_KEY)
    names = tuple(dict.fromkeys(metrics))
    left_out, let_in, parts = {}, {}, []
    for name in names:
        scores = model_scores(*sources, name)
        if name.startswith("leaning:") and withheld.height:
            counted = let_in if include_withheld else left_out
            counted[name] = have.join(withheld, on=_KEY, how="semi").height
            if not include_withheld:
                scores = scores.join(withheld, on=_KEY, how="anti")
        try:
            found = associate(neurons, scores, name, full_quantity(quantity), site, method)
        except InputError as error:
            if not left_out.get(name):
                raise
            raise InputError(
                f"{error} ({left_out[name]} of {have.height} versions are left out, because their "
                "leaning figures are withheld; --include-withheld lets them in)"
            ) from error
        parts.append(found)
    made = pl.concat([run.stages.filter(kind="finetune")["key"] for run in runs])
    return AssociationFindings(
        pl.concat(parts), names, method, have.height, left_out, let_in, tuple(made.unique().sort())
    )


def _together(runs: Sequence[Results], tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put a table of several runs together."""
    if len(runs) == 1:
        return tables[0]
    return pl.concat(
        table.with_columns(pl.concat_str(pl.lit(f"{place}: "), pl.col("regime")).alias("regime"))
        for place, table in enumerate(tables, start=1)
    )


def write_findings(folder: Path, findings: AssociationFindings) -> None:
    """Write the associations, what they rest on, and pictures of them."""
    _refuse_file(folder)
    write_table(folder / ASSOCIATIONS_FILE, findings.associations)
    write_bytes(folder / "counts.png", counts_png(findings.associations))
    write_bytes(folder / "correlations.png", correlations_png(findings.associations))
    write_json(
        folder / _SUMMARY_FILE,
        {name: getattr(findings, name) for name in _SUMMARY},
    )


def read_findings(folder: Path) -> AssociationFindings | None:
    """Read what `write_findings` wrote; None where there is nothing.

    Raises
    ------
    StoreError
        If a file is missing, damaged or of another version.
    """
    if not (folder / _SUMMARY_FILE).is_file():
        return None
    summary = _read_json(folder / _SUMMARY_FILE)
    if not isinstance(summary, dict) or {*summary, "models"} != {*_SUMMARY}:
        raise StoreError(
            f"{folder / _SUMMARY_FILE}: damaged, or of another version of biasloop; run "
            "'biasloop neurons' again"
        )
    own: dict[str, Any] = summary | {
        name: tuple(summary.get(name, ())) for name in ("metrics", "models")
    }
    return AssociationFindings(read_table(folder / ASSOCIATIONS_FILE, ASSOCIATIONS), **own)


def refuse_own_models(file: Path, models: Mapping[str, str]) -> None:
    """Refuse to judge an edit by the models that its neurons were found in.

    Parameters
    ----------
    file
        A table of associations that `write_findings` wrote.
    models
        The key of each stage that makes a model to judge by -> the stage's name.

    Raises
    ------
    InputError
        If they have one in common, or it is not known which models the neurons were found in.
    """
    found = read_findings(file.parent) if file.name == ASSOCIATIONS_FILE else None
    if found is None or not found.models:
        raise InputError(
            f"{file}: {_SUMMARY_FILE}, which says in which models these neurons were found, is not "
            "beside it or does not say it: let 'biasloop neurons RUN' write both anew"
        )
    if both := sorted(models[key] for key in models.keys() & set(found.models)):
        raise InputError(
            f"{file}: these neurons were found in models that the edit would be judged by, such as "
            f"that of '{both[0]}': find them in chains of other seeds, or judge by others with "
            "--set loop.seeds=[...]"
        )


def write_ablation(folder: Path, ablation: Ablation) -> None:
    """Write a causal check and its picture."""
    _refuse_file(folder)
    write_bytes(folder / "ablation.png", ablation_png(ablation))
    write_json(folder / _ABLATION_FILE, ablation.as_dict())


def read_ablation(folder: Path) -> Ablation | None:
    """Read what `write_ablation` wrote; None where there is nothing.

    Raises
    ------
    StoreError
        If the file is damaged.
    """
    path = folder / _ABLATION_FILE
    if not path.is_file():
        return None
    stored = _read_json(path)
    try:
        return ablation_of(stored)
    except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise StoreError(
            f"{path}: damaged, or of another version of biasloop; run 'biasloop ablate' again"
        ) from error


def _refuse_file(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; --out takes a folder")


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read: {error}") from error
