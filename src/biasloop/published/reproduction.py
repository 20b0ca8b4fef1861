"""The analysis of a run's report, on released results, and each figure beside its reference.

Writes nothing and computes no statistic of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from biasloop.analysis import Evidence, Verdict, judge, outcomes, summarise, tables_evidence
from biasloop.config import ReportConfig
from biasloop.errors import InputError, nearest
from biasloop.published import paper
from biasloop.published.experiment import Experiment
from biasloop.published.neuron_tables import NeuronFindings, findings
from biasloop.report import formatting as fmt
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
        `RECOMPUTED`: reference, recomputed, and what the statistics add.
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
    verdicts = (
        *judge(found, followed, evenly, settings, seed=SEED),
        *judge(unknown, followed, others, settings, seed=SEED),
    )
    beside = _recomputed(experiment, summary, tested, neurons)
    return Reproduction(experiment, followed, settings, summary, tested, verdicts, neurons, beside)


def series(reproduction: Reproduction) -> dict[str, Any]:
    """Give each regime's figures by generation.

    Returns
    -------
    dict
        ``{"shares": {regime: {leaning: [in %]}}, "quality": {regime: [...]}, "perplexity":
        {regime: [...]}}``; a list's place is the generation, from 0 on, None where it has no
        figure. The base model is no regime.
    """
    regimes = reproduction.experiment.regimes
    labels = reproduction.experiment.tables.labels
    pooled = reproduction.summary.filter(pl.col("seed").is_null() & (pl.col("generation") >= 0))

    def of(regime: str, quantity: str, scale: float = 1.0) -> list[float | None]:
        rows = pooled.filter(regime=regime, quantity=quantity)
        found = dict(rows.select("generation", "value").iter_rows())
        values = [found.get(g) for g in range(max(found, default=-1) + 1)]
        return [None if value is None else scale * value for value in values]

    shares = {
        regime: {label: of(regime, f"share:{label}", 100) for label in labels} for regime in regimes
    }
    return {
        "shares": {regime: found for regime, found in shares.items() if any(found.values())},
        **{
            metric: {regime: found for regime in regimes if (found := of(regime, metric))}
            for metric in _TEXT
        },
    }


#: Shares and their changes are in % and points. ``reference``, its ``source`` (a key of
#: `paper.SOURCES`) and ``difference`` (recomputed less reference) are null where there is none;
#: ``recomputed`` is null where something is printed that the files cannot give. ``low`` and
#: ``high`` end the 95 % interval of ``recomputed``; ``change`` is since Generation 0, paired by
#: article, with its interval, and ``holm`` its p-value after Holm's correction. ``adds`` says the
#: same in words.
RECOMPUTED = pl.Schema(
    {
        "quantity": pl.String,
        "regime": pl.String,
        "generation": pl.Int64,
        "reference": pl.Float64,
        "source": pl.String,
        "recomputed": pl.Float64,
        "difference": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "change": pl.Float64,
        "change_low": pl.Float64,
        "change_high": pl.Float64,
        "holm": pl.Float64,
        "adds": pl.String,
    }
)

_TEXT = ("quality", "perplexity")
#: Decimals of a quantity; of others none.
_DIGITS = {"share": 1, "quality": 3, "perplexity": 2, "classifier": 4}
#: The quantity that the paper's counts of neurons are of.
_WEIGHT = "weight_mean"
#: Quantity, regime and generation.
_Key = tuple[str, str, int]


def digits(quantity: str) -> int:
    """Say how many decimals a quantity's figures are written with."""
    return _DIGITS.get(quantity.partition(":")[0], 0)


