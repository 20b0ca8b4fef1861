"""``summary.json``: what the report says, for programs. Strict JSON: no NaN, no infinity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from biasloop.analysis import Evidence, Verdict
from biasloop.report.findings import Findings

#: Significant digits of a number: more would be the noise of the order of summation.
_DIGITS = 10

_HEADLINES = ("n", "macro_f1", "accuracy", "log_loss", "brier", "expected_calibration_error")


def summary_json(found: Findings) -> dict[str, Any]:
    """Collect everything; see the report's own page for what the figures mean."""
    results = found.results
    answer = asdict(found.answer)
    if not found.axes:
        del answer["axes"]
    value = {
        "name": results.config.name,
        "labels": results.labels,
        "answer": answer,
        "leaning": found.leaning or None,
        "verdicts": [verdict_json(verdict) for verdict in found.verdicts],
        "summary": found.summary.to_dicts(),
        "tests": _tests(found.evidence),
        "neurons": found.neurons and found.neurons.machine,
        "updates": found.updates.to_dicts(),
        "selections": found.selections.to_dicts(),
        "detectors": results.detectors.to_dicts(),
        "validity": found.checked.to_dicts(),
        "missing": found.missing.to_dicts(),
        "warnings": [asdict(caution) for caution in found.warnings],
        "instruments": [_headline(card) for card in results.cards],
        "corpus": results.corpus,
        "bad_rows": results.bad_rows.height,
        "provenance": results.provenance,
        "config": results.config.model_dump(mode="json"),
        "stages": stage_totals(results.stages),
        "figures": sorted(f"{chart.stem}.png" for chart in found.figures.all()),
    }
    if found.axes:
        value["axes"] = {
            axis.name: {
                "labels": axis.results.labels,
                "leaning": axis.leaning,
                "verdicts": [verdict_json(verdict) for verdict in axis.verdicts],
                "summary": axis.summary.to_dicts(),
                "instruments": [_headline(card) for card in axis.results.cards],
                "unmentioned": axis.unmentioned,
            }
            for axis in found.axes
        }
    return strict(value)


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Give a verdict with the answers that follow from its fields."""
    answers = {"amplified": verdict.amplified, "withheld": verdict.withheld}
    return {**asdict(verdict), **answers}


def _tests(evidence: Evidence) -> dict[str, Any]:
    confusion = evidence.confusion
    return {
        "trends": evidence.trends.to_dicts(),
        "contrasts": evidence.contrasts.to_dicts(),
        "comparisons": evidence.comparisons.to_dicts(),
        "adjusted": evidence.adjusted.to_dicts(),
        "classifier_shifts": evidence.shifts.to_dicts(),
        "correlations": evidence.correlations.to_dicts(),
        "confusion": None
        if confusion is None
        else {
            "counts": confusion.counts.tolist(),
            "part": confusion.part,
            "problem": confusion.problem,
        },
    }


def stage_totals(stages: pl.DataFrame) -> list[dict[str, Any]]:
    """Sum the wall time by kind of stage, longest first: ``kind, stages, seconds``."""
    if not stages.height:
        return []
    totals = stages.group_by("kind").agg(
        pl.len().cast(pl.Int64).alias("stages"), pl.col("seconds").sum()
    )
    return totals.sort(["seconds", "kind"], descending=[True, False]).to_dicts()


def strict(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Make a value fit for strict JSON: numbers rounded, NaN and infinity null, tuples lists."""
    if isinstance(value, float):
        rounded = float(f"{value:.{_DIGITS}g}")
        return rounded if math.isfinite(rounded) else None
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def _headline(card: Mapping[str, Any]) -> dict[str, Any]:
    held_out = card.get("held_out") or {}
    return {
        "metric": card["metric"],
        "instrument": card.get("instrument"),
        "trained_on": card.get("trained_on"),
        "warnings": card.get("warnings", []),
        "held_out": {
            part: {key: found.get(key) for key in _HEADLINES} if found else None
            for part, found in held_out.items()
        },
    }
