"""Runs whose truth is known, and whether the instrument finds it. See docs/controls.md."""

from biasloop.controls.judge import Check, Judged, judge
from biasloop.controls.paths import forecast_path, measured_path
from biasloop.controls.validate import CONTROLS, Row, Validation, validate

__all__ = [
    "CONTROLS",
    "Check",
    "Judged",
    "Row",
    "Validation",
    "forecast_path",
    "judge",
    "measured_path",
    "validate",
]
