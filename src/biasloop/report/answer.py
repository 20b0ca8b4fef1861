"""The first screen: one sentence that answers the run's question, and one table.

Both are made once: the page shows them, ``summary.json`` keeps them, the command line prints them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from biasloop.analysis import Change, Needed, RegimeAnswer, RunAnswer, Verdict, trains_on_itself
from biasloop.config import AnyRegimeConfig
from biasloop.report import formatting as fmt
from biasloop.report.cautions import Caution
from biasloop.report.verdicts import worst_levels, worst_sign

#: The question that the sentence answers.
QUESTION = "Trained on its own text: did the model's bias grow, did its text get worse?"


@dataclass(frozen=True)
class Entry:
    """A cell: what it says, and in smaller print what more there is to know."""

    text: str
    note: str = ""


def points_entry(value: float, low: float, high: float) -> Entry:
    """Write a change of a share (-1 to 1) in points, with its interval."""
    return Entry(fmt.signed(100 * value), fmt.points_between(low, high))


def would_tell(needed: Needed | None, found: str) -> str:
    """Say how many articles and seeds would tell what a run cannot, given what was ``found``."""
    if needed is None:
        return f"no number of articles would, {found}"
    seeds = fmt.counted(needed.seeds, "seed")
    return f"{needed.articles:,} articles and {seeds} would, {found}"


@dataclass(frozen=True)
class Choices:
    """All regimes side by side as ways to go, and the one to take; see `report.frontier`."""

    sentence: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]


@dataclass(frozen=True)
class Shown:
    """The first screen.

    Attributes
    ----------
    sentence
        The answer.
    columns, rows
        The table, a regime by row: its name and what it trains on first.
    untold
        What the answer does not say; may be empty.
    frontier
        Which regime to take; None of one regime.
    axes
        The further axes, a row each, under the regime that is asked about; None without any.
    """

    sentence: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    untold: str
    frontier: Choices | None = None
    axes: Choices | None = None


def shown(
    answer: RunAnswer,
    warnings: Sequence[Caution] = (),
    frontier: Choices | None = None,
    axes: Choices | None = None,
) -> Shown:
    """Put a run's answer into words.

    Parameters
    ----------
    answer
        From `analysis.run_answer`.
    warnings
        The run's cautions, of which those that limit the answer are named beside it.
    frontier, axes
        As from `report.frontier` and `report.axes`.
    """
    rows = tuple(_entries(one, answer) for one in answer.regimes)
    columns = (
        "Regime and what it trains on",
        f"Bias change in points{_one_way(answer)}",
        "Bias amplified?",
        "Text collapsed?",
        "Training tokens per chain",
    )
    return Shown(sentence(answer), columns, rows, untold(answer, warnings), frontier, axes)


def sentence(answer: RunAnswer) -> str:
    """Answer in one sentence, no surer than the verdicts are."""
    own = answer.reference
    if own is None:
        return "No regime has a scored generation yet, so there is no answer yet."
    verdict = own.verdict
    alone = " in the one chain that was run" * (verdict.chains == 1)
    text = f"Trained on {_own_text(own.regime)}{alone}, {_main_clause(verdict, answer.labels)}"
    moved = verdict.bias in ("amplified", "moved")
    told = [
        _other(one, answer.labels) for one in answer.regimes if not moved and _stands_out(one, own)
    ]
    if not moved or _one_direction(verdict):
        told += _mitigations(own, answer.regimes, answer.labels, moved)
    return f"{'; '.join([text, *told])}."


# The sentence ------------------------------------------------------------------------------------

_CUT = "cut the move "
_LED = "led "
#: As many mitigations are told of: more are in the table.
_MOST = 3
#: Verdicts on a collapse that is shown.
_COLLAPSED = ("yes", "in this chain")
#: Verdicts on a movement that is shown.
_MOVED = ("amplified", "reduced", "moved")


def _main_clause(verdict: Verdict, labels: Sequence[str]) -> str:
    """Say what one regime's model did: its leaning first, then its text."""
    worse = worst_sign(verdict) if verdict.collapsed in _COLLAPSED else ""
    change = verdict.leaning_change
    if verdict.bias in _MOVED and change is not None:
        text = f"the model {_movement(verdict, change, labels)}"
        if worse:
            return f"{text}, and it collapsed ({worse})"
        return text + " without collapse" * (verdict.collapsed in ("no", "not in this chain"))
    if worse:
        return f"the model collapsed ({worse}), but it {_rest(verdict, labels)}"
    return f"the model {_rest(verdict, labels)}"


