"""Reading by people (content analysis): sheets, coders' agreement, shares that labels correct."""

from biasloop.coding.label_findings import (
    CHANGES,
    SHARES,
    AgainstClassifier,
    LabelFindings,
    Reliability,
    between_coders,
    findings,
)
from biasloop.coding.prediction_powered import (
    LEAST_LABELS,
    CodedSet,
    ShareEstimates,
    corrected_mean,
    estimates,
    inferences,
)
from biasloop.coding.sheets import (
    CODES,
    KEY,
    SHEETS,
    UNCLEAR,
    Drawn,
    Key,
    draw,
    find_sheets,
    read_codes,
    read_key,
    write_sheets,
)

__all__ = [
    "CHANGES",
    "CODES",
    "KEY",
    "LEAST_LABELS",
    "SHARES",
    "SHEETS",
    "UNCLEAR",
    "AgainstClassifier",
    "CodedSet",
    "Drawn",
    "Key",
    "LabelFindings",
    "Reliability",
    "ShareEstimates",
    "between_coders",
    "corrected_mean",
    "draw",
    "estimates",
    "find_sheets",
    "findings",
    "inferences",
    "read_codes",
    "read_key",
    "write_sheets",
]
