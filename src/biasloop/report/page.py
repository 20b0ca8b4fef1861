"""The HTML page: one file, no request to anywhere.

All text goes through jinja2 with autoescape on. The page's own scripts are named by hash in its
content security policy, so that no other script could run even if one got in.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml

from biasloop.analysis import sources_apart, tables_of
from biasloop.config import TrainingConfig
from biasloop.loop.results import Results
from biasloop.report import formatting as fmt
from biasloop.report.answer import QUESTION
from biasloop.report.axes import section
from biasloop.report.cautions import real_shares
from biasloop.report.cells import regime_tables, selection_tables
from biasloop.report.charts import BASE_LOOK, REAL_LOOK, Chart, Look, escape
from biasloop.report.drawing import plotly_figure
from biasloop.report.examples import examples
from biasloop.report.figures import Figures, looks
from biasloop.report.findings import Findings
from biasloop.report.instruments import instrument
from biasloop.report.neurons import data_uri
from biasloop.report.statistics import tables_of_tests, update_tables, verdict_tables
from biasloop.report.summary_json import stage_totals, strict
from biasloop.report.verdicts import collapse_measures
from biasloop.untrusted import content_policy, script_json, templates

#: Skipped rows that the page lists; the rest are counted.
_LISTED_ROWS = 200


def page(found: Findings, pictures: Mapping[str, bytes]) -> str:
    """Render the report.

    Parameters
    ----------
    found
        What to show.
    pictures
        A figure's stem -> its PNG; the main ones are shown where there is no JavaScript.

    Returns
    -------
    str
        A whole HTML document; equal input gives equal text.
    """
    from markupsafe import Markup

    environment = templates("biasloop.report")
    environment.filters |= {
        "name": fmt.name,
        "number": fmt.number,
        "percent": fmt.percent,
        "duration": fmt.duration,
        "key": escape,
    }
    trusted = _trusted(found.figures)
    return environment.get_template("report.html").render(
        **{name: Markup(text) for name, text in trusted.items()},  # noqa: S704
        stills=[
            (data_uri(pictures[chart.stem]), chart.title)
            for chart in found.figures.main
            if chart.stem in pictures
        ],
        policy=content_policy(trusted["plotly"], trusted["script"]),
        zip=zip,
        **_contents(found),
    )


def _trusted(figures: Figures) -> dict[str, str]:
    """Our own style and scripts, and the figures as JSON that cannot end its script element."""
    from plotly.offline import get_plotlyjs

    folder = resources.files("biasloop.report") / "templates"
    large = {chart.stem for chart in figures.main}
    small = {chart.stem for chart in figures.calibration.values()}
    drawn = {}
    for chart in figures.all():
        tall = chart.stem in large or not (isinstance(chart, Chart) or chart.stem in small)
        drawn[chart.stem] = plotly_figure(chart, tall)
    return {
        "plotly": get_plotlyjs().replace("\r\n", "\n").strip(),
        "script": (folder / "report.js").read_text(encoding="utf-8").strip(),
        "style": (folder / "report.css").read_text(encoding="utf-8").strip(),
        "figure_data": script_json(drawn),
    }


def _contents(found: Findings) -> dict[str, Any]:
    results, summary, leaning, figures = found.results, found.summary, found.leaning, found.figures
    config = results.config
    colours = {regime: look.colour for regime, look in looks(results).items()}
    regimes, labels = list(colours), results.labels
    over = "regimes and axes" if found.axes else "regimes"
    return {
        "name": fmt.name(config.name),
        "question": QUESTION,
        "answer": found.answer,
        "colours": {fmt.name(regime): colour for regime, colour in colours.items()},
        "facts": _facts(results),
        "verdicts": verdict_tables(found.verdicts, found.evidence, colours, over),
        "selections": selection_tables(found.selections, results.detectors, leaning, labels),
        "signs": collapse_measures(),
        "warnings": found.warnings,
        "figures": figures,
        "legend": _legend(results, figures),
        "leaning": fmt.name(leaning) if leaning else None,
        "tables": regime_tables(summary, regimes, labels) + update_tables(found.updates, leaning),
        "tests": tables_of_tests(found.evidence, regimes, labels, leaning),
        "neurons": found.neurons,
        "over": over,
        "axes": [section(axis, colours, over) for axis in found.axes],
        "margin": fmt.short(100 * config.report.equivalence_margin),
        "examples": examples(results, found.checked),
        "instruments": [
            *(
                (instrument(card), figures.calibration.get(card["metric"]))
                for card in results.cards
            ),
            *(
                (instrument({**card, "metric": f"axis {axis.name}"}), None)
                for axis in found.axes
                for card in axis.results.cards
            ),
        ],
        "real_shares": real_shares(results, summary) if leaning else (),
        "unit": f"{config.report.cluster}s",
        "units": sources_apart(tables_of(results), results.real["article_id"].to_list()),
        "several_seeds": len(config.loop.seeds) > 1,
        "resamples": f"{config.report.bootstrap:,}",
        "outside_share": fmt.percent(config.report.outside_share, 0),
        **_provenance(results),
    }


def _facts(results: Results) -> list[tuple[str, str]]:
    config = results.config
    seeds = len(config.loop.seeds)
    facts = [
        ("corpus", str(results.corpus.get("name", ""))),
        ("base model", config.base.model),
        ("training", _training(config.training)),
        ("real articles", f"{results.real.height:,}"),
        ("generations", f"0 to {config.loop.generations}"),
        ("chains per regime", str(seeds)),
    ]
    return [(key, value) for key, value in facts if value]


def _training(training: TrainingConfig) -> str:
    """Say what of the training is not the default."""
    known = {"full": "", "lora": f"LoRA of rank {training.lora.rank}"}
    method = known.get(training.method, f"method {training.method}")
    chat = "through the chat template" if training.text == "chat" else ""
    return ", ".join(filter(None, (method, chat)))


def _legend(results: Results, figures: Figures) -> dict[str, Look]:
    """Give the look of every line of the figures over generations, by its name."""
    shown = {line.name for c in figures.all() if isinstance(c, Chart) for line in c.series}
    levels = {level.name for c in figures.all() if isinstance(c, Chart) for level in c.references}
    named = {fmt.name(regime): look for regime, look in looks(results).items()}
    found = {name: look for name, look in named.items() if name in shown}
    ends = {"real articles": REAL_LOOK, "base model": BASE_LOOK}
    return found | {name: look for name, look in ends.items() if name in levels}


def _ends(results: Results) -> dict[str, str]:
    ends = results.decoding.get("ends")
    return {"a text ends at": " or ".join(ends)} if ends else {}


def _provenance(results: Results) -> dict[str, Any]:
    stages, config = results.stages, results.config.model_dump(mode="json")
    return {
        "corpus": results.corpus,
        "labels": results.labels,
        "config": yaml.safe_dump(strict(config), sort_keys=False, allow_unicode=True),
        "provenance": sorted((results.provenance | _ends(results)).items()),
        "stage_totals": stage_totals(stages),
        "all_seconds": float(stages["seconds"].sum()),
        "stages": stages.sort(["seconds", "name"], descending=[True, False]).to_dicts(),
        "bad_rows": results.bad_rows.head(_LISTED_ROWS).to_dicts(),
        "bad_row_count": results.bad_rows.height,
    }
