"""The YAML schema of an experiment, its defaults, and how a file becomes a checked config."""

from biasloop.config.dose import with_chains, with_doses, with_edits
from biasloop.config.executor import ExecutorConfig, StageResources
from biasloop.config.generation import GenerationConfig
from biasloop.config.leaning import LeaningConfig
from biasloop.config.load import (
    example_names,
    example_text,
    load_config,
    parse_config,
    without_folders,
)
from biasloop.config.regimes import AnyRegimeConfig, RegimeConfig
from biasloop.config.schema import (
    AxisConfig,
    BaseConfig,
    Columns,
    Config,
    ControlCorpusConfig,
    CorpusConfig,
    LmEvalConfig,
    LoopConfig,
    MetricsConfig,
    NeuronsConfig,
    PairsConfig,
    PerplexityConfig,
    PretrainingConfig,
    QualityConfig,
    ReportConfig,
    ScratchConfig,
)
from biasloop.config.section import filled, label_text
from biasloop.config.training import LoraConfig, TrainingConfig
from biasloop.config.yaml_text import read_yaml, write_yaml
