"""Which neurons go with a metric, which with another, and whether they cause it."""

from biasloop.neurons.corrections import (
    Counts,
    Overlap,
    benjamini_hochberg,
    bonferroni,
    count_significant,
    overlap,
)
from biasloop.neurons.permutation import permute_chains
from biasloop.neurons.regression import Regression, hac_regression

__all__ = [
    "Counts",
    "Overlap",
    "Regression",
    "benjamini_hochberg",
    "bonferroni",
    "count_significant",
    "hac_regression",
    "overlap",
    "permute_chains",
]
