"""Speeds of this machine, each as a ratio to a plain baseline measured in the same run."""

from collections.abc import Callable, Mapping

from biasloop.bench.figure import Figure
from biasloop.bench.generation import generation
from biasloop.bench.scoring import leaning, perplexity, quality
from biasloop.bench.settings import BenchSettings

__all__ = ["BENCHMARKS", "BenchSettings", "Figure"]

#: Stage -> what measures it. One line each.
BENCHMARKS: Mapping[str, Callable[[BenchSettings], list[Figure]]] = {
    "generate": generation,
    "leaning": leaning,
    "quality": quality,
    "perplexity": perplexity,
}
