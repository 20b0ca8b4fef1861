"""Runs whose truth is known, and whether the instrument finds it. See docs/controls.md."""

from biasloop.controls.validate import (
    CONTROLS,
    Check,
    Judged,
    Row,
    Validation,
    forecast_path,
    judge,
    measured_path,
    validate,
)

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
