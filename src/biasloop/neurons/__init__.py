"""Which neurons go with a metric, which with another, and how far the two sets meet."""

from biasloop.models.edit import read_associations
from biasloop.neurons.ablation import Ablation, ablate, export, place_of
from biasloop.neurons.associate import (
    LEVEL,
    Counts,
    Overlap,
    benjamini_hochberg,
    count_significant,
    full_quantity,
    overlap,
)
from biasloop.neurons.association_figures import ablation_png, correlations_png, counts_png
from biasloop.neurons.association_findings import (
    ASSOCIATIONS_FILE,
    AssociationFindings,
    find,
    read_ablation,
    read_findings,
    refuse_own_models,
    write_ablation,
    write_findings,
)
from biasloop.neurons.methods import method
from biasloop.tables import ASSOCIATIONS
