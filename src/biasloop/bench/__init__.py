"""Speeds of this machine, each as a ratio to a plain baseline measured in the same run."""

from collections.abc import Callable, Mapping

from biasloop.bench.demo import measure_demo
from biasloop.bench.figure import Figure
from biasloop.bench.generation import measure_generation
from biasloop.bench.scoring import measure_leaning, measure_perplexity, measure_quality
from biasloop.bench.settings import BenchSettings
from biasloop.bench.training import measure_training

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
