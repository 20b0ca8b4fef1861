"""The Python API: each command of the command line is one call here.

What a run's folder holds is an attribute of `Run`; what is computed from it is a method, or a
function that takes it.
"""

from biasloop.api.hub import push
from biasloop.api.neurons import ablate, export_model, find_neurons, intervene
from biasloop.api.plans import power, reproduce, simulate
from biasloop.api.runs import Run, clean, compare, config_schema, find_dose, load_run, run, verify
from biasloop.api.text import audit_set, read_labels, score, write_label_sheets
from biasloop.assets import AssetInfo, download

__all__ = [
    "AssetInfo",
    "Run",
    "ablate",
    "audit_set",
    "clean",
    "compare",
    "config_schema",
    "download",
    "export_model",
    "find_dose",
    "find_neurons",
    "intervene",
    "load_run",
    "power",
    "push",
    "read_labels",
    "reproduce",
    "run",
    "score",
    "simulate",
    "verify",
    "write_label_sheets",
]
