"""All regimes of a run side by side, and the one to take, in words."""

from __future__ import annotations

from biasloop.analysis import (
    Frontier,
    Outcomes,
    RunAnswer,
    Verdict,
    frontier,
    instrument_confusion,
)
from biasloop.loop.results import Results
from biasloop.report import formatting as fmt
from biasloop.report.answer import Choices, Entry, counted_tokens


def choices(results: Results, answer: RunAnswer, found: Outcomes) -> Choices | None:
    """Put the frontier into words; None of a run with one regime."""
    if len(answer.regimes) < 2:
        return None
    margin = results.config.report.equivalence_margin
    confusion = instrument_confusion(results.cards, results.labels)
    best = frontier(answer, found, margin, confusion)
    verdicts = {one.verdict.regime: one.verdict for one in answer.regimes}
    rows = tuple(
        (
            Entry(fmt.name(one.regime), "no other beats it" * one.best),
            Entry(one.bias, _interval(verdicts[one.regime])),
            Entry(one.text),
            Entry("–" if one.tokens is None else counted_tokens(one.tokens)),
            Entry(f"{one.real_articles:,.0f}"),
        )
        for one in best.choices
    )
    columns = ("Regime", "Bias", "Text", "Training tokens per chain", "Real articles after Gen. 0")
    return Choices(_sentence(best, verdicts, margin), columns, rows)


def _interval(verdict: Verdict) -> str:
    moved = verdict.judged.get(verdict.leaning)
    if moved is None:
        return ""
    return f"{fmt.points_between(moved.low, moved.high)} points"


def _sentence(best: Frontier, verdicts: dict[str, Verdict], margin: float) -> str:
    alone = "of one chain each, " * any(one.chains == 1 for one in verdicts.values())
    if best.recommended is not None:
        chosen = next(one for one in best.choices if one.regime == best.recommended)
        tokens = "" if chosen.tokens is None else f" and {counted_tokens(chosen.tokens)} tokens"
        return (
            f"Take {fmt.name(chosen.regime)}: {alone}of the regimes shown to hold both bias (its "
            f"change: {_interval(verdicts[chosen.regime])}) and text, it costs least, "
            f"{chosen.real_articles:,.0f} real articles{tokens} per chain. Each of the two answers "
            "is wrong in at most 5 % of runs."
        )
    if not best.open:
        return (
            f"Take none: {alone}each is shown to lose bias or text; a larger dose may hold both "
            "(`biasloop dose`)."
        )
    text = "These runs cannot tell which regime holds both bias and text"
    if best.nearest is None:
        names = " and ".join(fmt.name(regime) for regime in best.open)
        return f"{text}: {alone}what is not held of {names} is not shown to be lost either."
    moved = verdicts[best.nearest].judged[verdicts[best.nearest].leaning]
    there = f"its change the {fmt.share(moved.value, change=True)} points found"
    if best.needed is None:
        return (
            f"{text}: the least change, of {fmt.name(best.nearest)}, could not be shown to lie "
            f"within ±{fmt.number(100 * margin, 1)} points by any number of articles, were "
            f"{there}; a larger dose may."
        )
    return (
        f"{text}: {best.needed.articles:,} articles and "
        f"{fmt.counted(best.needed.seeds, 'seed')} would, for the bias of "
        f"{fmt.name(best.nearest)}, were {there}."
    )
