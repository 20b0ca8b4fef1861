"""Did a chain collapse? Four signs, each against Generation 0. Knows summaries and no leaning.

The paper's sign is the text quality index. It cannot see a model whose sentences are clean and
all alike, or one that has forgotten the real text: so diversity and the perplexity on held-out
real text are signs, too. The perplexity of the *generated* text is none: it falls as text gets
easy, collapsed or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

#: ``not shown``: the data are compatible with a change and with none. ``withheld``: the figure
#: would mean nothing. ``not measured``: there is nothing to compare.
Answer = Literal["yes", "no", "not shown", "withheld", "not measured"]

#: A fall of quality (0 to 3) within this is called none.
NEGLIGIBLE_QUALITY = 0.05


@dataclass(frozen=True)
class Change:
    """A difference between two generations of the same chains.

    Attributes
    ----------
    start, end
        The two generations.
    before, after
        The figure at each.
    value, low, high
        The difference and its 95 % interval, None where one article cannot give it.
    """

    start: int
    end: int
    before: float
    after: float
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Measure:
    """A figure whose worsening is a sign of collapse.

    Attributes
    ----------
    quantity
        Of the summary; its change is ``<metric>_change``.
    worse
        The sign of a change for the worse.
    negligible
        A change within this is called none. Of perplexity it is of the logarithm.
    """

    quantity: str
    worse: Literal[-1, 1]
    negligible: float

    @property
    def change(self) -> str:
        """The summary's quantity of its change."""
        return change_of(self.quantity)


def change_of(quantity: str) -> str:
    """Name the summary's change of a quantity: of the metric, whichever mean is taken."""
    return f"{quantity.removesuffix(':geometric')}_change"


#: The signs, in the order in which they are told.
MEASURES = (
    Measure("quality", -1, NEGLIGIBLE_QUALITY),
    Measure("distinct_2", -1, 0.02),
    Measure("self_bleu", 1, 0.02),
    Measure("holdout_perplexity:geometric", 1, 0.05),
)

#: Standard normal quantiles 1 - 0.025 / k for k signs, over that for one (Bonferroni).
_WIDER = {1: 1.0, 2: 1.1436, 3: 1.2214, 4: 1.2744}


@dataclass(frozen=True)
class Sign:
    """One measure between Generation 0 and the last.

    Attributes
    ----------
    quantity
        Which: see `MEASURES`.
    change
        Its change; of a perplexity, the logarithm of the ratio. None where not measured.
    answer
        Whether it got worse: ``yes`` where it did by more than is negligible and its interval,
        widened for the number of signs, excludes 0; ``no`` where that whole interval is at most
        negligibly worse.
    """

    quantity: str
    change: Change | None
    answer: Answer


def collapse_signs(rows: pl.DataFrame, last: int) -> tuple[Sign, ...]:
    """Judge each measure of one regime that has a figure.

    Parameters
    ----------
    rows
        The regime's pooled rows of a summary.
    last
        The generation to compare with Generation 0.
    """
    found = {
        measure: change_at(rows, measure.quantity, measure.change, last) for measure in MEASURES
    }
    measured = {measure: change for measure, change in found.items() if change}
    return tuple(
        Sign(measure.quantity, change, worsened(change, measure, len(measured)))
        for measure, change in measured.items()
    )


def worsened(change: Change | None, measure: Measure, signs: int = 1) -> Answer:
    """Say whether a change for the worse is shown, shown to be negligible, or neither.

    The interval is widened so that the signs together err for the worse in 2.5 % of runs that
    have not collapsed (Bonferroni).
    """
    if change is None:
        return "not measured"
    if change.low is None or change.high is None:
        return "not shown"
    low = change.value - _WIDER[signs] * (change.value - change.low)
    high = change.value + _WIDER[signs] * (change.high - change.value)
    least, most = (low, high) if measure.worse > 0 else (-high, -low)
    if least > 0 and measure.worse * change.value > measure.negligible:
        return "yes"
    return "no" if most <= measure.negligible else "not shown"


def collapsed(signs: tuple[Sign, ...]) -> Answer:
    """Sum the signs up: one that is shown is enough, and ``no`` takes all of them."""
    answers = {sign.answer for sign in signs}
    if not answers:
        return "not measured"
    if "yes" in answers:
        return "yes"
    return "no" if answers == {"no"} else "not shown"


def change_at(rows: pl.DataFrame, level: str, change: str, generation: int) -> Change | None:
    """Read a change since Generation 0, with the levels at either end; None where withheld.

    Parameters
    ----------
    rows
        One regime's pooled rows of a summary.
    level, change
        The quantities.
    generation
        The later end.
    """
    row = rows.filter(
        (pl.col("quantity") == change) & (pl.col("generation") == generation) & ~pl.col("withheld")
    )
    if not row.height:
        return None
    levels: Mapping[int, float | None] = dict(
        rows.filter(pl.col("quantity") == level).select("generation", "value").iter_rows()
    )
    before, after = levels.get(0), levels.get(generation)
    value, low, high = row.select("value", "low", "high").row(0)
    if value is None or before is None or after is None:
        return None
    return Change(0, generation, before, after, value, low, high)
