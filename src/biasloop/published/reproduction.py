"""The analysis of a run's report, on released results. Writes nothing and computes no statistic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from biasloop.analysis import Evidence, Verdict, judge, outcomes, summarise, tables_evidence
from biasloop.config import ReportConfig
from biasloop.errors import InputError, nearest
from biasloop.published import paper
from biasloop.published.experiment import Experiment
from biasloop.published.neuron_tables import NeuronFindings, findings
from biasloop.published.recomputed import recomputed
from biasloop.tables import BASE

#: Resamples are drawn from this seed.
SEED = 0


@dataclass(frozen=True)
class Reproduction:
    """What the released results show.

    Attributes
    ----------
    experiment
        The results.
    leaning
        The leaning that verdicts follow; empty where no file has any.
    settings
        How many resamples, and the margin of equivalence.
    summary, evidence, verdicts
        What `analysis` makes of them, exactly as of a run.
    neurons
        The neuron tables, corrected.
    recomputed
        `recomputed.RECOMPUTED`: reference, recomputed, and what the statistics add.
    """

    experiment: Experiment
    leaning: str
    settings: ReportConfig
    summary: pl.DataFrame
    evidence: Evidence
    verdicts: tuple[Verdict, ...]
    neurons: NeuronFindings
    recomputed: pl.DataFrame


def reproduce(experiment: Experiment, leaning: str | None = None) -> Reproduction:
    """Analyse released results as a run is analysed.

    Parameters
    ----------
    experiment
        What `read_published` returned.
    leaning
        The leaning to follow; None takes the last label, which in the paper is right.

    Raises
    ------
    InputError
        If the leaning is none of the labels.
    """
    labels = experiment.tables.labels
    if leaning is not None and leaning not in labels:
        where = nearest(leaning, labels) if labels else "no file has leaning scores"
        raise InputError(f"--leaning: '{leaning}' is not among the labels: {where}")
    followed = leaning or (labels[-1] if labels else "")
    settings = ReportConfig()
    tables, regimes = experiment.tables, experiment.regimes
    found = outcomes(tables)
    summary = summarise(tables, settings.bootstrap, SEED, found)
    tested = tables_evidence(tables, followed, regimes, settings, SEED, found=found)
    neurons = findings(experiment.associations)
    # Only these are known to have as many real articles of each leaning; the authors' center-only
    # chains have not.
    evenly = [regime for regime in regimes if regime in paper.REGIMES]
    others = [regime for regime in regimes if regime not in paper.REGIMES]
    unknown = replace(found, real_shares={})
    return Reproduction(
        experiment=experiment,
        leaning=followed,
        settings=settings,
        summary=summary,
        evidence=tested,
        verdicts=(
            *judge(found, followed, evenly, settings, seed=SEED),
            *judge(unknown, followed, others, settings, seed=SEED),
        ),
        neurons=neurons,
        recomputed=recomputed(experiment, summary, tested, neurons),
    )


def series(reproduction: Reproduction) -> dict[str, Any]:
    """Give each regime's figures by generation.

    Returns
    -------
    dict
        ``{"shares": {regime: {leaning: [in %]}}, "quality": {regime: [...]}, "perplexity":
        {regime: [...]}}``; a list's place is the generation, from 0 on, None where it has no
        figure. The base model is no regime.
    """
    experiment = reproduction.experiment
    regimes = experiment.regimes
    pooled = reproduction.summary.filter(
        pl.col("seed").is_null() & (pl.col("regime") != BASE) & (pl.col("generation") >= 0)
    )

    def of(regime: str, quantity: str, scale: float = 1.0) -> list[float | None]:
        rows = pooled.filter((pl.col("regime") == regime) & (pl.col("quantity") == quantity))
        found = dict(rows.select("generation", "value").iter_rows())
        values = [found.get(g) for g in range(max(found, default=-1) + 1)]
        return [None if value is None else scale * value for value in values]

    shares = {
        regime: {label: of(regime, f"share:{label}", 100) for label in experiment.tables.labels}
        for regime in regimes
    }
    return {
        "shares": {regime: found for regime, found in shares.items() if any(found.values())},
        **{
            metric: {regime: found for regime in regimes if (found := of(regime, metric))}
            for metric in ("quality", "perplexity")
        },
    }
