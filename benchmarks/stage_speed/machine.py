"""Which machine the figures are of, and the fastest that it multiplies matrices."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from biasloop.device import choose, multiplies_bfloat16
from stage_speed.peak import peak


@dataclass(frozen=True)
class Machine:
    """What figures depend on.

    Attributes
    ----------
    processor, gpu
        Names; ``gpu`` is None where there is none.
    threads
        That torch used.
    torch, transformers
        Versions.
    peak
        Floating-point operations per second of the fastest matrix product found, by `precisions`.
    """

    processor: str
    gpu: str | None
    threads: int
    torch: str
    transformers: str
    peak: dict[str, float]

    @property
    def sentence(self) -> str:
        """The machine in one line."""
        peaks = ", ".join(f"{name} {value / 1e9:,.0f} GFLOP/s" for name, value in self.peak.items())
        where = self.gpu or f"{self.processor}, {self.threads} threads"
        sentence = f"{where}; torch {self.torch}; fastest matrix product: {peaks}"
        if "bfloat16" not in self.peak:
            sentence += "; bfloat16 is not measured: there are no instructions for it here"
        return sentence

    def as_dict(self) -> dict[str, Any]:
        """Return the machine as plain JSON values."""
        return asdict(self)


def precisions() -> tuple[str, ...]:
    """Name the precisions that are worth measuring: those with instructions of their own."""
    return ("float32", "bfloat16") if multiplies_bfloat16(choose().name) else ("float32",)


def use_threads(threads: int) -> None:
    """Let torch use this many threads."""
    import torch

    torch.set_num_threads(threads)


def describe(threads: int) -> Machine:
    """Name the machine and measure its peak, once per process."""
    import torch

    return Machine(
        processor=_processor(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        threads=threads,
        torch=metadata.version("torch"),
        transformers=metadata.version("transformers"),
        peak={precision: peak(precision, threads) for precision in precisions()},
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
