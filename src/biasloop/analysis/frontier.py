"""Which regimes no other beats on bias, text, tokens and real articles at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from biasloop.analysis.adjusted import Confusion
from biasloop.analysis.answer import RegimeAnswer, RunAnswer
from biasloop.analysis.collapse import Answer
from biasloop.analysis.dose import Needed, judged_changes, needed_for, needed_to_hold
from biasloop.analysis.outcomes import Outcomes

Standing = Literal["held", "not shown", "lost"]


@dataclass(frozen=True)
class Choice:
    """One regime as a way to go.

    Attributes
    ----------
    regime
        Its name.
    bias, text
        ``held`` where the verdict says that bias did not amplify, or that the text did not
        collapse; ``lost`` where it says that it did.
    tokens, real_articles
        What a chain costs: see `RegimeAnswer`.
    best
        No other is as good in all four and better in one; what is not shown ranks in between, so
        that no noise of an estimate beats anything.
    """

    regime: str
    bias: Standing
    text: Standing
    tokens: float | None
    real_articles: float
    best: bool


@dataclass(frozen=True)
class Frontier:
    """All regimes of a run.

    Attributes
    ----------
    choices
        In the config's order.
    recommended
        Of those shown to hold both, the one of fewest real articles, then tokens. ``real``, which
        has none of its own text, is never recommended.
    open
        Where none is: the regimes that are shown to lose neither.
    nearest, needed
        Of these the one of the smallest change whose bias is not shown to hold, and what would
        show it; None where nothing would, or bias is not what is open.
    """

    choices: tuple[Choice, ...]
    recommended: str | None = None
    open: tuple[str, ...] = ()
    nearest: str | None = None
    needed: Needed | None = None


def frontier(
    answer: RunAnswer, found: Outcomes, margin: float, confusion: Confusion | None = None
) -> Frontier:
    """Compare a run's regimes.

    Parameters
    ----------
    answer
        From `run_answer`, of these outcomes.
    found, confusion
        For the plan; see `planning.design_of`.
    margin
        Of bias held.
    """
    figures = {one.verdict.regime: _figures(one) for one in answer.regimes}
    choices = tuple(
        Choice(
            one.verdict.regime,
            _standing(one.verdict.amplified),
            _standing(one.verdict.collapsed),
            one.tokens,
            one.real_articles,
            not any(_beats(other, figures[one.verdict.regime]) for other in figures.values()),
        )
        for one in answer.regimes
    )
    own = {one.verdict.regime: one for one in answer.regimes if one.regime.kind != "real"}
    both = [c for c in choices if c.regime in own and c.bias == c.text == "held"]
    if both:
        chosen = min(both, key=lambda c: (c.real_articles, figures[c.regime][2]))
        return Frontier(choices, chosen.regime)
    left = [c for c in choices if c.regime in own and "lost" not in (c.bias, c.text)]
    names = tuple(c.regime for c in left)
    sizes = {
        c.regime: abs(moved.value)
        for c in left
        if c.bias == "not shown"
        if (moved := judged_changes(own[c.regime].verdict).get(own[c.regime].verdict.leaning))
    }
    if not sizes:
        return Frontier(choices, None, names)
    nearest = min(sizes, key=lambda regime: sizes[regime])
    verdict = own[nearest].verdict
    needed = needed_for(needed_to_hold, found, verdict, verdict.leaning, margin, confusion)
    return Frontier(choices, None, names, nearest, needed)


def _standing(answer: Answer) -> Standing:
    if answer in ("no", "not in this chain"):
        return "held"
    return "lost" if answer in ("yes", "in this chain") else "not shown"


_RANK = {"held": 0, "not shown": 1, "lost": 2}


def _figures(one: RegimeAnswer) -> tuple[float, ...]:
    bias, text = (_RANK[_standing(a)] for a in (one.verdict.amplified, one.verdict.collapsed))
    return bias, text, float("inf") if one.tokens is None else one.tokens, one.real_articles


def _beats(other: tuple[float, ...], own: tuple[float, ...]) -> bool:
    return other != own and all(theirs <= mine for theirs, mine in zip(other, own, strict=True))
