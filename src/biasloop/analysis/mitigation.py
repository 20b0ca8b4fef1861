"""Mitigation: what each regime held and at what cost, which no other beats, and the least dose.

Verdicts say what each regime shows. Beside them stand the contrast with the regime that trains on
its own text alone, the tokens trained on and the real articles read; `frontier` ranks the regimes
on bias, text, tokens and real articles at once; `least_dose` says how much of a regime holds bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from biasloop.analysis.changes import (
    Change,
    change_less,
    comparable,
    estimate_of,
    net_change,
    with_levels,
)
from biasloop.analysis.classifier_errors import Confusion
from biasloop.analysis.collapse import Answer
from biasloop.analysis.inference import holm
from biasloop.analysis.outcomes import Outcomes
from biasloop.analysis.power import Needed, needed_for, needed_to_hold
from biasloop.analysis.verdict import Verdict
from biasloop.config import AnyRegimeConfig
from biasloop.errors import InputError
from biasloop.loop.results import Results
from biasloop.regimes import make_regime


@dataclass(frozen=True)
class Contrast:
    """A regime's change of a share since Generation 0, less that of the reference.

    Attributes
    ----------
    value, low, high
        The difference (-1 to 1) and its 95 % interval.
    holm
        P-value of none, corrected for the regimes that are compared.
    """

    value: float
    low: float
    high: float
    holm: float


@dataclass(frozen=True)
class RegimeAnswer:
    """One regime of a run.

    Attributes
    ----------
    regime
        Its settings.
    verdict
        What it shows.
    contrast
        Of the leaning that the reference's verdict tells of; None of the reference itself and
        where the two cannot be compared.
    tokens
        Trained on by one chain up to the verdict's last generation, epochs and Generation 0
        included; the mean over chains. None where no record says so.
    times
        That as a multiple of the reference's, up to a generation that both have reached.
    real_articles
        That one chain reads after Generation 0, up to the last generation, on average.
    """

    regime: AnyRegimeConfig
    verdict: Verdict
    contrast: Contrast | None = None
    tokens: float | None = None
    times: float | None = None
    real_articles: float = 0.0


@dataclass(frozen=True)
class RunAnswer:
    """Every regime of a run that has a figure.

    Attributes
    ----------
    labels
        The label set.
    regimes
        In the config's order.
    reference
        The regime that the others are held against: the first that trains on its own text alone,
        else the first.
    """

    labels: tuple[str, ...]
    regimes: tuple[RegimeAnswer, ...]
    reference: RegimeAnswer | None


#: Which kind of regime others are held against, the first that a run has.
_REFERENCES = ("synthetic", "overfitting")


def trains_on_itself(regime: AnyRegimeConfig) -> bool:
    """Say whether a regime trains on its own text alone, written as ``generation`` says."""
    return regime.kind in _REFERENCES and regime.decoding is None


def run_answer(results: Results, verdicts: Sequence[Verdict], found: Outcomes) -> RunAnswer:
    """Put each regime's verdict, contrast and cost together.

    Parameters
    ----------
    results
        The run.
    verdicts
        As from `judge_run`.
    found
        The run's outcomes, which the verdicts rest on.
    """
    settings = {regime.label: regime for regime in results.config.regimes}
    judged = [verdict for verdict in verdicts if verdict.regime in settings]
    if not judged:
        return RunAnswer(results.labels, (), None)
    kinds = [
        settings[v.regime].kind if trains_on_itself(settings[v.regime]) else "" for v in judged
    ]
    place = next((kinds.index(kind) for kind in _REFERENCES if kind in kinds), 0)
    against = judged[place]
    compared = _contrasts(found, judged, against)
    regimes = tuple(
        RegimeAnswer(
            settings[verdict.regime],
            verdict,
            compared.get(verdict.regime),
            _tokens(results.trained, verdict.regime, verdict.last),
            _times(results.trained, verdict, against),
            _real_articles(results, settings[verdict.regime], verdict.last),
        )
        for verdict in judged
    )
    return RunAnswer(results.labels, regimes, regimes[place])


def _contrasts(found: Outcomes, judged: Sequence[Verdict], against: Verdict) -> dict[str, Contrast]:
    """Hold each regime's change against the reference's, at the last generation of both."""
    quantity = f"share:{against.leaning}"
    if quantity not in found.values:
        return {}
    moved = {}
    for verdict in judged:
        generation = min(verdict.last, against.last)
        if verdict.regime == against.regime or generation == 0:
            continue
        less = change_less(found, quantity, verdict.regime, generation, against.regime)
        if less is not None:
            moved[verdict.regime] = estimate_of(less, quantity)
    corrected = holm(np.array([figures[3] for figures in moved.values()]))
    return {
        regime: Contrast(*figures[:3], float(p))
        for (regime, figures), p in zip(moved.items(), corrected, strict=True)
    }


def _real_articles(results: Results, settings: AnyRegimeConfig, last: int) -> float:
    regime, samples = make_regime(settings), results.config.generation.samples_per_prompt
    real = results.real.height
    return sum(regime.real_articles(g, real, samples) for g in range(1, last + 1))


def _tokens(trained: pl.DataFrame, regime: str, last: int) -> float | None:
    """Average over the chains whose every generation up to ``last`` is recorded."""
    own = trained.filter((pl.col("regime") == regime) & (pl.col("generation") <= last))
    chains = own.group_by("seed").agg(pl.len(), pl.col("tokens").sum())
    whole = chains.filter(pl.col("len") == last + 1)["tokens"].to_list()
    return float(np.mean(whole)) if whole else None


def _times(trained: pl.DataFrame, verdict: Verdict, against: Verdict) -> float | None:
    last = min(verdict.last, against.last)
    own, other = (_tokens(trained, one.regime, last) for one in (verdict, against))
    return own / other if own and other else None


# The frontier -------------------------------------------------------------------------------------


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
        For the plan; see `power.design_of`.
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
        if (moved := own[c.regime].verdict.judged.get(own[c.regime].verdict.leaning))
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


# Dose and response --------------------------------------------------------------------------------

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

    The least dose is the one from which on every change lies within the margin. Its interval
    walks from either end of the tried doses: down from the highest while a change is shown to
    lie within the margin, up from the lowest while it is shown to lie beyond. A walk can only
    go past the least dose by a wrong answer on that side of it, so each end is wrong in at most
    2.5 % of runs, however many doses are tried, and whatever the curve between them: an end is
    always a tried dose. The estimate in between needs a curve: the isotonic fit, linear between
    the tried doses.

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


def level_of_look(looks: int) -> float:
    """Say at which level a look at the doses is taken, so that all together err in 5 % at most.

    By Bonferroni, the same at every look. Bounds that spend less (Pocock, O'Brien and Fleming)
    take the looks' estimates for sums of independent parts with a known variance. These are not:
    the articles are the same at every look, and of a few chains the variance is estimated (t).
    Bonferroni's inequality asks for neither. O'Brien and Fleming's small first level would ask
    two or three chains for a quantile that they cannot come to.
    """
    return 1 - 0.05 / looks


#: Of the first of several looks. Of two chains a t interval errs too often (docs/dose.md).
_FIRST_LOOK = 3


def looks_at(seeds: Sequence[int], looks: int) -> list[tuple[int, ...]]:
    """Split chains into the looks' batches, of nearly equal size; each look has all before it.

    Raises
    ------
    InputError
        If the first look would have fewer than three chains, or a later one no more than before.
    """
    if looks == 1:
        return [tuple(seeds)]
    ends = [round(len(seeds) * (look + 1) / looks) for look in range(max(looks, 0))]
    if not ends or ends[0] < _FIRST_LOOK or len(set(ends)) < looks:
        raise InputError(
            f"--looks {looks}: {len(seeds)} chains cannot be looked at so often, at "
            f"{_FIRST_LOOK} or more first: give {_FIRST_LOOK * max(looks, 1)} seeds, as --set "
            "loop.seeds=[0,1,2,3,...], or fewer looks"
        )
    return [tuple(seeds[:end]) for end in ends]


def changes_at(found: Outcomes, verdict: Verdict, level: float) -> dict[str, Change]:
    """Give a verdict's judged changes with intervals at another level than 95 %."""
    if not verdict.judged:
        return {}
    quantities = {label: f"share:{label}" for label in verdict.judged}
    one = next(iter(quantities.values()))
    found, last = comparable(found, verdict.regime, one)
    found = found.as_corrected() if verdict.corrected else found
    result = {}
    for label, quantity in quantities.items():
        if moved := net_change(found, quantity, verdict.regime, last):
            result[label] = with_levels(found, quantity, verdict.regime, last, moved, level)
    return result


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
