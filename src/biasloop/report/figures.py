"""Which figures a report has, and in which section. Draws none of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from biasloop.loop.results import Results
from biasloop.report import words
from biasloop.report.charts import AnyChart, CalibrationChart, Chart, Reference
from biasloop.report.lines import line_chart, path_chart
from biasloop.report.palette import BASE_LOOK, Look, look
from biasloop.tables import BASE, REAL

_SHARE = (0.0, 100.0)
_UNIT = (0.0, 1.0)
#: More leanings than this have their figures in the tables only.
MOST_LEANINGS = 9


@dataclass(frozen=True)
class Section:
    """Figures that stand together under one heading; ``columns`` side by side on a wide screen."""

    anchor: str
    title: str
    text: str
    charts: tuple[AnyChart, ...]
    columns: int


@dataclass(frozen=True)
class Figures:
    """Every figure of a report: the first screen's, the sections', the instruments'."""

    main: tuple[Chart, ...]
    sections: tuple[Section, ...]
    calibration: Mapping[str, CalibrationChart]

    def all(self) -> tuple[AnyChart, ...]:
        """Every chart once, in the order of the page."""
        inside = [chart for section in self.sections for chart in section.charts]
        return (*self.main, *inside, *self.calibration.values())


def looks(results: Results) -> dict[str, Look]:
    """Give every regime of the config its look, in the config's order."""
    return {regime.label: look(i) for i, regime in enumerate(results.config.regimes)}


def figures(results: Results, summary: pl.DataFrame, leaning: str | None) -> Figures:
    """Choose every figure that has something to show.

    Parameters
    ----------
    results, summary
        The run, and what `analysis.summarise` made of it.
    leaning
        The leaning that the first figure follows; None where leaning was not scored.
    """
    regimes = looks(results)
    main = []
    if leaning is not None:
        main.append(_share(summary, regimes, leaning, "leaning_share"))
    main.append(
        line_chart(
            summary,
            "quality",
            regimes,
            "quality",
            "Text quality",
            "Mean text quality index of the generated articles; a fall is collapse.",
            "index, 0 noise to 3 clean",
            span=(0.0, 3.0),
        )
    )
    sections = [
        _section(
            "path",
            "Bias against quality",
            "",
            [path_chart(summary, leaning, regimes) if leaning is not None else None],
            1,
        ),
        _leaning_section(results, summary, regimes, leaning),
        _perplexity_section(summary, regimes),
        _diversity_section(summary, regimes),
    ]
    return Figures(
        tuple(chart for chart in main if chart),
        tuple(section for section in sections if section),
        {card["metric"]: _calibration(card) for card in results.cards if _bins(card)},
    )


def _section(
    anchor: str, title: str, text: str, charts: Sequence[AnyChart | None], columns: int
) -> Section | None:
    found = tuple(chart for chart in charts if chart is not None)
    return Section(anchor, title, text, found, columns) if found else None


def _share(
    summary: pl.DataFrame, regimes: Mapping[str, Look], leaning: str, stem: str
) -> Chart | None:
    shown = words.name(leaning)
    return line_chart(
        summary,
        f"share:{leaning}",
        regimes,
        stem,
        f"Articles read as “{shown}”",
        "Share of each generation's articles whose likeliest leaning this is. Levels: the real "
        "articles and the untouched base model, read by the same instrument.",
        "share of articles, %",
        100,
        _SHARE,
    )


