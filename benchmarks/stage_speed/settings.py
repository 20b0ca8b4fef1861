"""What a benchmark is told: which model, how long it may take. Knows no stage."""

from __future__ import annotations

from dataclasses import dataclass

from biasloop.device import cores

#: The model of the published protocol by size (GPT-2, 124M), with random weights.
GPT2_SIZE = "gpt2-size"
#: The demo's model by size, with random weights.
DEMO = "demo"


@dataclass(frozen=True)
class BenchSettings:
    """What every benchmark of one run shares.

    Attributes
    ----------
    model
        ``demo``, ``gpt2-size``, or anything that `models.load_model` takes.
    quick
        Whether to measure less, and less exactly.
    threads
        That torch uses.
    seed
        Of weights and texts that are made up.
    """

    model: str = GPT2_SIZE
    quick: bool = False
    threads: int = cores()
    seed: int = 0
