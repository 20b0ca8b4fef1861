"""What a report is made of: everything that the analysis and the drawing made of one run."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from biasloop.analysis import (
    Evidence,
    Verdict,
    evidence,
    followed_leaning,
    judge_axes,
    missing_sets,
    outcomes,
    projected_updates,
    run_answer,
    selections,
    summarise,
    tables_of,
    validity,
)
from biasloop.errors import InputError
from biasloop.loop.results import Results
from biasloop.report.answer import Shown, shown
from biasloop.report.axes import AxisFindings, axis_findings, first_rows
from biasloop.report.cautions import Caution, cautions
from biasloop.report.figures import Figures, figures
from biasloop.report.frontier import choices
from biasloop.report.instruments import require_leaning_card
from biasloop.report.neurons import Neurons, neurons_of


@dataclass(frozen=True)
class Findings:
    """Everything that is shown of a run.

    Attributes
    ----------
    results
        The run.
    leaning
        The leaning that is followed; empty where leaning was not scored.
    answer
        The first screen's sentence and table.
    summary, checked, missing, verdicts, evidence, updates,
    selections
        What `analysis.summarise`, `validity`, `missing_sets`, `judge_run`, `evidence`,
        `projected_updates` and `selections` made of it.
    warnings, figures, neurons
        What to know before believing it, and what is drawn and found.
    axes
        The further axes.
    """

    results: Results
    leaning: str
    answer: Shown
    summary: pl.DataFrame
    checked: pl.DataFrame
    missing: pl.DataFrame
    verdicts: tuple[Verdict, ...]
    evidence: Evidence
    updates: pl.DataFrame
    selections: pl.DataFrame
    warnings: tuple[Caution, ...]
    figures: Figures
    neurons: Neurons | None
    axes: tuple[AxisFindings, ...] = ()


def findings(results: Results) -> Findings:
    """Analyse a run; a part-finished one has findings, too, which say what is missing.

    Raises
    ------
    InputError
        If nothing was scored yet, leaning was scored without its instrument's card, or
        ``report.leaning`` is not in the label set.
    """
    if not (results.scores.height or results.leaning_scores.height):
        raise InputError(
            f"{results.folder}: nothing has been scored yet, so there is nothing to report; "
            "run 'biasloop run' on it first"
        )
    require_leaning_card(results)
    config = results.config
    leaning = followed_leaning(config, results.labels) if results.leaning_scores.height else ""
    tables = {name: tables_of(own) for name, own in {"": results, **results.axes}.items()}
    read = {name: outcomes(own) for name, own in tables.items()}
    outcome = read[""]
    summary = summarise(tables[""], config.report.bootstrap, config.seed, outcome)
    checked, missing = validity(tables[""]), missing_sets(results)
    judged = judge_axes(results, read)
    verdicts = judged[""]
    tested = evidence(results, leaning, found=outcome)
    axes = axis_findings(results, tables, read, judged)
    warnings = cautions(results, summary, checked, missing, verdicts, tested)
    warnings += tuple(caution for axis in axes for caution in axis.cautions)
    regimes = run_answer(results, verdicts, outcome)
    asked = regimes.reference.verdict.regime if regimes.reference else ""
    return Findings(
        results,
        leaning,
        shown(regimes, warnings, choices(results, regimes, outcome), first_rows(axes, asked)),
        summary,
        checked,
        missing,
        verdicts,
        tested,
        projected_updates(results, leaning),
        selections(results),
        warnings,
        figures(results, summary, leaning, verdicts, axes),
        neurons_of(results),
        axes,
    )
