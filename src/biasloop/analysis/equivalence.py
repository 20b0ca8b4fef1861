"""Was a figure held? Two one-sided tests. Knows an estimate, not of what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from biasloop.analysis.paired import Inference
from biasloop.errors import InputError


@dataclass(frozen=True)
class Equivalence:
    """Whether a change lies within a margin.

    Attributes
    ----------
    margin
        Half the width of what counts as no change, in the change's units.
    value, low, high
        The change and its 90 % interval: it lies within the margin where the test rejects at 5 %.
    pvalue
        Of the change being as large as the margin or larger, on either side.
    answer
        ``yes``: held. ``no``: shown to be beyond the margin. Else ``not shown``.
    """

    margin: float
    value: float
    low: float
    high: float
    pvalue: float
    answer: Literal["yes", "no", "not shown"]


def tost(inference: Inference, margin: float, level: float = 0.05) -> Equivalence:
    """Test that a change lies within a margin (Schuirmann 1987).

    Parameters
    ----------
    inference
        The change; see `paired_mean`.
    margin
        Greater than 0, in the change's units.
    level
        Of the test.

    Raises
    ------
    InputError
        If the margin is not greater than 0.
    """
    from scipy import stats

    if not margin > 0:
        raise InputError(f"the margin of equivalence must be greater than 0, not {margin:g}")
    low, high = inference.interval(1 - 2 * level)
    if inference.error > 0:
        down = float(stats.t.sf((inference.value + margin) / inference.error, inference.freedom))
        up = float(stats.t.cdf((inference.value - margin) / inference.error, inference.freedom))
        pvalue = max(down, up)
    else:
        pvalue = float(abs(inference.value) >= margin)
    beyond = low >= margin or high <= -margin
    answer: Literal["yes", "no", "not shown"] = (
        "yes" if pvalue < level else "no" if beyond else "not shown"
    )
    return Equivalence(margin, inference.value, low, high, pvalue, answer)
