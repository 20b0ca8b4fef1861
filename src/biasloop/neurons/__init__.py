"""Which neurons go with a metric, which with another, and how far the two sets meet."""

from biasloop.models.edit import (
    MeanAblation,
    Restoration,
    of_same_layers,
    read_associations,
    strongest,
)
from biasloop.neurons.ablation import DRAWS, EFFECTS, Ablation, permutation_pvalue
from biasloop.neurons.associate import associate, full_quantity, versions
from biasloop.neurons.causal import INTERVENTIONS, LEAST_DRAWS, ablate, export, place_of
from biasloop.neurons.corrections import (
    LEVEL,
    Counts,
    Overlap,
    benjamini_hochberg,
    bonferroni,
    count_significant,
    overlap,
)
from biasloop.neurons.figures import ablation_png, correlations_png, counts_png, layer_counts
from biasloop.neurons.findings import (
    ASSOCIATIONS_FILE,
    Findings,
    find,
    read_ablation,
    read_findings,
    write_ablation,
    write_findings,
)
from biasloop.neurons.methods import METHODS, Method, method
from biasloop.neurons.outcomes import model_scores
from biasloop.neurons.permutation import permute_chains
from biasloop.neurons.regression import Regression, hac_regression
from biasloop.tables import ASSOCIATIONS

__all__ = [
    "ASSOCIATIONS",
    "ASSOCIATIONS_FILE",
    "DRAWS",
    "EFFECTS",
    "INTERVENTIONS",
    "LEAST_DRAWS",
    "LEVEL",
    "METHODS",
    "Ablation",
    "Counts",
    "Findings",
    "MeanAblation",
    "Method",
    "Overlap",
    "Regression",
    "Restoration",
    "ablate",
    "ablation_png",
    "associate",
    "benjamini_hochberg",
    "bonferroni",
    "correlations_png",
    "count_significant",
    "counts_png",
    "export",
    "find",
    "full_quantity",
    "hac_regression",
    "layer_counts",
    "method",
    "model_scores",
    "of_same_layers",
    "overlap",
    "permutation_pvalue",
    "permute_chains",
    "place_of",
    "read_ablation",
    "read_associations",
    "read_findings",
    "strongest",
    "versions",
    "write_ablation",
    "write_findings",
]
