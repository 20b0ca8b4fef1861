"""Load a causal language model, or build one from scratch."""

from biasloop.models.adapters import merge
from biasloop.models.batches import batches, few_lengths, read_at_once
from biasloop.models.fast.linear import prepacked, trained_by_onednn
from biasloop.models.load import (
    LoadedModel,
    build_scratch_model,
    checkpoint_of,
    load_model,
    refuse_tokens,
    resolve_model,
    save_model,
    text_config,
    train_tokenizer,
    without_adapter,
)
from biasloop.models.tokens import (
    Chat,
    as_text,
    beginning,
    begun,
    chat_of,
    padded,
    require_template,
    said,
    tokenized,
)

__all__ = [
    "Chat",
    "LoadedModel",
    "as_text",
    "batches",
    "beginning",
    "begun",
    "build_scratch_model",
    "chat_of",
    "checkpoint_of",
    "few_lengths",
    "load_model",
    "merge",
    "padded",
    "prepacked",
    "read_at_once",
    "refuse_tokens",
    "require_template",
    "resolve_model",
    "said",
    "save_model",
    "text_config",
    "tokenized",
    "train_tokenizer",
    "trained_by_onednn",
    "without_adapter",
]
