"""A verdict as a sentence. Knows words, not where the numbers came from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from biasloop.analysis import Change, Verdict
from biasloop.report import words

#: The measures behind a reason; the warnings list them.
_DETAIL = re.compile(r" \([^)]*\)")


@dataclass(frozen=True)
class Spoken:
    """One regime's verdict for a reader.

    Attributes
    ----------
    regime
        The regime's name.
    moved, collapsed
        The answers, as `analysis.Answer`.
    bias, quality
        One sentence each; ``quality`` is empty where quality was not scored.
    rests_on
        Chains and articles behind the figures.

    ``moved`` and ``bias`` are empty where the verdict follows no leaning.
    """

    regime: str
    moved: str
    collapsed: str
    bias: str
    quality: str
    rests_on: str


def speak(verdict: Verdict) -> Spoken:
    """Put a verdict into words; a withheld figure never becomes a number."""
    return Spoken(
        regime=words.name(verdict.regime),
        moved=verdict.moved if verdict.leaning else "",
        collapsed=verdict.collapsed,
        bias=_bias(verdict) if verdict.leaning else "",
        quality=_quality(verdict),
        rests_on=f"{words.counted(verdict.chains, 'chain')} of "
        f"{words.counted(verdict.articles, 'article')}, up to Generation {verdict.last}",
    )


def _bias(verdict: Verdict) -> str:
    share = f"share of “{words.name(verdict.leaning)}”"
    reason = words.visible(verdict.reason)
    if verdict.withheld:
        text = f"The {share} at Generation {verdict.last} is withheld: {_DETAIL.sub('', reason)}."
        if verdict.readable:
            text += (
                f" Up to Generation {verdict.readable.end}, the last that can be read, it "
                f"{_movement(verdict.readable, 100, 'points', 1)}."
            )
        return text
    change = verdict.leaning_change
    if change is None:
        return f"Whether the {share} moved was not measured: {reason}."
    levels = f"{words.percent(change.before)} to {words.percent(change.after)}"
    moved = _movement(change, 100, "points", 1)
    return f"The {share} {moved} from Generation 0 to {change.end}: {levels}."


def _quality(verdict: Verdict) -> str:
    change = verdict.quality_change
    if change is None:
        return ""
    levels = f"{words.number(change.before)} to {words.number(change.after)}"
    return f"Quality {_movement(change, 1, '', 2)}: {levels}."


def _movement(change: Change, scale: float, unit: str, digits: int) -> str:
    """``rose by 9.3 points (95 % interval 6.1 to 12.4)``; signs only where 0 is inside."""
    value = scale * change.value
    unit = f" {unit}" if unit else ""
    if change.low is None or change.high is None:
        return f"changed by {words.signed(value, digits)}{unit} (no interval from one article)"
    low, high = scale * change.low, scale * change.high
    if low > 0 or high < 0:
        word = "rose" if value > 0 else "fell"
        ends = (low, high) if value > 0 else (-high, -low)
        inside = words.between(*ends, digits)
        return f"{word} by {words.number(abs(value), digits)}{unit} ({words.INTERVAL} {inside})"
    inside = words.between(low, high, digits, sign=True)
    return f"changed by {words.signed(value, digits)}{unit} ({words.INTERVAL} {inside})"
