"""Speeds of this machine, each as a ratio to a plain baseline measured in the same run."""

from collections.abc import Callable, Mapping

from biasloop.bench.demo import measure_demo
from biasloop.bench.figure import Figure
from biasloop.bench.settings import BenchSettings
from biasloop.bench.training import measure_training

__all__ = ["BENCHMARKS", "BenchSettings", "Figure"]

#: Stage -> what measures it. One line each.
BENCHMARKS: Mapping[str, Callable[[BenchSettings], list[Figure]]] = {
    "fine-tune": measure_training,
    "demo": measure_demo,
}
