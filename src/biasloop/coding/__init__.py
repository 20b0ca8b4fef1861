"""Reading by people (content analysis): sheets, coders' agreement, shares that labels correct."""

from biasloop.coding.label_findings import AgainstClassifier, LabelFindings, Reliability, findings
from biasloop.coding.sheets import Drawn, draw, find_sheets, read_codes, read_key, write_sheets
