"""What a run answers, regime by regime: what moved, what held it, and at what cost. Judges nothing.

Verdicts say what each regime shows; beside them stand the contrast with the regime that trains on
its own text alone, and the tokens trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from biasloop.analysis.comparison import change_less
from biasloop.analysis.contrasts import estimate_of
from biasloop.analysis.outcomes import Outcomes
from biasloop.analysis.paired import holm
from biasloop.analysis.verdict import Verdict
from biasloop.config import AnyRegimeConfig
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
    spent = _Spent(results.trained)
    regimes = tuple(
        RegimeAnswer(
            settings[verdict.regime],
            verdict,
            compared.get(verdict.regime),
            spent.tokens(verdict.regime, verdict.last),
            spent.times(verdict, against),
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


class _Spent:
    """Tokens trained on, by regime."""

    def __init__(self, trained: pl.DataFrame) -> None:
        self._trained = trained

    def tokens(self, regime: str, last: int) -> float | None:
        """Average over the chains whose every generation up to ``last`` is recorded."""
        own = self._trained.filter((pl.col("regime") == regime) & (pl.col("generation") <= last))
        chains = own.group_by("seed").agg(pl.len(), pl.col("tokens").sum())
        whole = chains.filter(pl.col("len") == last + 1)["tokens"].to_list()
        return float(np.mean(whole)) if whole else None

    def times(self, verdict: Verdict, against: Verdict) -> float | None:
        last = min(verdict.last, against.last)
        own, other = self.tokens(verdict.regime, last), self.tokens(against.regime, last)
        return own / other if own and other else None
