"""What of a verdict is told in words: the worst sign of collapse, what is negligible."""

from __future__ import annotations

import math
import re
from dataclasses import replace

from biasloop import quantities
from biasloop.analysis import Change, Verdict
from biasloop.report import formatting as fmt

#: The measures behind a reason; the warnings list them.
DETAIL = re.compile(r" \([^)]*\)")


def worst_of(verdict: Verdict) -> str:
    """Name the quantity that got worse the most, in multiples of what is negligible, if any did."""
    signs = quantities.signs().items()
    scale = {name: sign.worse / sign.negligible for name, sign in signs}
    shown = [sign for sign in verdict.signs if sign.answer == "yes"]
    worst = max(shown, key=lambda s: scale[s.quantity] * s.change.value, default=None)
    return worst.quantity if worst else ""


def worst_sign(verdict: Verdict) -> str:
    """Say in words what got worse the most; empty where nothing did."""
    worst = worst_of(verdict)
    return quantities.signs()[worst].says if worst else ""


def worst_levels(verdict: Verdict, alone: Verdict | None = None) -> str:
    """Give what got worse the most at Generation 0 and at the last: ``self-BLEU 0.07 to 0.49``.

    Where fine-tuning alone is given, where it came to is told, too: the text may have become
    better, and still be worse than without the model's own articles.
    """
    worst = worst_of(verdict)
    own, real = (
        next((sign.change for sign in one.signs if sign.quantity == worst), None) if one else None
        for one in (verdict, alone)
    )
    if own is None:
        return ""
    log = quantities.tested()[worst].log

    def level(end: float) -> str:
        return fmt.number(math.exp(end), 0) if log else fmt.number(end, 2)

    text = f"{quantities.signs()[worst].short} {level(own.before)} to {level(own.after)}"
    if real is None or real.end != own.end:
        return text
    return f"{text} (real articles only: to {level(real.after)})"


def collapse_measures() -> str:
    """List the measures of collapse, each with the change for the worse that is negligible."""
    amounts, signs = negligible_changes(), quantities.signs()
    return ", ".join(f"{signs[name].name} ({amount})" for name, amount in amounts.items())


def negligible_changes() -> dict[str, str]:
    """Give the change for the worse that is negligible, by measure of collapse."""
    return {
        name: f"{100 * math.expm1(sign.negligible):.0f}\u202f%"
        if quantities.tested()[name].log
        else fmt.number(sign.negligible)
        for name, sign in quantities.signs().items()
    }


def in_percent(change: Change) -> Change:
    """Turn a change of a logarithm into percent, and its levels into perplexities."""
    value, low, high = (100 * math.expm1(end) for end in (change.value, change.low, change.high))
    before, after = math.exp(change.before), math.exp(change.after)
    return replace(change, value=value, low=low, high=high, before=before, after=after)
