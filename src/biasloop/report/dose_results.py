"""What doses of one regime did, in a sentence, a table and a figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from biasloop.analysis import (
    Change,
    LeastDose,
    Needed,
    Outcomes,
    RegimeAnswer,
    changes_at,
    instrument_confusion,
    judge_run,
    least_dose,
    level_of_look,
    needed_for,
    needed_to_exceed,
    needed_to_hold,
    outcomes,
    run_answer,
    tables_of,
)
from biasloop.errors import InputError
from biasloop.loop.results import Results
from biasloop.report import formatting as fmt
from biasloop.report.answer import Entry, points_entry, would_tell
from biasloop.report.charts import INK, MUTED, look
from biasloop.report.drawing import picture
from biasloop.report.summary_json import strict
from biasloop.report.verdicts import DETAIL
from biasloop.theory import least_real_share

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class DoseShown:
    """A dose-response for a reader.

    Attributes
    ----------
    sentence
        The least dose, or that these runs cannot tell.
    columns, rows
        A dose by row.
    theory
        What the theory says of the least real share; empty where it has no closed form.
    clear
        The regimes of the doses that are shown to hold, or not to.
    machine
        All of it for programs: strict JSON.
    png
        Change against dose.
    """

    sentence: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    theory: str
    clear: tuple[str, ...]
    machine: dict[str, Any]
    png: bytes


def dose_shown(results: Results, kind: str, looks: int = 1) -> DoseShown:
    """Put together what a run of `config.with_doses` shows.

    Parameters
    ----------
    results
        The run.
    kind
        The regime whose doses they are.
    looks
        How often it was to be looked at: intervals are at `level_of_look`.

    Raises
    ------
    InputError
        If fewer than two doses of that regime have a figure.
    """
    found = outcomes(tables_of(results))
    answer = run_answer(results, judge_run(results, found), found)
    tried = [one for one in answer.regimes if one.regime.kind in ("synthetic", kind)]
    key = next((one.regime.dose for one in tried if one.regime.kind == kind), None)
    if key is None or len(tried) < 2:
        raise InputError(f"{results.folder}: has no two doses of '{kind}' with a figure")
    tried.sort(key=lambda one: _dose(one, key))
    level = level_of_look(looks)
    changes = [
        one.verdict.judged if looks == 1 else changes_at(found, one.verdict, level) for one in tried
    ]
    least = least_dose(
        [_dose(one, key) for one in tried],
        changes,
        tried[0].verdict.leaning,
        results.config.report.equivalence_margin,
    )
    planned = _planned(results, found, least)
    sentence = f"{_sentence(least, kind, key, tried, planned)}{_chains(tried)}"
    share, theory = _theory(results, kind, key)
    machine = {
        "regime": kind,
        "dose": key,
        "least": asdict(least),
        "sentence": sentence,
        "theory": {"real_share": share, "text": theory},
        "doses": [
            {
                "value": _dose(one, key),
                "regime": one.verdict.regime,
                "chains": one.verdict.chains,
                "changes": {label: asdict(moved) for label, moved in own.items()},
                "as_read": {label: asdict(moved) for label, moved in one.verdict.changes.items()},
                "tokens": one.tokens,
                "real_articles": one.real_articles,
            }
            for one, own in zip(tried, changes, strict=True)
        ],
        "looks": looks,
        "level": level,
    }
    return DoseShown(
        sentence,
        (
            f"{key} and what each generation trains on",
            f"change of {fmt.name(least.leaning, 24)} in points",
            "as read, not corrected for the classifier's errors",
            f"within ±{_points(least.margin)}?",
            "training tokens per chain",
            "real articles after Generation 0",
        ),
        tuple(
            _row(
                one,
                key,
                own.get(least.leaning),
                one.verdict.changes.get(least.leaning),
                held,
                looks > 1,
            )
            for one, own, held in zip(tried, changes, least.held, strict=True)
        ),
        theory,
        tuple(
            one.verdict.regime
            for one, held in zip(tried, least.held, strict=True)
            if held in ("held", "beyond")
        ),
        strict(machine),
        picture(
            f"Change of “{fmt.name(least.leaning)}” by {key} of {kind}",
            _drawn(least, key, changes, level),
        ),
    )


def _dose(one: RegimeAnswer, key: str) -> float:
    return float(getattr(one.regime, key, 0.0))


def _points(share: float) -> str:
    return f"{fmt.short(100 * share)} points"


def _row(
    one: RegimeAnswer,
    key: str,
    moved: Change | None,
    as_read: Change | None,
    held: str,
    counted: bool,
) -> tuple[Entry, ...]:
    none = Entry("–", DETAIL.sub("", fmt.visible(one.verdict.reason)))
    answer = {"held": "yes", "beyond": "no"}.get(held, held)
    return (
        Entry(f"{_dose(one, key):g}", one.regime.trains_on),
        points_entry(moved.value, moved.low, moved.high) if moved else none,
        points_entry(as_read.value, as_read.low, as_read.high) if as_read else Entry("–"),
        Entry(answer, fmt.counted(one.verdict.chains, "chain") if counted else ""),
        Entry("–" if one.tokens is None else f"{one.tokens:,.0f}"),
        Entry(f"{one.real_articles:,.0f}"),
    )


#: What would tell of a regime, by `needed_to_hold` or `needed_to_exceed`.
_Plan = Callable[[RegimeAnswer, Callable[..., Needed | None]], str]


def _planned(results: Results, found: Outcomes, least: LeastDose) -> _Plan:
    """Say how large a run would tell, by what this one says of the next."""
    confusion = instrument_confusion(results.cards, results.labels)

    def told(one: RegimeAnswer, plan: Callable[..., Needed | None]) -> str:
        moved = one.verdict.judged.get(least.leaning)
        if moved is None:
            return "the leaning there cannot be read"
        needed = needed_for(plan, found, one.verdict, least.leaning, least.margin, confusion)
        change = fmt.share(moved.value, change=True)
        return would_tell(needed, f"were the change the {change} points found there")

    return told


def _sentence(
    least: LeastDose, kind: str, key: str, tried: Sequence[RegimeAnswer], planned: _Plan
) -> str:
    within, first, last = f"within ±{_points(least.margin)}", least.values[0], least.values[-1]
    what = f"the least {key} of {kind} that holds bias {within}"
    if least.high is None:
        return (
            f"Cannot tell {what}: none up to {last:g} is shown to"
            f"{'' if least.low is None else f', {least.low:g} and less are shown not to'}"
            f"{'' if least.estimate is None else f', the fit says {least.estimate:.2g}'}. At "
            f"{last:g}, {planned(tried[-1], needed_to_hold)}"
        )
    if least.high == first:
        if first == 0:
            return f"Bias is held {within} at every dose, at 0 (synthetic) too: none is needed"
        return f"{what[:1].upper()}{what[1:]} is at most {first:g}, the lowest that was tried"
    if least.low is None:
        return (
            f"Cannot tell {what}, beyond that it is at most {least.high:g}: {first:g} is not shown "
            f"to move bias by more; {planned(tried[0], needed_to_exceed)}"
        )
    middle = "" if least.estimate is None else f"about {least.estimate:.2g}, "
    return (
        f"{what[:1].upper()}{what[1:]} is {middle}above {least.low:g} and at most {least.high:g} "
        "(95 % confidence)"
    )


def _chains(tried: Sequence[RegimeAnswer]) -> str:
    counts = [one.verdict.chains for one in tried]
    if min(counts) == 1:
        return ", of the one chain that was run: of others it says nothing."
    most = "" if max(counts) == min(counts) else f" to {max(counts)}"
    return f"; {min(counts)}{most} chains of {tried[0].verdict.articles:,} articles."


#: Regime -> the dose that makes a share of the training set real, of so many samples per article.
_OF_SHARE: dict[str, Callable[[float, int], float]] = {
    "preservation": lambda share, samples: samples * share / (1 - share),
    "real_share": lambda share, samples: share,
}


def _theory(results: Results, kind: str, key: str) -> tuple[float | None, str]:
    """Set the theory's threshold beside the doses: its model is not this one."""
    counts = dict(results.real["label"].value_counts().iter_rows())
    shares = [counts.get(label, 0) / max(results.real.height, 1) for label in results.labels]
    share = least_real_share(shares)
    if share is None or kind not in _OF_SHARE:
        return None, ""
    dose = _OF_SHARE[kind](share, results.config.generation.samples_per_prompt)
    known = "" if dose == share else f", which is a {key} of {dose:.2g}"
    return share, (
        f"Theory (WMLE on shares of leanings, unlimited data, real articles not filtered): an "
        f"amplified state lasts below a real share of {fmt.percent(share, 0)} of each training "
        f"set{known}."
    )