def _recomputed(
    experiment: Experiment, summary: pl.DataFrame, evidence: Evidence, neurons: NeuronFindings
) -> pl.DataFrame:
    """Lay out every share, quality, perplexity and count of neurons that there is.

    Returns
    -------
    pl.DataFrame
        `RECOMPUTED`: by quantity, then regime, then generation; the base model first. The
        references stand in it where the experiment's labels are the paper's.
    """
    references = {
        (figure.quantity, figure.regime, figure.generation): figure
        for figure in paper.REFERENCES
        if experiment.is_papers
    }
    figures = _by_key(summary.filter(pl.col("seed").is_null()))
    changes = _by_key(evidence.contrasts.filter(against="generation 0"))
    rows = []
    for quantity in (*(f"share:{label}" for label in experiment.tables.labels), *_TEXT):
        for regime in (BASE, *experiment.regimes):
            for key in sorted(key for key in figures if key[:2] == (quantity, regime)):
                rows.append(_figure(key, figures[key], changes.get(key, {}), references.get(key)))
    for (quantity, metric), count in neurons.counts.items():
        told = (
            f"{fmt.number(count.by_chance, 0)} expected by chance alone; "
            f"{count.benjamini_hochberg:,} after Benjamini-Hochberg, {count.bonferroni:,} after "
            f"Bonferroni, of {count.tests:,}"
        )
        rows.append(_count(quantity, metric, count.raw, told, references))
    for (quantity, first, second), met in neurons.overlaps.items():
        told = (
            f"{fmt.number(met.expected, 1)} expected if independent; hypergeometric "
            f"{fmt.pvalue(met.more)} of at least so many"
        )
        rows.append(_count(quantity, f"{first} and {second}", met.both, told, references))
    if any(row["reference"] is not None for row in rows):
        met = {(row["quantity"], row["regime"], row["generation"]) for row in rows}
        rows += [
            _row(key, figure, None, "the files here do not give it")
            for key, figure in references.items()
            if figure.source == "printed" and key not in met
        ]
    return pl.DataFrame(rows, schema=RECOMPUTED, orient="row")


def _by_key(rows: pl.DataFrame) -> dict[_Key, dict[str, Any]]:
    return {
        (row["quantity"], row["regime"], row["generation"]): row
        for row in rows.iter_rows(named=True)
    }


def _row(
    key: _Key, reference: paper.Reference | None, value: float | None, adds: str
) -> dict[str, Any]:
    known = None if reference is None else reference.value
    return dict.fromkeys(RECOMPUTED) | {
        **dict(zip(("quantity", "regime", "generation"), key, strict=True)),
        "reference": known,
        "source": None if reference is None else reference.source,
        "recomputed": value,
        "difference": None if known is None or value is None else value - known,
        "adds": adds,
    }


def _figure(
    key: _Key,
    figure: Mapping[str, Any],
    change: Mapping[str, Any],
    reference: paper.Reference | None,
) -> dict[str, Any]:
    scale, decimals = 100.0 if key[0].startswith("share:") else 1.0, digits(key[0])

    def scaled(row: Mapping[str, Any], name: str) -> float | None:
        return None if row.get(name) is None else scale * row[name]

    own = {name: scaled(figure, name) for name in ("low", "high")}
    moved, low, high = (scaled(change, name) for name in ("value", "low", "high"))
    parts = []
    if own["low"] is not None:
        parts.append(fmt.between(own["low"], own["high"], decimals))
    if moved is not None:
        inside = fmt.between(low, high, decimals, sign=True)
        told = f"{fmt.signed(moved, decimals)} since Generation 0 ({inside})"
        parts.append(f"{told}, {fmt.pvalue(change['holm'])} after Holm")
    own |= {"change": moved, "change_low": low, "change_high": high, "holm": change.get("holm")}
    return _row(key, reference, scaled(figure, "value"), "; ".join(parts)) | own


def _count(
    quantity: str,
    metric: str,
    found: int,
    told: str,
    references: Mapping[_Key, paper.Reference],
) -> dict[str, Any]:
    shown = f"neurons:{metric}"
    if quantity != _WEIGHT:
        return _row((f"neurons, {quantity}:{metric}", "", -1), None, float(found), told)
    return _row((shown, "", -1), references.get((shown, "", -1)), float(found), told)
