"""Write a reproduction into a folder. The only part of the package with effects."""

from __future__ import annotations

import base64
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from biasloop.errors import InputError
from biasloop.files import write_bytes, write_json, write_text
from biasloop.published import paper
from biasloop.published.figures import looks, pictures
from biasloop.published.reproduction import Reproduction, series
from biasloop.published.text import cells, heading, limits, sources
from biasloop.report import formatting as fmt
from biasloop.report.cells import regime_tables
from biasloop.report.statistics import tables_of_tests, verdict_tables
from biasloop.report.summary_json import strict, verdict_json
from biasloop.tables import write_table
from biasloop.untrusted import templates

_TESTS = ("trends", "contrasts", "comparisons", "correlations")


def write_reproduction(reproduction: Reproduction, folder: Path) -> Path:
    """Write ``reproduction.html``, ``figures/*.png``, ``table.csv``, ``summary.json`` and tables.

    ``scores.parquet``, ``leaning_scores.parquet``, ``associations.parquet`` and
    ``correlations.parquet`` are the released results as our tables. Each file appears whole or not
    at all; equal results give equal bytes.

    Returns
    -------
    Path
        ``folder/reproduction.html``: one file that opens offline, without scripts.

    Raises
    ------
    InputError
        If the folder cannot be written to.
    """
    experiment = reproduction.experiment
    drawn = pictures(reproduction)
    text = page(reproduction, drawn)
    target = folder / "reproduction.html"
    try:
        for name, (_, content) in drawn.items():
            write_bytes(folder / "figures" / name, content)
        write_table(folder / "scores.parquet", experiment.tables.scores)
        write_table(folder / "leaning_scores.parquet", experiment.tables.leaning_scores)
        write_table(folder / "associations.parquet", experiment.associations)
        write_table(folder / "correlations.parquet", experiment.correlations)
        write_text(folder / "table.csv", reproduction.recomputed.write_csv(float_precision=6))
        write_json(folder / "summary.json", machine(reproduction, sorted(drawn)))
        write_text(target, text)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written there: {error}") from error
    return target


def machine(reproduction: Reproduction, figures: list[str]) -> dict[str, Any]:
    """Collect everything for programs, as strict JSON values."""
    experiment, evidence = reproduction.experiment, reproduction.evidence
    neurons = reproduction.neurons
    return strict(
        {
            "sources": paper.SOURCES,
            "labels": experiment.tables.labels,
            "leaning": reproduction.leaning,
            "regimes": experiment.regimes,
            "files": experiment.files,
            "first": experiment.first,
            "absent": experiment.absent,
            "ignored": experiment.ignored,
            "notes": limits(reproduction),
            "series": series(reproduction),
            "recomputed": reproduction.recomputed.to_dicts(),
            "verdicts": [verdict_json(verdict) for verdict in reproduction.verdicts],
            "summary": reproduction.summary.to_dicts(),
            "tests": {
                **{name: getattr(evidence, name).to_dicts() for name in _TESTS},
            },
            "neurons": {
                "counts": [
                    {"quantity": quantity, "metric": metric, **asdict(count)}
                    for (quantity, metric), count in neurons.counts.items()
                ],
                "overlaps": [
                    {"quantity": quantity, "metrics": metrics, **asdict(met)}
                    for (quantity, *metrics), met in neurons.overlaps.items()
                ],
            },
            "figures": figures,
        }
    )


def page(reproduction: Reproduction, drawn: dict[str, tuple[str, bytes]]) -> str:
    """Render the HTML page: no script, no request, every name escaped."""
    from markupsafe import Markup

    environment = templates("biasloop.published")
    experiment = reproduction.experiment
    regimes = list(experiment.regimes)
    labels = experiment.tables.labels
    style = resources.files("biasloop.report") / "templates" / "report.css"
    return environment.get_template("reproduction.html").render(
        style=Markup(style.read_text(encoding="utf-8").strip()),  # noqa: S704 - our own file
        sources=sources(reproduction),
        heading=heading(reproduction),
        verdicts=verdict_tables(
            reproduction.verdicts,
            reproduction.evidence,
            {regime: look.colour for regime, look in looks(reproduction).items()},
        ),
        limits=limits(reproduction),
        absent=[fmt.visible(name) for name in experiment.absent],
        rows=cells(reproduction),
        pictures=[
            (name, caption, base64.b64encode(content).decode("ascii"))
            for name, (caption, content) in drawn.items()
        ],
        tests=tables_of_tests(reproduction.evidence, regimes, labels, reproduction.leaning),
        tables=regime_tables(reproduction.summary, regimes, labels),
        resamples=f"{reproduction.settings.bootstrap:,}",
    )
