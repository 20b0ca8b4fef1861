"""Load a causal language model, or build one from scratch."""

from biasloop.models.adapters import merge
from biasloop.models.batches import batches, few_lengths, read_at_once, rows_at_once
from biasloop.models.chat import Chat, chat_of, require_template, said
from biasloop.models.checkpoint import Checkpoint, checkpoint_of, text_config
from biasloop.models.fast.linear import prepacked, trained_by_onednn
from biasloop.models.load import (
    LoadedModel,
    load_model,
    refuse_tokens,
    resolve_model,
    save_model,
    without_adapter,
)
from biasloop.models.scratch import build_scratch_model, train_tokenizer
from biasloop.models.tokens import as_text, beginning, begun, tokenized

__all__ = [
    "Chat",
    "Checkpoint",
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
    "prepacked",
    "read_at_once",
    "refuse_tokens",
    "require_template",
    "resolve_model",
    "rows_at_once",
    "said",
    "save_model",
    "text_config",
    "tokenized",
    "train_tokenizer",
    "trained_by_onednn",
    "without_adapter",
]
