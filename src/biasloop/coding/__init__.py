"""Reading by people (content analysis): sheets, coders' agreement, shares that labels correct."""

from biasloop.coding.agreement import AgainstClassifier, Agreement, between_coders
from biasloop.coding.codes import CODES, Key, find_sheets, read_codes, read_key
from biasloop.coding.draw import UNCLEAR, Drawn, draw
from biasloop.coding.findings import CHANGES, SHARES, LabelFindings, findings
from biasloop.coding.prediction_powered import (
    LEAST_LABELS,
    CodedSet,
    Figures,
    change,
    corrected_mean,
    inferences,
    shares,
)
from biasloop.coding.sheet import KEY, SHEETS, write_sheets

__all__ = [
    "CHANGES",
    "CODES",
    "KEY",
    "LEAST_LABELS",
    "SHARES",
    "SHEETS",
    "UNCLEAR",
    "AgainstClassifier",
    "Agreement",
    "CodedSet",
    "Drawn",
    "Figures",
    "Key",
    "LabelFindings",
    "between_coders",
    "change",
    "corrected_mean",
    "draw",
    "find_sheets",
    "findings",
    "inferences",
    "read_codes",
    "read_key",
    "shares",
    "write_sheets",
]
