"""Dose and response: the least dose of a regime that holds bias within the margin.

The least dose is the one from which on every change lies within the margin. Its interval walks
from either end of the tried doses: down from the highest while a change is shown to lie within the
margin, up from the lowest while it is shown to lie beyond. A walk can only go past the least dose
by a wrong answer on that side of it, so each end is wrong in at most 2.5 % of runs, however many
doses are tried, and whatever the curve between them: an end is always a tried dose. The estimate
in between needs a curve: the isotonic fit, linear between the tried doses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from biasloop.analysis.changes import Change

#: Whether the 95 % intervals of the changes at a dose lie within the margin, or that of the
#: leaning beyond it.
Held = Literal["held", "beyond", "not shown", "withheld"]


@dataclass(frozen=True)
class LeastDose:
    """The least dose that holds, as far as the tried ones tell.

    Attributes
    ----------
    leaning, margin
        Whose change is followed, and within what it is held (0 to 1).
    values
        The tried doses, rising.
    held
        What is shown at each.
    fitted
        The isotonic fit of the change at each, counted in the direction of the lowest dose's; NaN
        where it is withheld.
    estimate
        Where the fit comes to the margin; None where it does not.
    low
        The least dose lies above this: 95 % confidence, together with ``high``. None where not
        even the lowest tried dose is shown to lie beyond the margin.
    high
        It is at most this; None where the highest tried dose is not shown to hold.
    """

    leaning: str
    margin: float
    values: tuple[float, ...]
    held: tuple[Held, ...]
    fitted: tuple[float, ...]
    estimate: float | None
    low: float | None
    high: float | None

    @property
    def bounded(self) -> bool:
        """Whether both ends lie within the tried doses, or no lower one than the lowest is left."""
        return self.high is not None and (self.low is not None or self.high == self.values[0])


def least_dose(
    values: Sequence[float],
    changes: Sequence[Mapping[str, Change]],
    leaning: str,
    margin: float,
) -> LeastDose:
    """Find the least dose and its interval.

    Parameters
    ----------
    values
        The tried doses, rising.
    changes
        At each, the change of every leaning's share with its 95 % interval; none where withheld.
    leaning
        The one that is followed: a change beyond the margin is looked for in it alone, so that
        more leanings give no more chances of a wrong answer. To be held, all must be within.
    margin
        Above 0, as a share.
    """
    held = tuple(_held(own, leaning, margin) for own in changes)
    low = high = None
    for value, answer in zip(values, held, strict=True):
        if answer != "beyond":
            break
        low = value
    for value, answer in zip(reversed(values), reversed(held), strict=True):
        if answer != "held":
            break
        high = value
    fitted = _fit(values, [own.get(leaning) for own in changes])
    estimate = _crossing(values, fitted, margin)
    if estimate is not None:  # a line between tried doses may cross outside the interval
        estimate = min(max(estimate, values[0] if low is None else low), high or np.inf)
    return LeastDose(leaning, margin, tuple(values), held, tuple(fitted), estimate, low, high)


def _held(changes: Mapping[str, Change], leaning: str, margin: float) -> Held:
    if leaning not in changes:
        return "withheld"
    if all(-margin < one.low and one.high < margin for one in changes.values()):
        return "held"
    own = changes[leaning]
    return "beyond" if own.low >= margin or own.high <= -margin else "not shown"


def _fit(values: Sequence[float], changes: Sequence[Change | None]) -> list[float]:
    """Fit a falling line of steps to the changes, weighted by their precision."""
    from sklearn.isotonic import IsotonicRegression

    there = [place for place, one in enumerate(changes) if one is not None]
    known = [one for one in changes if one is not None]
    result = np.full(len(values), np.nan)
    if known:
        way = np.array([one.value for one in known]) * (np.sign(known[0].value) or 1.0)
        width = np.array([max(one.high - one.low, 1e-9) for one in known])
        x = np.array(values)[there]
        fit = IsotonicRegression(increasing=False).fit(x, way, sample_weight=1 / width**2)
        result[there] = fit.predict(x)
    return result.tolist()


def _crossing(values: Sequence[float], fitted: Sequence[float], margin: float) -> float | None:
    """Find where a falling curve through the points comes to the margin."""
    points = [(v, f) for v, f in zip(values, fitted, strict=True) if np.isfinite(f)]
    for place, (value, figure) in enumerate(points):
        if figure > margin:
            continue
        if place == 0:
            return value
        before, above = points[place - 1]
        return before + (value - before) * (above - margin) / (above - figure)
    return None
