"""Load a causal language model, or build one from scratch. Knows nothing of bias or generations."""

from biasloop.models.batches import READ_AT_ONCE, batches
from biasloop.models.load import LoadedModel, load_model, resolve_model, save_model
from biasloop.models.packing import fused_activations, packed
from biasloop.models.scratch import build_scratch_model, train_tokenizer

__all__ = [
    "READ_AT_ONCE",
    "LoadedModel",
    "batches",
    "build_scratch_model",
    "fused_activations",
    "load_model",
    "packed",
    "resolve_model",
    "save_model",
    "train_tokenizer",
]
