"""Fine-tune, generate, score: each a pure function of its inputs and a seed."""

from biasloop.stages.blocks import join_blocks, prompts_of, split_blocks
from biasloop.stages.finetune import finetune, samples_of
from biasloop.stages.generate import generate_articles
from biasloop.stages.pretrain import pretrain
from biasloop.stages.train import TrainingLog, collate, train

__all__ = [
    "TrainingLog",
    "collate",
    "finetune",
    "generate_articles",
    "join_blocks",
    "pretrain",
    "prompts_of",
    "samples_of",
    "split_blocks",
    "train",
]
