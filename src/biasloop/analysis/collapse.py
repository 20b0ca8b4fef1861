"""Did a regime's chains collapse? Its signs, each against Generation 0. Knows no leaning.

The signs are `quantities.signs`. The paper's is the text quality index. It cannot see a model whose
sentences are clean and all alike, or one that has forgotten the real text: so diversity and the
perplexity on held-out real text are signs, too. The perplexity of the *generated* text is none: it
falls as text gets easy, collapsed or not. Nor is the built-in quality index: it grades corruptions
of real sentences, and rises where a model's sentences get simpler and repeat each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from biasloop import quantities
from biasloop.analysis.comparison import change_less
from biasloop.analysis.contrasts import GENERATION_0, change, sets_of
from biasloop.analysis.outcomes import Outcomes
from biasloop.analysis.paired import Inference

#: ``not shown``: the data are compatible with a change and with none. ``in this chain``, ``not in
#: this chain``: as ``yes`` and ``no``, of the one chain that there is, which says nothing of the
#: luck of training again. ``withheld``: the figure would mean nothing. ``not measured``: there is
#: nothing to compare.
Answer = Literal[
    "yes", "no", "not shown", "in this chain", "not in this chain", "withheld", "not measured"
]


@dataclass(frozen=True)
class Change:
    """A difference between two generations of the same chains.

    Attributes
    ----------
    start, end
        The two generations.
    before, after
        The figure at each, over all chains.
    value, low, high
        The difference and its 95 % interval; less the same of fine-tuning alone where a verdict
        subtracts that.
    pvalue
        Two-sided, of no difference.
    """

    start: int
    end: int
    before: float
    after: float
    value: float
    low: float
    high: float
    pvalue: float


@dataclass(frozen=True)
class Sign:
    """One sign of collapse between Generation 0 and the last.

    Attributes
    ----------
    quantity
        Its name among the outcomes.
    change
        Its change.
    pvalue
        One-sided, of a change for the worse that is at most negligible.
    answer
        Whether it got worse: ``yes`` where that p-value, times the number of signs, is at most
        2.5 %: the interval clears the negligible amount; ``no`` where a change beyond that amount
        is refuted at 2.5 %; else ``not shown``.
    """

    quantity: str
    change: Change
    pvalue: float
    answer: Answer


def collapse_signs(found: Outcomes, regime: str, last: int, quality: bool) -> tuple[Sign, ...]:
    """Judge each sign of one regime that has a figure.

    Parameters
    ----------
    found
        The outcomes; where they have a regime of fine-tuning alone, its change is subtracted.
    regime, last
        The regime, and the generation to compare with Generation 0.
    quality
        Whether the quality index was validated on what models write; else it is no sign.
    """
    moved = {
        name: inference
        for name in quantities.signs()
        if name in found.values
        and (quality or name != "quality")
        and (inference := net_change(found, name, regime, last))
    }
    return tuple(
        _sign(name, inference, levels(found, name, regime, last, inference), len(moved))
        for name, inference in moved.items()
    )


def net_change(found: Outcomes, quantity: str, regime: str, last: int) -> Inference | None:
    """Estimate a change since Generation 0, less that of fine-tuning alone where that was run.

    None where fine-tuning alone was run, and this figure of it is not known.
    """
    alone = found.fine_tuned
    if alone is None or regime == alone:
        return change(found, quantity, regime, last)
    return change_less(found, quantity, regime, last, alone)


def levels(found: Outcomes, quantity: str, regime: str, last: int, inference: Inference) -> Change:
    """Put the levels at either end beside a change."""
    low, high = inference.interval()
    if quantity.startswith("share:"):
        low, high = max(low, -1.0), min(high, 1.0)
    sets = sets_of(found, quantity, regime, ((last, GENERATION_0), (last, "")))
    before, after = np.nanmean(sets, axis=-1).mean(axis=0).tolist()
    return Change(0, last, before, after, inference.value, low, high, inference.pvalue)


def _sign(name: str, inference: Inference, moved: Change, signs: int) -> Sign:
    sign = quantities.signs()[name]
    worse = sign.worse * inference.value - sign.negligible
    pvalue = one_sided(worse, inference)
    answer: Answer = "not shown"
    if pvalue * signs <= 0.025:
        answer = "yes"
    elif 1 - pvalue <= 0.025:
        answer = "no"
    return Sign(name, moved, pvalue, answer)


def one_sided(value: float, inference: Inference) -> float:
    """P-value of a value being at most 0, by an inference's error and degrees of freedom."""
    from scipy import stats

    if inference.error <= 0:
        return 0.0 if value > 0 else 1.0
    return float(stats.t.sf(value / inference.error, inference.freedom))


def collapse_pvalue(signs: tuple[Sign, ...]) -> float:
    """Two-sided p-value that any sign got worse by more than negligibly (Bonferroni)."""
    return min([1.0, *(2 * len(signs) * sign.pvalue for sign in signs)])


def collapsed(signs: tuple[Sign, ...], corrected: float, chains: int) -> Answer:
    """Sum the signs up: one that is shown is enough, and ``no`` takes all of them.

    Parameters
    ----------
    signs
        Of one regime.
    corrected
        `collapse_pvalue`, corrected for the number of regimes.
    chains
        How many there are: of one only that chain is spoken.
    """
    answers = {sign.answer for sign in signs}
    if not answers:
        return "not measured"
    if "yes" in answers and corrected <= 0.05:
        return "yes" if chains > 1 else "in this chain"
    if answers == {"no"}:
        return "no" if chains > 1 else "not in this chain"
    return "not shown"