def _leaning_section(
    results: Results, summary: pl.DataFrame, regimes: Mapping[str, Look], leaning: str | None
) -> Section | None:
    if leaning is None:
        return None
    others = [label for label in results.labels if label != leaning]
    if len(others) < 2 or len(results.labels) > MOST_LEANINGS:
        others = []
    charts: list[Chart | None] = [
        _share(summary, regimes, label, f"leaning_share_{results.labels.index(label) + 1}")
        for label in others
    ]
    charts.append(
        line_chart(
            summary,
            "distance:tv",
            regimes,
            "distance",
            "Distance from the real articles",
            "Total variation between the shares of all leanings: the largest difference in the "
            "share of any group of leanings; 0 alike, 1 nothing in common.",
            "distance, 0 to 1",
            span=_UNIT,
            references=(BASE,),
        )
    )
    outside = line_chart(
        summary,
        "outside_domain",
        regimes,
        "outside_domain",
        "Articles that cannot be read",
        "Too damaged for the classifier to tell the leanings apart, as tested on real articles "
        "damaged alike. Above the limit (red) every leaning figure is withheld.",
        "share of articles, %",
        100,
        _SHARE,
        references=(REAL, BASE),
    )
    if outside:
        limit = Reference(
            "limit",
            100 * results.config.report.outside_share,
            Look("#a4262c", ("solid", "-"), BASE_LOOK.mark),
        )
        outside = dataclasses.replace(outside, references=(*outside.references, limit))
    return _section("leaning", "Leaning in full", "", [*charts, outside], 2)


def _perplexity_section(summary: pl.DataFrame, regimes: Mapping[str, Look]) -> Section | None:
    text = (
        "Perplexity of generated text falls while quality falls, since a collapsed model writes "
        "what the base model finds easy; so it cannot show collapse alone. What each model makes "
        "of real text that it never saw can."
    )
    charts = [
        line_chart(
            summary,
            "perplexity",
            regimes,
            "perplexity",
            "Perplexity of the generated articles",
            "Under the untouched base model; mean over articles.",
            "perplexity",
        ),
        line_chart(
            summary,
            "holdout_perplexity",
            regimes,
            "holdout_perplexity",
            "Perplexity of held-out real articles",
            "Under each generation's own model; mean over articles. A rise is forgetting.",
            "perplexity",
        ),
    ]
    return _section("perplexity", "Perplexity", text, charts, 2)


_DIVERSITY: tuple[tuple[str, str, str, str, bool], ...] = (
    ("distinct_1", "Distinct words", "Different words per word of an article.", "share", True),
    ("distinct_2", "Distinct word pairs", "Different pairs per pair of an article.", "share", True),
    ("distinct_3", "Distinct trigrams", "Different trigrams per trigram.", "share", True),
    ("repetition", "Repetition", "4-grams that repeat one earlier in the article.", "share", True),
    ("self_bleu", "Self-BLEU", "BLEU-4 of sampled articles against each other: higher is more "
     "alike.", "0 to 1", True),
    ("vocabulary", "Vocabulary", "Different words of the whole generation.", "words", False),
)  # fmt: skip


def _diversity_section(summary: pl.DataFrame, regimes: Mapping[str, Look]) -> Section | None:
    charts = [
        line_chart(
            summary,
            quantity,
            regimes,
            quantity,
            title,
            caption,
            unit,
            span=_UNIT if bounded else (None, None),
        )
        for quantity, title, caption, unit, bounded in _DIVERSITY
    ]
    return _section("diversity", "Diversity", "", charts, 3)


def _bins(card: Mapping[str, Any]) -> bool:
    held_out = card.get("held_out") or {}
    return any(found and found.get("bins") for found in held_out.values())


_PARTS = {"articles": "unseen articles", "sources": "unseen sources"}


def _calibration(card: Mapping[str, Any]) -> CalibrationChart:
    lines = tuple(
        (
            _PARTS[part],
            look(index),
            tuple((b["confidence"], b["accuracy"], b["n"]) for b in found["bins"]),
        )
        for index, part in enumerate(_PARTS)
        if (found := card["held_out"].get(part)) and found.get("bins")
    )
    return CalibrationChart(
        f"calibration_{words.file_stem(card['metric'])}",
        f"Calibration: {words.name(card['metric'])}",
        "Accuracy against confidence on held-out text; on the diagonal a confidence of "
        "80\u202f% is right 80\u202f% of the time.",
        lines,
    )
