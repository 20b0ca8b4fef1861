"""The YAML schema of an experiment, its defaults, and how a file becomes a checked config."""

from biasloop.config.executor import ExecutorConfig, StageResources
from biasloop.config.load import example_names, example_text, load_config, parse_config
from biasloop.config.schema import (
    BaseConfig,
    Columns,
    Config,
    ControlCorpusConfig,
    CorpusConfig,
    GenerationConfig,
    LeaningConfig,
    LoopConfig,
    MetricsConfig,
    NeuronsConfig,
    PretrainingConfig,
    QualityConfig,
    RegimeConfig,
    ReportConfig,
    ScratchConfig,
    TrainingConfig,
)
from biasloop.config.yaml_text import read_yaml, write_yaml

__all__ = [
    "BaseConfig",
    "Columns",
    "Config",
    "ControlCorpusConfig",
    "CorpusConfig",
    "ExecutorConfig",
    "GenerationConfig",
    "LeaningConfig",
    "LoopConfig",
    "MetricsConfig",
    "NeuronsConfig",
    "PretrainingConfig",
    "QualityConfig",
    "RegimeConfig",
    "ReportConfig",
    "ScratchConfig",
    "StageResources",
    "TrainingConfig",
    "example_names",
    "example_text",
    "load_config",
    "parse_config",
    "read_yaml",
    "write_yaml",
]