def _movement(verdict: Verdict, change: Change, labels: Sequence[str]) -> str:
    size = _points(change.value, change.low, change.high)
    way = f"moved {size} {_towards(verdict.leaning, labels, change.value)}"
    if verdict.same_direction is False and change.low <= 0 <= change.high:
        return (
            "moved away from the real articles' balance, each chain in a direction of its own "
            f"(on average {_between(verdict, change, labels)})"
        )
    most = "" if verdict.same_direction is not False else " on average, though not in every chain"
    end = {
        "amplified": "",
        "reduced": ", closer to the real articles",
        "moved": " (whether away from the real articles is not shown)",
    }[verdict.bias]
    return f"{way}{most}{end}"


def _rest(verdict: Verdict, labels: Sequence[str]) -> str:
    """Say what is known of a leaning whose movement is not shown; the model is the subject."""
    change = verdict.leaning_change
    if verdict.bias == "held" and verdict.held:
        margin = next(iter(verdict.held.values())).margin
        return f"kept its leaning: it moved by less than {_number(100 * margin)} points"
    if change is None:
        why = _unreadable(verdict) if verdict.withheld else fmt.visible(verdict.reason)
        text = f"may or may not have moved ({why})"
        if verdict.as_read:
            text += f"; as read: {_between(verdict, verdict.as_read, labels)}"
        if verdict.readable:
            size = _between(verdict, verdict.readable, labels)
            text += f"; up to Generation {verdict.readable.end}, which can be read: {size}"
        return text
    if change.low > 0 or change.high < 0:
        size = _points(change.value, change.low, change.high)
        way = f"{size} {_towards(verdict.leaning, labels, change.value)}"
        return f"shows no sure change of leaning: {way} may be due to {_doubts(verdict)}"
    few = "articles or chains" if verdict.chains > 1 else "articles"
    return (
        f"shows no sure change of leaning: anything {_between(verdict, change, labels)} is "
        f"possible (too few {few} to tell)"
    )


def _doubts(verdict: Verdict) -> str:
    """Say what may have made a change whose interval is clear of 0, and that is not shown."""
    reasons = ["chance"]
    reasons += ["the classifier's errors"] * bool(verdict.corrected)
    reasons += ["articles that cannot be read"] * (verdict.unread >= _SOME)
    return " or ".join(reasons)


def _between(verdict: Verdict, change: Change, labels: Sequence[str]) -> str:
    """``4 points towards blue to 9 points towards red``, or of an interval to one side of 0."""
    low, high = 100 * change.low, 100 * change.high
    if change.low >= 0 or change.high <= 0:
        size = _points(change.value, change.low, change.high)
        return f"{size} {_towards(verdict.leaning, labels, change.value)}"
    down, up = (_towards(verdict.leaning, labels, sign) for sign in (-1, 1))
    digits = _digits(low, high)
    return f"from {fmt.number(-low, digits)} points {down} to {fmt.number(high, digits)} {up}"


def _mitigations(
    own: RegimeAnswer, regimes: Sequence[RegimeAnswer], labels: Sequence[str], moved: bool
) -> list[str]:
    """Say what each regime that mixes real text in did to the reference's movement, and its cost.

    Of many regimes the largest effects are told. Effects that are not shown share one clause, if
    the reference ``moved``. If that is not shown, a regime's distance from it still may be.
    """
    found = [one for one in regimes if one.regime.remedy and one is not own]
    sizes = {id(one): abs(one.contrast.value) for one in found if one.contrast and _differs(one)}
    largest = sorted(sizes, key=lambda which: -sizes[which])[:_MOST]
    clauses, unit = [], " the training tokens"
    for one in found:
        if id(one) in largest:
            effect, cost = _effect(one, own) if moved else _distance(one, labels), _cost(one)
            for said in (_CUT, _LED):
                if any(said in clause for clause in clauses):  # said once
                    effect = effect.removeprefix(said)
            clauses.append(f"{_remedy(one.regime)} {effect}{cost}{unit * bool(cost)}")
            unit = "" if cost else unit
    unshown = [_remedy(one.regime) for one in found if id(one) not in sizes]
    if unshown and moved:
        clauses.append(f"no effect of {' or of '.join(unshown)} is shown")
    if own.verdict.collapsed in _COLLAPSED:
        clauses += _kept([one for one in found if id(one) in largest])
    return clauses


def _kept(told: Sequence[RegimeAnswer]) -> list[str]:
    """Say under which mitigations the text collapsed, too, and under which it did not."""
    names = {fmt.name(one.verdict.regime): one.verdict.collapsed for one in told}
    still = [name for name, collapsed in names.items() if collapsed in _COLLAPSED]
    kept = [name for name, collapsed in names.items() if collapsed in ("no", "not in this chain")]
    if len(still) == len(names) > 1:
        still = ["both" if len(names) == 2 else "all of these"]
    text = f"the text collapsed under {' and '.join(still)}, too" if still else ""
    if kept:
        did_not = ", and not" if still else "the text did not collapse"
        text += f"{did_not} under {' or '.join(kept)}"
    return [text] if text else []


