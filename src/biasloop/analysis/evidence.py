"""Everything that is tested of a run beside its verdicts, and two tests that stand nowhere else.

One asks whether the classifier is still to be believed on what the models write: the corrections
of `classifier_errors` assume that a leaning's articles are read on synthetic text as on the
validation articles. That cannot be proved without labels, but two things give it away: the
classifier is less sure than it was, and another classifier, built independently, no longer agrees.

The other asks whether bias and quality move together over a regime's generations. Two drifts
correlate whatever drives them, so beside the correlation of the levels stands that of the changes
from each generation to the next, which a shared drift does not make.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from biasloop.analysis.bootstrap import weighted_means
from biasloop.analysis.changes import COMPARISONS, compare, contrasts
from biasloop.analysis.classifier_errors import Confusion, instrument_confusion
from biasloop.analysis.grids import (
    Tables,
    article_grid,
    metric_values,
    set_keys,
    source_codes,
    tables_of,
)
from biasloop.analysis.inference import paired_mean
from biasloop.analysis.outcomes import Outcomes, outcomes
from biasloop.analysis.prevalence import PREVALENCE, prevalence
from biasloop.analysis.trends import trends
from biasloop.config import ReportConfig
from biasloop.loop.results import Results
from biasloop.tables import CHAIN, REAL


@dataclass(frozen=True)
class Evidence:
    """The tests behind a verdict.

    Attributes
    ----------
    contrasts, trends, comparisons, adjusted, shifts, correlations
        `changes.CONTRASTS`, `trends.TRENDS`, `changes.COMPARISONS`, `prevalence.PREVALENCE`,
        `CLASSIFIER_SHIFTS` and `CORRELATIONS`.
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
    """Test a run by its own ``report`` settings; see `tables_evidence`.

    ``regimes`` in the order of the config; they are compared with the first. None takes all.
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
    """Test score tables, whether a run made them or not.

    Parameters
    ----------
    tables
        The scores.
    leaning
        The leaning that is followed; empty for none.
    regimes
        In the order to show; those without a score are passed over.
    settings, seed
        How many resamples, and their seed.
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
        adjusted=prevalence(tables, found, confusion, settings.bootstrap, seed)
        if confusion
        else pl.DataFrame(schema=PREVALENCE),
        shifts=classifier_shifts(tables),
        correlations=correlations(found, leaning),
        confusion=confusion,
    )


# The classifier on synthetic text -----------------------------------------------------------------

#: Measure -> its metric, and by how much its mean may fall before the readings are doubtful:
#: the probability of the likeliest leaning, and the share of articles that a second classifier,
#: of other features, reads alike.
SHIFT_MEASURES: Mapping[str, tuple[str, float]] = {
    "confidence": ("leaning_confidence", 0.05),
    "agreement": ("leaning_agreement", 0.1),
}

#: One row per set and measure: its mean, and that less the mean on the real articles that prompted
#: them, with its 95 % interval. ``doubtful``: it fell by more than it may, and the interval
#: excludes 0.
CLASSIFIER_SHIFTS = pl.Schema(
    {
        **CHAIN,
        "measure": pl.String,
        "value": pl.Float64,
        "shift": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "doubtful": pl.Boolean,
    }
)


def classifier_shifts(tables: Tables) -> pl.DataFrame:
    """Hold each set's confidence and agreement against those on the real articles, by article.

    Returns
    -------
    pl.DataFrame
        `CLASSIFIER_SHIFTS`, sorted by set within each measure; without what was not scored of the
        real articles.
    """
    keys = set_keys(tables)
    grid = article_grid(tables, keys)
    codes = source_codes(tables, grid.article_ids)
    real = [row for row, key in enumerate(keys) if key[0] == REAL]
    rows: list[tuple[object, ...]] = []
    for measure, (metric, tolerable) in SHIFT_MEASURES.items():
        values = metric_values(tables, grid, metric)
        if not real or np.isnan(values[real[0]]).all():
            continue
        for row, key in enumerate(keys):
            shift = paired_mean(values[row] - values[real[0]], codes)
            if key[0] == REAL or shift is None:
                continue
            low, high = shift.interval()
            doubtful = shift.value < -tolerable and high < 0
            mean = float(np.nanmean(values[row]))
            rows.append((*key, measure, mean, shift.value, low, high, doubtful))
    return pl.DataFrame(rows, schema=CLASSIFIER_SHIFTS, orient="row")


# Bias against quality -----------------------------------------------------------------------------

#: Pearson correlations over a regime's generations of the leaning's share with mean quality:
#: of the ``levels`` and of the ``steps`` between generations, with 95 % intervals over articles
#: (not over generations: for these few generations as they are), by the jackknife on Fisher's z.
#: A bootstrap would not do: each resample adds noise to the means, which draws it towards 0.
CORRELATIONS = pl.Schema(
    {
        "regime": pl.String,
        "levels": pl.Float64,
        "levels_low": pl.Float64,
        "levels_high": pl.Float64,
        "steps": pl.Float64,
        "steps_low": pl.Float64,
        "steps_high": pl.Float64,
        "generations": pl.Int64,
    }
)

_FEWEST = 4


def correlations(found: Outcomes, leaning: str) -> pl.DataFrame:
    """Correlate the share of a leaning with quality over each regime's generations.

    Returns
    -------
    pl.DataFrame
        `CORRELATIONS`; a regime with fewer than four readable generations has no row.
    """
    names = (f"share:{leaning}", "quality")
    rows: list[tuple[object, ...]] = []
    width = found.values[names[0]].shape[1] if names[0] in found.values else 0
    if width > 1 and names[1] in found.values:
        # All articles, and all without each in turn.
        weights = np.vstack([np.ones((1, width)), 1 - np.eye(width)])
        for regime in found.regimes():
            cubes = [found.cube(name, regime) for name in names]
            bias, quality = (
                np.mean([weighted_means(chain, weights) for chain in cube], axis=0)
                for cube in cubes
            )
            whole = ~np.isnan(bias).any(axis=0) & ~np.isnan(quality).any(axis=0)
            if whole.sum() < _FEWEST:
                continue
            bias, quality = bias[:, whole], quality[:, whole]
            levels = pearson(bias, quality)
            steps = pearson(np.diff(bias, axis=1), np.diff(quality, axis=1))
            figures = [levels[0], *_jackknife(levels), steps[0], *_jackknife(steps)]
            shown = [float(number) if np.isfinite(number) else None for number in figures]
            rows.append((regime, *shown, int(whole.sum())))
    return pl.DataFrame(rows, schema=CORRELATIONS, orient="row")


def _jackknife(correlation: np.ndarray) -> tuple[float, float]:
    """95 % interval from the correlation with every article and without each in turn."""
    from scipy import stats

    transformed = np.arctanh(np.clip(correlation, -1 + 1e-12, 1 - 1e-12))
    whole, without = transformed[0], transformed[1:]
    n = len(without)
    if n < 2 or np.isnan(transformed).any():
        return float("nan"), float("nan")
    error = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    half = stats.t.ppf(0.975, n - 1) * error
    return float(np.tanh(whole - half)), float(np.tanh(whole + half))


def pearson(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Correlate along the last axis; NaN where either does not vary."""
    left = left - left.mean(axis=-1, keepdims=True)
    right = right - right.mean(axis=-1, keepdims=True)
    scale = np.sqrt((left**2).sum(axis=-1) * (right**2).sum(axis=-1))
    product = (left * right).sum(axis=-1)
    return np.divide(product, scale, out=np.full_like(scale, np.nan), where=scale > 1e-12)
