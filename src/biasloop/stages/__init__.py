"""Fine-tune, generate, project an update: each a pure function of its inputs and a seed."""

from biasloop.stages.finetune import finetune, samples_of, training_samples
from biasloop.stages.fsdp import finetune_sharded, processes_for
from biasloop.stages.generate import (
    article_prompts,
    articles_of,
    blocks_of,
    chat_for,
    check_prompts,
    generate_articles,
    generate_blocks,
    openings_of,
    prompted_by,
    repeated,
    split_blocks,
    writer_of,
)
from biasloop.stages.pretrain import pretrain
from biasloop.stages.train import TrainingLog, collate, train
from biasloop.stages.update import UPDATE, log_odds, project_on_contrast, project_on_gradient
from biasloop.stages.vllm_engine import continue_with_vllm

__all__ = [
    "UPDATE",
    "TrainingLog",
    "article_prompts",
    "articles_of",
    "blocks_of",
    "chat_for",
    "check_prompts",
    "collate",
    "continue_with_vllm",
    "finetune",
    "finetune_sharded",
    "generate_articles",
    "generate_blocks",
    "log_odds",
    "openings_of",
    "pretrain",
    "processes_for",
    "project_on_contrast",
    "project_on_gradient",
    "prompted_by",
    "repeated",
    "samples_of",
    "split_blocks",
    "train",
    "training_samples",
    "writer_of",
]
