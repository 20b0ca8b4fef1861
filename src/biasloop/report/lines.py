"""From summaries to charts. Knows quantities' rows, not how a chart is drawn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import polars as pl

from biasloop.report import words
from biasloop.report.charts import Chart, Path, PathChart, Place, Point, Reference, Series
from biasloop.report.palette import BASE_LOOK, REAL_LOOK, Look
from biasloop.tables import BASE, REAL


def line_chart(
    summary: pl.DataFrame,
    quantity: str,
    looks: Mapping[str, Look],
    stem: str,
    title: str,
    caption: str,
    unit: str,
    scale: float = 1.0,
    span: tuple[float | None, float | None] = (None, None),
    references: Sequence[str] = (REAL, BASE),
) -> Chart | None:
    """Draw one quantity over generations.

    Parameters
    ----------
    summary
        What `analysis.summarise` returned.
    quantity
        Which of its quantities.
    looks
        Regime -> look, in the order to draw.
    stem, title, caption, unit, span
        See `Chart`.
    scale
        Multiplies every value (100 for shares in %).
    references
        Which of ``real`` and ``base`` to draw as levels.

    Returns
    -------
    Chart or None
        None where no regime has a row of it, so that no figure is empty.
    """
    rows = summary.filter(pl.col("quantity") == quantity)
    series = []
    for regime, look in looks.items():
        own = rows.filter((pl.col("regime") == regime) & (pl.col("generation") >= 0))
        pooled = own.filter(pl.col("seed").is_null())
        if not pooled.height:
            continue
        found = own["seed"].drop_nulls().unique().sort().to_list()
        chains = tuple(_points(own.filter(pl.col("seed") == seed), scale) for seed in found)
        several = chains if len(chains) > 1 else ()
        series.append(Series(words.name(regime), look, _points(pooled, scale), several))
    if not series:
        return None
    levels = tuple(
        Reference(_REFERENCE_NAMES[regime], value * scale, _REFERENCE_LOOKS[regime])
        for regime in references
        if (value := _level(rows, regime)) is not None
    )
    chart = Chart(stem, title, caption, unit, tuple(series), levels, span)
    return _logarithmic(chart)


_REFERENCE_NAMES = {REAL: "real articles", BASE: "base model"}
_REFERENCE_LOOKS = {REAL: REAL_LOOK, BASE: BASE_LOOK}
#: A leaning's name on an axis is no longer than this.
_AXIS_NAME = 20
#: Values that span more than this factor are drawn on a logarithmic axis, where none is a share.
_LOG_FACTOR = 20


def _logarithmic(chart: Chart) -> Chart:
    if chart.span != (None, None):
        return chart
    values = [p.value for s in chart.series for p in s.points if p.value is not None]
    lows = [p.low for s in chart.series for p in s.points if p.low is not None]
    if not values or min(values + lows) <= 0 or max(values) / min(values) < _LOG_FACTOR:
        return chart
    return dataclasses.replace(chart, log=True)


def _points(rows: pl.DataFrame, scale: float) -> tuple[Point, ...]:
    return tuple(
        Point(
            row["generation"],
            _times(row["value"], scale),
            _times(row["low"], scale),
            _times(row["high"], scale),
            row["n"],
            words.visible(row["reason"]),
            row["withheld"],
        )
        for row in rows.sort("generation").iter_rows(named=True)
    )


def _level(rows: pl.DataFrame, regime: str) -> float | None:
    own = rows.filter((pl.col("regime") == regime) & pl.col("seed").is_null())
    return own["value"][0] if own.height else None


def _times(value: float | None, scale: float) -> float | None:
    return None if value is None or not math.isfinite(value) else value * scale


def path_chart(summary: pl.DataFrame, leaning: str, looks: Mapping[str, Look]) -> PathChart | None:
    """Draw bias against quality; None where no generation has both."""
    pooled = summary.filter(pl.col("seed").is_null())
    paths = [
        Path(words.name(regime), look, places)
        for regime, look in looks.items()
        if (places := _places(pooled, regime, leaning))
    ]
    if not paths:
        return None
    landmarks = tuple(
        Path(_REFERENCE_NAMES[regime], _REFERENCE_LOOKS[regime], places)
        for regime in (REAL, BASE)
        if (places := _places(pooled, regime, leaning))
    )
    shown = words.name(leaning, _AXIS_NAME)
    return PathChart(
        "bias_against_quality",
        "Bias against quality",
        "One path per regime; the number at a mark is the generation, the cross at a path's end "
        f"its {words.INTERVAL}s. To the left text quality falls, up or down the bias moves. "
        "Generations whose leaning figure is withheld are not on the path.",
        "text quality index (0 noise to 3 clean)",
        f"share of “{shown}”, %",
        tuple(paths),
        landmarks,
    )


def _places(pooled: pl.DataFrame, regime: str, leaning: str) -> tuple[Place, ...]:
    own = pooled.filter((pl.col("regime") == regime) & pl.col("value").is_not_null())
    share = {p.generation: p for p in _points(_only(own, f"share:{leaning}"), 100)}
    quality = {p.generation: p for p in _points(_only(own, "quality"), 1)}
    return tuple(
        Place(
            generation,
            (quality[generation].value or 0.0, quality[generation].low, quality[generation].high),
            (share[generation].value or 0.0, share[generation].low, share[generation].high),
        )
        for generation in sorted(set(share) & set(quality))
    )


def _only(rows: pl.DataFrame, quantity: str) -> pl.DataFrame:
    return rows.filter(pl.col("quantity") == quantity)
