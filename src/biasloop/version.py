"""The version, on its own: `biasloop` itself imports every layer for type checkers."""

__version__ = "0.1.0"
