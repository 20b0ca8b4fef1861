"""Fine-tune, generate, project an update: each a pure function of its inputs and a seed."""

from biasloop.stages.blocks import prompts_of, split_blocks
from biasloop.stages.finetune import finetune, samples_of
from biasloop.stages.generate import articles_of, generate_articles, generate_blocks
from biasloop.stages.pretrain import pretrain
from biasloop.stages.together import finetune_together, processes_for
from biasloop.stages.train import TrainingLog, collate, train
from biasloop.stages.update import UPDATE, log_odds, project_on_contrast, project_on_gradient
from biasloop.stages.vllm_engine import continue_with_vllm

__all__ = [
    "UPDATE",
    "TrainingLog",
    "articles_of",
    "collate",
    "continue_with_vllm",
    "finetune",
    "finetune_together",
    "generate_articles",
    "generate_blocks",
    "log_odds",
    "pretrain",
    "processes_for",
    "project_on_contrast",
    "project_on_gradient",
    "prompts_of",
    "samples_of",
    "split_blocks",
    "train",
]