def _own_text(regime: AnyRegimeConfig) -> str:
    """Say what the regime that is asked about trains on."""
    return "its own text" if trains_on_itself(regime) else regime.trains_on


def _remedy(regime: AnyRegimeConfig) -> str:
    """Name a regime by what it does; its own name stands behind that."""
    named = f" ({fmt.name(regime.name, 24)})" if regime.name else ""
    return f"{regime.remedy}{named}"


def _one_direction(verdict: Verdict) -> bool:
    """Say whether the mean over chains moved, so that another's can be held against it."""
    change = verdict.leaning_change
    return change is not None and change.low * change.high > 0


def _effect(one: RegimeAnswer, own: RegimeAnswer) -> str:
    """``cut the move by 15 points (12 to 19)``, of a contrast that is shown."""
    contrast, change = one.contrast, own.verdict.leaning_change
    if contrast is None or change is None:
        return ""
    size = _points(contrast.value, contrast.low, contrast.high)
    if (contrast.value > 0) == (change.value > 0):
        return f"added {size} to that"
    if one.verdict.bias == "held":
        return "stopped it"
    rest = one.verdict.leaning_change
    left = ""
    if rest and _one_direction(one.verdict) and (rest.value > 0) != (change.value > 0):
        left = " and turned it round,"
    return f"{_CUT}by {size}{left}"


def _distance(one: RegimeAnswer, labels: Sequence[str]) -> str:
    """``led 13 points (8 to 17) further towards blue``, of a contrast that is shown."""
    contrast = one.contrast
    if contrast is None:
        return ""
    size = _points(contrast.value, contrast.low, contrast.high)
    return f"{_LED}{size} further {_towards(one.verdict.leaning, labels, contrast.value)}"


def _stands_out(one: RegimeAnswer, own: RegimeAnswer) -> bool:
    """Say whether a regime shows a growth of bias that the reference does not."""
    return one is not own and one.verdict.bias == "amplified"


def _other(one: RegimeAnswer, labels: Sequence[str]) -> str:
    change = one.verdict.leaning_change
    moved = _movement(one.verdict, change, labels) if change else "moved"
    return f"{fmt.name(one.verdict.regime)} {moved}"


def _differs(one: RegimeAnswer) -> bool:
    contrast = one.contrast
    return contrast is not None and contrast.holm <= 0.05 and contrast.low * contrast.high > 0


def _cost(one: RegimeAnswer) -> str:
    if one.times is None or abs(one.times - 1) < 0.05:
        return ""
    return f" at {fmt.number(one.times, 1)} times"


# The table ---------------------------------------------------------------------------------------


def _entries(one: RegimeAnswer, answer: RunAnswer) -> tuple[Entry, ...]:
    verdict = one.verdict
    uneven = len({other.verdict.last for other in answer.regimes}) > 1
    until = f"; up to Generation {verdict.last}"
    return (
        Entry(fmt.name(verdict.regime), one.regime.trains_on + until * uneven),
        change_entry(verdict, answer.labels),
        amplified_entry(verdict),
        _collapse(verdict, answer),
        _tokens(one, answer),
    )


#: Verdict -> whether the bias was amplified, and what that means.
_AMPLIFIED: Mapping[str, tuple[str, str]] = {
    "amplified": ("yes", ""),
    "reduced": ("no", "closer to real text"),
    "held": ("no", "moved by a negligible amount at most"),
    "moved": ("not shown", "moved, but which way is not clear"),
}


def amplified_entry(verdict: Verdict) -> Entry:
    """Say whether bias was amplified."""
    if verdict.withheld:
        return Entry("cannot be told")
    answer, note = _AMPLIFIED.get(verdict.bias, (verdict.amplified, ""))
    change = verdict.leaning_change
    if verdict.bias == "not shown" and change and change.low * change.high > 0:
        note = f"may be {_doubts(verdict)}"
    return Entry(answer if verdict.chains > 1 else verdict.amplified, note)


