"""Which figures a report has, and in which section."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from biasloop import quantities
from biasloop.analysis import Verdict
from biasloop.loop.results import Results
from biasloop.report import formatting as fmt
from biasloop.report.axes import AxisFindings
from biasloop.report.charts import (
    BASE_LOOK,
    Chart,
    Drawing,
    Look,
    Reference,
    calibration_chart,
    look,
    path_chart,
    quantity_chart,
    share_chart,
)
from biasloop.report.verdicts import worst_of
from biasloop.tables import BASE, REAL

#: More leanings than this have their figures in the tables only.
MOST_LEANINGS = 9


@dataclass(frozen=True)
class Section:
    """Figures that stand together under one heading; ``columns`` side by side on a wide screen.

    ``line`` says what is in it where it is folded, ``text`` what to know when it is open.
    """

    anchor: str
    title: str
    line: str
    text: str
    charts: tuple[Chart | Drawing, ...]
    columns: int


@dataclass(frozen=True)
class Figures:
    """Every figure of a report: the first screen's, the sections', the instruments'."""

    main: tuple[Chart, ...]
    sections: tuple[Section, ...]
    calibration: Mapping[str, Drawing]

    def all(self) -> tuple[Chart | Drawing, ...]:
        """Every chart once, in the order of the page."""
        inside = [chart for section in self.sections for chart in section.charts]
        return (*self.main, *inside, *self.calibration.values())


def looks(results: Results) -> dict[str, Look]:
    """Give every regime of the config its look, in the config's order."""
    return {regime.label: look(i) for i, regime in enumerate(results.config.regimes)}


def figures(
    results: Results,
    summary: pl.DataFrame,
    leaning: str,
    verdicts: Sequence[Verdict] = (),
    axes: Sequence[AxisFindings] = (),
) -> Figures:
    """Choose every figure that has something to show.

    Parameters
    ----------
    results, summary
        The run, and what `analysis.summarise` made of it.
    leaning
        The leaning that the first figure follows; empty where leaning was not scored.
    verdicts
        As from `judge_run`: the second figure shows the worst sign of collapse that they have.
    axes
        The further axes, of each of which the share of the followed leaning is drawn.
    """
    regimes = looks(results)
    share = None if not leaning else _share(summary, regimes, leaning, "leaning_share")
    texts = {name: _charts(results, summary, regimes, name) for name in quantities.SECTIONS}
    there = {name: section for section, charts in texts.items() for name in charts}
    second = next((name for name in _second(verdicts) if name in there), None)
    main = (share, texts[there[second]].pop(second) if second else None)
    path = path_chart(summary, leaning, regimes) if leaning else None
    shares = [
        _share(axis.summary, regimes, axis.leaning, f"axis_share_{n}", axis.name)
        for n, axis in enumerate(axes, start=1)
    ]
    way = "each regime's way from generation to generation"
    further = "how each reads the same articles"
    sections = [
        _section("path", "Bias against quality", way, "", [path], 1),
        _leaning_section(results, summary, regimes, leaning),
        *(
            _section(anchor, title, line, text, list(texts[anchor].values()), columns)
            for anchor, (title, line, text, columns) in quantities.SECTIONS.items()
        ),
        _section("axes-shares", "Further axes over the generations", further, "", shares, 2),
    ]
    drawn = {card["metric"]: calibration_chart(card) for card in results.cards}
    return Figures(
        tuple(chart for chart in main if chart),
        tuple(section for section in sections if section),
        {metric: chart for metric, chart in drawn.items() if chart},
    )


def _section(
    anchor: str,
    title: str,
    line: str,
    text: str,
    charts: Sequence[Chart | Drawing | None],
    columns: int,
) -> Section | None:
    found = tuple(chart for chart in charts if chart is not None)
    return Section(anchor, title, line, text, found, columns) if found else None


#: Where the share starts from: the sets that are no generation.
_LEVELS = {REAL: "of the real articles", BASE: "of the untouched base model's"}


def _share(
    summary: pl.DataFrame, regimes: Mapping[str, Look], leaning: str, stem: str, axis: str = ""
) -> Chart | None:
    of_axis = f"{fmt.name(axis)}: " if axis else ""
    pooled = summary.filter(pl.col("seed").is_null(), quantity=f"share:{leaning}")
    places = {name: pooled.filter(regime=regime) for regime, name in _LEVELS.items()}
    places["in Generation 0"] = pooled.filter(generation=0)
    levels = [
        f"{name} {' to '.join(dict.fromkeys((found[0], found[-1])))}\u202f%"
        for name, rows in places.items()
        if (found := [fmt.number(100 * share, 0) for share in sorted(rows["value"].drop_nulls())])
    ]
    caption = (
        "Share of each generation's articles whose likeliest leaning this is, as the classifier "
        f"reads them, nothing subtracted: {', '.join(levels)}."
    )
    return share_chart(summary, leaning, regimes, stem, caption, of_axis)


def _leaning_section(
    results: Results, summary: pl.DataFrame, regimes: Mapping[str, Look], leaning: str
) -> Section | None:
    if not leaning:
        return None
    others = [label for label in results.labels if label != leaning]
    if len(others) < 2 or len(results.labels) > MOST_LEANINGS:
        others = []
    charts: list[Chart | None] = [
        _share(summary, regimes, label, f"leaning_share_{results.labels.index(label) + 1}")
        for label in others
    ]
    drawn = _charts(results, summary, regimes, "leaning")
    if outside := drawn.get("outside_domain"):
        limit = Reference(
            "limit",
            100 * results.config.report.outside_share,
            Look("#a4262c", ("solid", "-"), BASE_LOOK.mark),
        )
        references = (*outside.references, limit)
        drawn["outside_domain"] = dataclasses.replace(outside, references=references)
    line = "every leaning, the distance from the real articles, what cannot be read"
    return _section("leaning", "Leaning in full", line, "", [*charts, *drawn.values()], 2)


def _charts(
    results: Results, summary: pl.DataFrame, regimes: Mapping[str, Look], section: str
) -> dict[str, Chart]:
    """Draw the figure of every quantity of a section that has one, by name."""
    graded = results.config.metrics.quality.classifier != "builtin"
    index = "a fall is collapse." if graded else "the built-in index is no sign of collapse."
    drawn = {
        record.name: quantity_chart(summary, record, regimes, index * (record.name == "quality"))
        for record in quantities.shown(summary["quantity"].unique())
        if record.title and record.section == section
    }
    return {name: chart for name, chart in drawn.items() if chart}


def _second(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """Say which figure of the text stands beside the share: the first of these that there is."""
    tested = quantities.tested()
    worst = [tested[name].name for v in verdicts if (name := worst_of(v))]
    usual = ("holdout_perplexity", "distinct_2", "self_bleu", "quality", "perplexity")
    return (*worst[:1], *usual)
