"""Which neurons go with a metric, which with another, and how far the two sets meet."""

from biasloop.neurons.associate import ASSOCIATIONS, associate, full_quantity, versions
from biasloop.neurons.corrections import (
    LEVEL,
    Counts,
    Overlap,
    benjamini_hochberg,
    bonferroni,
    count_significant,
    overlap,
)
from biasloop.neurons.figures import correlations_png, counts_png, layer_counts
from biasloop.neurons.methods import METHODS, Method
from biasloop.neurons.outcomes import model_scores
from biasloop.neurons.permutation import permute_chains
from biasloop.neurons.regression import Regression, hac_regression

__all__ = [
    "ASSOCIATIONS",
    "LEVEL",
    "METHODS",
    "Counts",
    "Method",
    "Overlap",
    "Regression",
    "associate",
    "benjamini_hochberg",
    "bonferroni",
    "correlations_png",
    "count_significant",
    "counts_png",
    "full_quantity",
    "hac_regression",
    "layer_counts",
    "model_scores",
    "overlap",
    "permute_chains",
    "versions",
]
