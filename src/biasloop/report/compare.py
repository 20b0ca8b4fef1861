"""Several runs in one table and one figure: other models, decodings or corpora."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import chain
from typing import Any

import polars as pl

from biasloop.analysis import (
    followed_leaning,
    judge_run,
    outcomes,
    run_answer,
    summarise,
    tables_of,
)
from biasloop.errors import InputError
from biasloop.loop.results import Results
from biasloop.loop.run import flat
from biasloop.report import formatting as fmt
from biasloop.report.answer import Entry, shown
from biasloop.report.charts import Chart, look, share_chart
from biasloop.report.drawing import png
from biasloop.tables import BASE, REAL
from biasloop.untrusted import templates

#: Settings that say where something lies or how the report is written, not what was run.
_ASIDE = ("name", "report", "executor")


@dataclass(frozen=True)
class Comparison:
    """What a page or a terminal shows of several runs.

    Attributes
    ----------
    columns, rows
        Run and regime, then the columns of a report's first screen.
    differences
        Dotted key -> its value in each run, in their order; of the settings that are not the same.
    chart
        The followed leaning's share by generation, a line per run and regime; None where the runs
        follow different leanings or have different labels.
    note
        Why there is no chart; empty where there is.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    differences: dict[str, tuple[str, ...]]
    chart: Chart | None
    note: str


def compare(runs: Mapping[str, Results]) -> Comparison:
    """Put runs beside each other.

    Parameters
    ----------
    runs
        Name -> what it has, in the order to show. Names are those of folders.

    Raises
    ------
    InputError
        If there are fewer than two, or one has no leaning scores.
    """
    if len(runs) < 2:
        raise InputError("give two runs or more to compare")
    rows: list[tuple[Entry, ...]] = []
    columns: tuple[str, ...] = ()
    summaries, followed = [], []
    for name, results in runs.items():
        if not results.leaning_scores.height:
            raise InputError(f"{results.folder}: leaning has not been scored in it yet")
        found = outcomes(tables_of(results))
        own = shown(run_answer(results, judge_run(results, found), found))
        columns = ("Run", *(column.split(" (+")[0] for column in own.columns))
        rows += [(Entry(fmt.name(name)), *row) for row in own.rows]
        followed.append((results.labels, followed_leaning(results.config, results.labels)))
        report = results.config.report
        summary = summarise(results, report.bootstrap, results.config.seed, found)
        summaries.append(_named(summary, name))
    alike = len(set(followed)) == 1
    leaning = followed[0][1]
    note = "" if alike else "no figure: the runs follow different leanings or have different labels"
    return Comparison(
        columns,
        tuple(rows),
        _differences([results.config.model_dump(mode="json") for results in runs.values()]),
        _chart(pl.concat(summaries), leaning) if alike else None,
        note,
    )


def _named(summary: pl.DataFrame, run: str) -> pl.DataFrame:
    generated = summary.filter(~pl.col("regime").is_in([REAL, BASE]))
    return generated.with_columns(
        (pl.lit(fmt.name(run, 24) + ": ") + pl.col("regime")).alias("regime")
    )


def _chart(summary: pl.DataFrame, leaning: str) -> Chart | None:
    lines = summary["regime"].unique(maintain_order=True).to_list()
    looks = {name: look(place) for place, name in enumerate(lines)}
    caption = (
        "Share of each generation's articles whose likeliest leaning this is, as each run's "
        "classifier reads them, nothing subtracted."
    )
    return share_chart(summary, leaning, looks, "compared", caption, references=())


def _differences(configs: Sequence[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    every = [flat({k: v for k, v in config.items() if k not in _ASIDE}) for config in configs]
    keys = dict.fromkeys(chain.from_iterable(every))
    values = {
        key: tuple(fmt.visible(str(one.get(key, "–")))[:120] for one in every) for key in keys
    }
    return {key: found for key, found in values.items() if len(set(found)) > 1}


def comparison_page(comparison: Comparison, names: Sequence[str]) -> str:
    """Render the page: no script, no request, every name escaped; equal input, equal text."""
    from markupsafe import Markup

    environment = templates("biasloop.report")
    style = resources.files("biasloop.report") / "templates" / "report.css"
    chart = comparison.chart
    return environment.get_template("compare.html").render(
        style=Markup(style.read_text(encoding="utf-8").strip()),  # noqa: S704 - our own file
        names=[fmt.name(name) for name in names],
        comparison=comparison,
        picture=base64.b64encode(png(chart)).decode("ascii") if chart else "",
    )
