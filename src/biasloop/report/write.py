"""Write a report into a folder. The only part of the package with effects."""

from __future__ import annotations

from pathlib import Path

from biasloop.analysis import (
    evidence,
    followed_leaning,
    judge_run,
    missing_sets,
    outcomes,
    run_answer,
    summarise,
    tables_of,
    validity,
)
from biasloop.errors import InputError, StoreError
from biasloop.files import write_bytes, write_json, write_text
from biasloop.loop.results import Results
from biasloop.report.answer import shown
from biasloop.report.cautions import by_weight, cautions, unsubtracted
from biasloop.report.drawing import png
from biasloop.report.evidence import doubts
from biasloop.report.figures import figures
from biasloop.report.frontier import choices
from biasloop.report.instruments import require_leaning_card
from biasloop.report.machine import machine_summary
from biasloop.report.neurons import neurons_of
from biasloop.report.page import page


def write_report(results: Results, folder: Path) -> Path:
    """Analyse a run and write ``report.html``, ``figures/*.png`` and ``summary.json``.

    Each file appears whole or not at all; equal results give equal bytes. A part-finished run has a
    report too, which says what is missing. PNG files of figures that the run no longer has are
    removed from ``folder/figures``.

    Parameters
    ----------
    results
        The run.
    folder
        Where to; made if it is not there.

    Returns
    -------
    Path
        ``folder/report.html``: one file that opens offline.

    Raises
    ------
    InputError
        If nothing was scored yet, leaning was scored without its instrument's card, or
        ``report.leaning`` is not in the label set.
    StoreError
        If the folder cannot be written to.
    """
    if not (results.scores.height or results.leaning_scores.height):
        raise InputError(
            f"{results.folder}: nothing has been scored yet, so there is nothing to report; "
            "run 'biasloop run' on it first"
        )
    require_leaning_card(results)
    config = results.config
    leaning = followed_leaning(config, results.labels) if results.leaning_scores.height else None
    tables = tables_of(results)
    outcome = outcomes(tables)
    summary = summarise(tables, config.report.bootstrap, config.seed, outcome)
    checked = validity(tables)
    missing = missing_sets(results)
    found = judge_run(results, outcome)
    tested = evidence(results, leaning or "", found=outcome)
    warnings = by_weight(
        (
            *cautions(results, summary, checked, missing),
            *unsubtracted(results, found),
            *doubts(tested),
        )
    )
    regimes = run_answer(results, found, outcome)
    answer = shown(regimes, warnings, choices(results, regimes, outcome))
    drawn = figures(results, summary, leaning, found)
    units = neurons_of(results)
    pictures = {chart.stem: png(chart) for chart in drawn.all()}
    text = page(
        results,
        answer,
        summary,
        checked,
        found,
        leaning,
        warnings,
        drawn,
        tested,
        units,
        pictures,
    )
    machine = machine_summary(
        results,
        answer,
        summary,
        checked,
        missing,
        found,
        leaning,
        warnings,
        sorted(f"{stem}.png" for stem in pictures),
        tested,
        units,
    )
    target = folder / "report.html"
    try:
        for stem, content in pictures.items():
            write_bytes(folder / "figures" / f"{stem}.png", content)
        for path in sorted((folder / "figures").glob("*.png")):
            if path.stem not in pictures:
                path.unlink()
        write_json(folder / "summary.json", machine)
        write_text(target, text)
    except OSError as error:
        raise StoreError(
            f"{error.filename or folder}: the report cannot be written: {error.strerror}; the run "
            "itself is kept, and 'biasloop report' writes it again"
        ) from error
    return target
