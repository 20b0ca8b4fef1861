"""Released results of the authors' experiment, or of others in its formats, analysed as a run."""

from biasloop.published.experiment import Experiment, read_published
from biasloop.published.neuron_tables import NeuronFindings
from biasloop.published.paper import REFERENCES, Reference
from biasloop.published.reproduction import RECOMPUTED, Reproduction, reproduce, series
from biasloop.published.write import lines, write_reproduction

__all__ = [
    "RECOMPUTED",
    "REFERENCES",
    "Experiment",
    "NeuronFindings",
    "Reference",
    "Reproduction",
    "lines",
    "read_published",
    "reproduce",
    "series",
    "write_reproduction",
]
