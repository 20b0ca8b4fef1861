"""One measured figure beside its plain baseline. Knows nothing of what was measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A speed, its baseline's, and how close it comes to what the machine can do.

    Attributes
    ----------
    stage
        ``generate``, ``fine-tune``, ``leaning``, ``quality``, ``perplexity`` or ``demo``.
    what
        What was measured, for example ``greedy, float32, batch 256``.
    baseline_name
        What it is held against, for example ``one prompt at a time, float32``.
    unit
        Of both speeds, for example ``tokens/s``: more is faster.
    speed, baseline
        Measured in the same run.
    wanted
        The ratio to reach; None where none was set.
    peak_share
        Share of the measured matrix-product peak, in the precision named in ``what``, that the
        floating-point operations which the stage must do come to; None where it does not apply.
    note
        What else to know, for example the share of tokens that agree.
    """

    stage: str
    what: str
    baseline_name: str
    unit: str
    speed: float
    baseline: float
    wanted: float | None = None
    peak_share: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times as fast as the baseline."""
        return self.speed / self.baseline

    @property
    def ratio_at_peak(self) -> float | None:
        """The ratio if the stage did nothing but its operations, at the peak: none can be more."""
        return self.ratio / self.peak_share if self.peak_share else None

    def as_dict(self) -> dict[str, Any]:
        """Return the figure as plain JSON values, the ratios among them."""
        return {**asdict(self), "ratio": self.ratio, "ratio_at_peak": self.ratio_at_peak}
