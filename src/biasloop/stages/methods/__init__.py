"""Training methods: which numbers of a model a fine-tuning changes. Each is one file."""

from biasloop.config import TrainingConfig
from biasloop.errors import registered
from biasloop.stages.methods.full import Full
from biasloop.stages.methods.lora import Lora

#: By what ``training.method`` calls them.
METHODS = {"full": Full, "lora": Lora}


def method_of(config: TrainingConfig) -> Full:
    """Return the method that a config asks for."""
    return registered(METHODS, config.method, "METHODS of stages/methods/__init__.py")(config)


__all__ = ["METHODS", "Full", "Lora", "method_of"]