def change_entry(verdict: Verdict, labels: Sequence[str]) -> Entry:
    """Write the change of the leaning that is told, in points, with its interval."""
    change = verdict.leaning_change or verdict.as_read
    if change is None:
        return Entry("–", _unreadable(verdict) if verdict.withheld else "")
    value, low, high = (100 * end for end in (change.value, change.low, change.high))
    digits = _digits(value, low, high)
    note = f"{fmt.signed(low, digits)} to {fmt.signed(high, digits)}"
    note += ", less the change under real articles only" * verdict.beyond_fine_tuning
    if verdict.unread >= _SOME and not verdict.withheld:
        note += f"; {_unread(verdict)} of articles cannot be read"
    way = f" of {fmt.name(verdict.leaning, 24)}" if len(labels) > 2 else ""
    read = ", as read" * verdict.withheld
    note += f"; {_unreadable(verdict)}" * verdict.withheld
    return Entry(f"{fmt.signed(value, digits)}{way}{read}", note)


def _one_way(answer: RunAnswer) -> str:
    """Say which way a positive change goes, where that is the same for every regime."""
    told = {one.verdict.leaning for one in answer.regimes}
    if len(answer.labels) != 2 or len(told) != 1 or "" in told:
        return ""
    return f" (+ towards {fmt.name(*told, 24)})"


def _collapse(verdict: Verdict, answer: RunAnswer) -> Entry:
    if verdict.collapsed not in _COLLAPSED:
        return Entry(verdict.collapsed)
    others = (one for one in answer.regimes if one.regime.kind == "real")
    alone = next((one.verdict for one in others if one.verdict is not verdict), None)
    levels = worst_levels(verdict, alone if verdict.beyond_fine_tuning else None)
    return Entry(verdict.collapsed, f"{worst_sign(verdict)}: {levels}")


def _tokens(one: RegimeAnswer, answer: RunAnswer) -> Entry:
    if one.tokens is None:
        return Entry("–")
    times = ""
    if one is not answer.reference and answer.reference and one.times is not None:
        against = fmt.name(answer.reference.verdict.regime, 24)
        times = f"{fmt.number(one.times, 1)} × {against}"
    return Entry(counted_tokens(one.tokens), times)


def counted_tokens(tokens: float) -> str:
    """Write a count of tokens with three digits."""
    for size, name in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million")):
        if tokens >= size:
            return f"{float(f'{tokens / size:.3g}'):g}{name}"
    return f"{float(f'{tokens:.3g}'):,.0f}"


# What the answer does not say ---------------------------------------------------------------------

#: Topic of a caution -> what the answer leaves open because of it.
_MISREAD = "whether the classifier reads these texts right"
_OPEN = {
    "One seed": "what another seed would do",
    "Few articles": "what more articles would show",
    "Unfinished": "what the unfinished part of the run will show",
    "Text too damaged to read": "how text too damaged to read leans",
    "Classifier on synthetic text": _MISREAD,
    "Instrument: leaning": _MISREAD,
    "Two corrections disagree": _MISREAD,
}


def untold(answer: RunAnswer, warnings: Sequence[Caution]) -> str:
    """List what the answer leaves open, in a line."""
    if answer.reference is None:
        return ""
    topics = dict.fromkeys(one.topic for one in warnings if one.level == "serious")
    found = dict.fromkeys(_OPEN[topic] for topic in topics if topic in _OPEN)
    return "; ".join(found)


# Numbers -----------------------------------------------------------------------------------------


def _towards(leaning: str, labels: Sequence[str], value: float) -> str:
    """``towards red``: of two labels a fall of one is a rise of the other."""
    others = [label for label in labels if label != leaning]
    if value < 0 and len(others) == 1:
        return f"towards {fmt.name(others[0], 24)}"
    return f"{'towards' if value >= 0 else 'away from'} {fmt.name(leaning, 24)}"


def _points(value: float, low: float, high: float) -> str:
    """``27 points (22 to 34)``, without a sign: the direction is told in words."""
    ends = (low, high) if value >= 0 else (-high, -low)
    size, low, high = (100 * end for end in (abs(value), *ends))
    digits = _digits(size, low, high)
    inside = fmt.between(low, high, digits)
    return f"{fmt.number(size, digits)} points ({inside})"


def _digits(*values: float) -> int:
    """No decimals for numbers of ten and more, unless one of them would then read as nought."""
    large = max(abs(value) for value in values) >= 10
    return 0 if large and all(value == 0 or abs(value) > 0.5 for value in values) else 1


def _number(value: float) -> str:
    return fmt.short(value)


#: From this share on, articles that the classifier could not read are told of.
_SOME = 0.005


def _unreadable(verdict: Verdict) -> str:
    """Say why a leaning is not told."""
    if verdict.unread >= _SOME:
        return f"{_unread(verdict)} of its articles are too damaged to read"
    return "the classifier cannot tell the leanings apart"


def _unread(verdict: Verdict) -> str:
    return fmt.percent(verdict.unread, 0)
