"""Measure, explain and mitigate bias amplification, apart from model collapse."""

__version__ = "0.1.0"
