"""Speeds of this machine, each as a ratio to a plain baseline measured in the same run."""

from biasloop.bench.figure import Figure

__all__ = ["Figure"]
