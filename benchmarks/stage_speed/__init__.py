"""Speeds of this machine, each as a ratio to a plain baseline measured in the same run."""

from collections.abc import Callable, Mapping

from stage_speed.demo import measure_demo
from stage_speed.figure import Figure
from stage_speed.generation import measure_generation
from stage_speed.scoring import measure_leaning, measure_perplexity, measure_quality
from stage_speed.settings import BenchSettings
from stage_speed.training import measure_training

__all__ = ["BENCHMARKS", "BenchSettings", "Figure"]

#: Stage -> what measures it. One line each.
BENCHMARKS: Mapping[str, Callable[[BenchSettings], list[Figure]]] = {
    "generate": measure_generation,
    "fine-tune": measure_training,
    "leaning": measure_leaning,
    "quality": measure_quality,
    "perplexity": measure_perplexity,
    "demo": measure_demo,
}
