"""Speeds of this machine, each as a ratio to a plain baseline measured in the same run."""

from collections.abc import Callable, Mapping

from biasloop.bench.figure import Figure
from biasloop.bench.settings import BenchSettings

__all__ = ["BENCHMARKS", "BenchSettings", "Figure"]

#: Stage -> what measures it. One line each.
BENCHMARKS: Mapping[str, Callable[[BenchSettings], list[Figure]]] = {}
