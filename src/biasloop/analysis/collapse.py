"""Whether a regime's chains collapsed: its signs, each against Generation 0.

The signs of collapse are `quantities.signs`, each against Generation 0. The paper's is the text
quality index. It cannot see a model whose sentences are clean and all alike, or one that has
forgotten the real text: so diversity and the perplexity on held-out real text are signs, too. The
perplexity of the *generated* text is none: it falls as text gets easy, collapsed or not. Nor is
the built-in quality index: it grades corruptions of real sentences, and rises where a model's
sentences get simpler and repeat each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from biasloop import quantities
from biasloop.analysis.changes import Change, net_change, with_levels
from biasloop.analysis.inference import one_sided
from biasloop.analysis.outcomes import Outcomes

#: ``not shown``: the data are compatible with a change and with none. ``in this chain``, ``not in
#: this chain``: as ``yes`` and ``no``, of the one chain that there is, which says nothing of the
#: luck of training again. ``withheld``: the figure would mean nothing. ``not measured``: there is
#: nothing to compare.
Answer = Literal[
    "yes", "no", "not shown", "in this chain", "not in this chain", "withheld", "not measured"
]


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


def collapse_signs(found: Outcomes, regime: str, last: int) -> tuple[Sign, ...]:
    """Judge each sign of one regime that has a figure.

    Parameters
    ----------
    found
        The outcomes; where they have a regime of fine-tuning alone, its change is subtracted.
    regime, last
        The regime, and the generation to compare with Generation 0.
    """
    moved = {
        name: inference
        for name in quantities.signs()
        if name in found.values
        and (found.graded_quality or name != "quality")
        and (inference := net_change(found, name, regime, last))
    }
    result = []
    for name, inference in moved.items():
        sign = quantities.signs()[name]
        pvalue = one_sided(sign.worse * inference.value - sign.negligible, inference)
        answer: Answer = "no" if 1 - pvalue <= 0.025 else "not shown"
        if pvalue * len(moved) <= 0.025:
            answer = "yes"
        change = with_levels(found, name, regime, last, inference)
        result.append(Sign(name, change, pvalue, answer))
    return tuple(result)


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
