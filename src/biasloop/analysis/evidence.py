"""Everything that is tested of a run, in one place. Computes nothing of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from biasloop.analysis.adjusted import ADJUSTED, Confusion, adjusted, instrument_confusion
from biasloop.analysis.apart import correlations
from biasloop.analysis.comparison import COMPARISONS, compare
from biasloop.analysis.contrasts import contrasts
from biasloop.analysis.doubt import classifier_shifts
from biasloop.analysis.outcomes import Outcomes, outcomes
from biasloop.analysis.tables import Tables, tables_of
from biasloop.analysis.trends import trends
from biasloop.config import ReportConfig
from biasloop.loop.results import Results


@dataclass(frozen=True)
class Evidence:
    """The tests behind a verdict.

    Attributes
    ----------
    contrasts, trends, comparisons, adjusted, shifts, correlations
        `contrasts.CONTRASTS`, `trends.TRENDS`, `comparison.COMPARISONS`, `adjusted.ADJUSTED`,
        `doubt.SHIFTS` and `apart.CORRELATIONS`.
    confusion
        What the adjusted shares rest on; None where the instrument has no confusion counts.
    """

    contrasts: pl.DataFrame
    trends: pl.DataFrame
    comparisons: pl.DataFrame
    adjusted: pl.DataFrame
    shifts: pl.DataFrame
    correlations: pl.DataFrame
    confusion: Confusion | None


def evidence(
    results: Results,
    leaning: str,
    regimes: Sequence[str] | None = None,
    found: Outcomes | None = None,
) -> Evidence:
    """Test a run.

    Parameters
    ----------
    results
        The run; its ``report`` settings say how many resamples and the margin of equivalence.
    leaning
        The leaning that is followed; empty for none.
    regimes
        In the order of the config; regimes are compared with the first. None takes the config's.
    found
        The run's outcomes, where they are at hand.

    Raises
    ------
    InputError
        If the tables contradict themselves; see `summarise`.
    """
    config = results.config
    order = [regime.label for regime in config.regimes] if regimes is None else list(regimes)
    return tables_evidence(
        tables_of(results), leaning, order, config.report, config.seed, results.cards, found
    )


def tables_evidence(
    tables: Tables,
    leaning: str,
    regimes: Sequence[str],
    settings: ReportConfig,
    seed: int = 0,
    cards: Sequence[Mapping[str, Any]] = (),
    found: Outcomes | None = None,
) -> Evidence:
    """Test score tables, whether a run made them or not; see `evidence`.

    Parameters
    ----------
    tables
        The scores.
    leaning, regimes
        As in `evidence`; regimes without a score are passed over.
    settings
        How many resamples, and the margin of equivalence.
    seed
        Of the resamples.
    cards
        The instruments' cards; without a leaning card with confusion counts no share is corrected.
    found
        The tables' outcomes, where they are at hand.

    Raises
    ------
    InputError
        If the tables contradict themselves; see `summarise`.
    """
    found = found or outcomes(tables)
    order = [regime for regime in regimes if regime in found.regimes()]
    confusion = instrument_confusion(cards, tables.labels)
    return Evidence(
        contrasts=contrasts(found),
        trends=trends(found),
        comparisons=compare(found, leaning, order, order[0])
        if order
        else pl.DataFrame(schema=COMPARISONS),
        adjusted=adjusted(tables, found, confusion, settings.bootstrap, seed)
        if confusion
        else pl.DataFrame(schema=ADJUSTED),
        shifts=classifier_shifts(tables),
        correlations=correlations(found, leaning),
        confusion=confusion,
    )
