"""The command line: parse, call, print. No logic."""

from biasloop.cli.main import main

__all__ = ["main"]