def _drawn(
    least: LeastDose, key: str, changes: Sequence[Mapping[str, Change]], level: float
) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        colour, margin = look(0).colour, 100 * least.margin
        axes.axhspan(-margin, margin, color=look(2).colour, alpha=0.12, label="within the margin")
        axes.axhline(0, color=INK, linewidth=0.8)
        points = [
            (value, *(100 * min(max(end, -1.0), 1.0) for end in (own.value, own.low, own.high)))
            for value, known in zip(least.values, changes, strict=True)
            if (own := known.get(least.leaning))
        ]
        if points:
            sign = 1 if points[0][1] >= 0 else -1
            line = [100 * sign * min(value, 1.0) for value in least.fitted]
            axes.plot(least.values, line, color=MUTED, linewidth=1.2, label="isotonic fit")
            x, y, low, high = (list(column) for column in zip(*points, strict=True))
            axes.vlines(x, low, high, color=colour, linewidth=1.6)
            axes.plot(
                x, y, linestyle="", marker="o", color=colour, label=f"{100 * level:.3g} % interval"
            )
        if least.high is not None:
            from_ = least.values[0] if least.low is None else least.low
            axes.axvspan(
                from_, least.high, color=look(1).colour, alpha=0.12, label="least dose, 95 %"
            )
        axes.set_xlabel(key)
        axes.set_ylabel("change since Generation 0, points")

    return draw
