"""A verdict in sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from biasloop import quantities
from biasloop.analysis import Change, Equivalence, Evidence, Sign, Verdict
from biasloop.report import formatting as fmt
from biasloop.report.cells import first_row

#: The measures behind a reason; the warnings list them.
DETAIL = re.compile(r" \([^)]*\)")


def bias_sentence(verdict: Verdict) -> str:
    """Say what the shares did; empty where the verdict follows no leaning.

    A withheld figure never becomes a number.
    """
    if not verdict.leaning:
        return ""
    share = f"share of “{fmt.name(verdict.leaning)}”"
    reason = fmt.visible(verdict.reason)
    if verdict.withheld:
        text = f"The {share} at Generation {verdict.last} is withheld: {DETAIL.sub('', reason)}."
        if verdict.readable:
            text += (
                f" Up to Generation {verdict.readable.end}, the last that can be read, it "
                f"{_movement(verdict.readable, 100, 'points', 1)}."
            )
        return text
    change = verdict.leaning_change
    if change is None:
        return f"Whether the {share} moved was not measured: {reason}."
    levels = f"{fmt.percent(change.before)} to {fmt.percent(change.after)}"
    moved = _movement(change, 100, "points", 1)
    alone = " more than under fine-tuning on real articles alone" * verdict.beyond_fine_tuning
    where = f"The {share} {moved}{alone} from Generation 0 to {change.end}: {levels}"
    return f"{where}{_against_real(verdict)}.{_unread(verdict)}"


def _against_real(verdict: Verdict) -> str:
    """Say where the movement led; of one chain as of that chain only."""
    real = verdict.real.get(verdict.leaning)
    of = "the real shares" if real is None else f"the real {fmt.percent(real)}"
    if real is not None and len(verdict.real) > 2:
        of = f"the real shares of all leanings ({fmt.percent(real)} of this one)"
    where = {
        "amplified": f", away from {of}"
        if verdict.same_direction
        else f" (real: {fmt.percent(real)}); each chain went away from the real shares, not all "
        "in one direction",
        "reduced": f", towards {of}",
        "moved": f"; whether that is away from {of} is not shown",
        "held": f"; every leaning's change lies within ±{_margin(verdict)} points",
    }.get(verdict.bias, "" if real is None else f" (real: {fmt.percent(real)})")
    if verdict.bias == "not shown" and verdict.pvalue is not None and verdict.pvalue <= 0.05:
        where += ", not beyond what chance gives among so many regimes"
    return where + ("; of other chains one says nothing" if verdict.chains == 1 else "")


def _margin(verdict: Verdict) -> str:
    return fmt.short(100 * next(iter(verdict.held.values())).margin)


def _unread(verdict: Verdict) -> str:
    if verdict.unread < 0.005:
        return ""
    return (
        f" {fmt.percent(verdict.unread, 0)} of the last articles cannot be read; the answer "
        "holds whatever they lean to."
    )


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


def collapse_sentence(verdict: Verdict) -> str:
    """Tell what got worse, or what was looked at; the change of quality is told in any case.

    Empty where nothing of it was scored.
    """
    signs = verdict.signs
    shown = [sign for sign in signs if sign.answer == "yes"]
    others = [sign for sign in signs if sign.answer != "yes"]
    told = shown or [sign for sign in signs if sign.answer == "not shown"]
    sentences = []
    if shown:
        sentences.append(f"Collapse shows: {'; '.join(map(_sign, shown))}.")
        if others:
            sentences.append(f"Not shown to be worse: {_titles(others)}.")
    elif told:
        sentences.append(
            f"Collapse is not shown, and not ruled out: {'; '.join(map(_sign, told))}."
        )
    elif others:
        sentences.append(f"No worse than negligibly: {_titles(others)}.")
    quality = verdict.quality
    if quality and not any(sign.quantity == "quality" for sign in told):
        of = "Text quality" if any(sign.quantity == "quality" for sign in signs) else _NO_SIGN
        levels = f"{fmt.number(quality.before)} to {fmt.number(quality.after)}"
        sentences.append(f"{of} {_movement(quality, 1, '', 2)}, {levels}.")
    return " ".join(sentences)


#: How the built-in quality index is called.
_NO_SIGN = "The built-in quality index, no sign of collapse,"


def _titles(signs: Sequence[Sign]) -> str:
    return ", ".join(quantities.signs()[sign.quantity].name for sign in signs)


def _sign(sign: Sign) -> str:
    shown, log = quantities.signs()[sign.quantity], quantities.tested()[sign.quantity].log
    change = in_percent(sign.change) if log else sign.change
    ends = (fmt.number(end, shown.digits) for end in (change.before, change.after))
    moved = _movement(change, 1, "%", 0) if log else _movement(change, 1, "", 2)
    return f"{shown.name} {moved}, {' to '.join(ends)}"


def in_percent(change: Change) -> Change:
    """Turn a change of a logarithm into percent, and its levels into perplexities."""
    value, low, high = (100 * math.expm1(end) for end in (change.value, change.low, change.high))
    before, after = math.exp(change.before), math.exp(change.after)
    return replace(change, value=value, low=low, high=high, before=before, after=after)


def _movement(change: Change, scale: float, unit: str, digits: int) -> str:
    """``rose by 9.3 points (95 % interval 6.1 to 12.4)``; signs only where 0 is inside."""
    value = scale * change.value
    unit = f" {unit}" if unit else ""
    low, high = scale * change.low, scale * change.high
    if low > 0 or high < 0:
        word = "rose" if value > 0 else "fell"
        ends = (low, high) if value > 0 else (-high, -low)
        inside = fmt.between(*ends, digits)
        return f"{word} by {fmt.number(abs(value), digits)}{unit} ({fmt.INTERVAL} {inside})"
    inside = fmt.between(low, high, digits, sign=True)
    return f"changed by {fmt.signed(value, digits)}{unit} ({fmt.INTERVAL} {inside})"


def tests_sentence(verdict: Verdict, evidence: Evidence) -> str:
    """Say in a line what the tests add to a regime's verdict; empty where there are none."""
    quantity = f"share:{verdict.leaning}"
    parts = []
    trend = first_row(evidence.trends, quantity=quantity, regime=verdict.regime)
    if trend:
        inside = (
            ""
            if trend["low"] is None
            else f"{fmt.points_between(trend['low'], trend['high'], 2)}; "
        )
        parts.append(
            f"Trend {fmt.signed(100 * trend['slope'], 2)} points per generation ({inside}"
            f"{fmt.pvalue(trend['holm'])} after Holm)"
        )
    row = first_row(
        evidence.adjusted,
        regime=verdict.regime,
        leaning=verdict.leaning,
        generation=verdict.last,
    )
    if row and row["change_low"] is not None and not verdict.withheld:
        inside = fmt.points_between(row["change_low"], row["change_high"], 1)
        parts.append(
            f"corrected for the classifier's errors the change is "
            f"{fmt.share(row['change'], change=True)} points ({inside})"
        )
    held = verdict.held.get(verdict.leaning)
    if held and not verdict.withheld:
        parts.append(_equivalence(held))
    if verdict.holm is not None:
        parts.append(f"no movement at all: {fmt.pvalue(verdict.holm)} after Holm over regimes")
    if not parts:
        return ""
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _equivalence(held: Equivalence) -> str:
    """Say whether a share was held, and where that could not have been shown at all."""
    margin = fmt.short(100 * held.margin)
    half = (held.high - held.low) / 2
    if half < held.margin or held.answer != "not shown":
        return f"held within ±{margin} points: {held.answer}"
    return (
        f"held within ±{margin} points cannot be shown by so few articles and seeds, whose "
        f"interval alone is ±{fmt.number(100 * half, 1)} points ('biasloop power --margin "
        f"{margin}' says how many would)"
    )
