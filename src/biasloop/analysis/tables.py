"""The score tables of a run as arrays: one row per set, one column per article.

A *set* is what one model wrote: a regime, a seed and a generation (or the real articles). Knows the
tables' schemas; computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from biasloop.config import Config
from biasloop.errors import InputError
from biasloop.loop.results import Results
from biasloop.metrics import DamageCurve
from biasloop.stages import prompted_by
from biasloop.tables import CHAIN, LEANING_SCORES, SCORES, SET_SCORES, conform

#: Regime, seed, generation.
SetKey = tuple[str, int, int]

#: Metrics with this prefix are of held-out real articles, not of a set's own.
HOLDOUT = "holdout_"

_KEY = list(CHAIN)
#: Before the name of an article whose errors hang together with no other.
_ALONE = "article "


@dataclass(frozen=True)
class Tables:
    """What the statistics read.

    Attributes
    ----------
    labels
        The label set of the bias axis, in order.
    scores, leaning_scores, set_scores
        `tables.SCORES`, `tables.LEANING_SCORES`, `tables.SET_SCORES`.
    domain
        Measure -> ``low`` and ``high`` from the leaning instrument's card: up to where damaged
        articles can be read.
    outside_share
        A leaning figure is withheld when more than this share of its articles cannot be read; up to
        there those articles are left out of it. 1 reads every article, whatever it is.
    sources
        Article -> what its errors hang together with: its source, or the real article that
        prompted it. An article that is not named stands for itself.
    fine_tuned
        The regime that is trained on real articles only, whose change is that of fine-tuning
        alone; None where there is none.
    graded_quality
        Whether the quality index was validated on what models write, so that its fall is a sign
        of collapse.
    real_shares
        Label -> share, of real articles whose readings are not among the tables.
    curve
        How the classifier errs on damaged articles; None where that was not measured.
    """

    labels: tuple[str, ...]
    scores: pl.DataFrame
    leaning_scores: pl.DataFrame
    set_scores: pl.DataFrame
    domain: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    outside_share: float = 1.0
    sources: Mapping[str, str] = field(default_factory=dict)
    fine_tuned: str | None = None
    graded_quality: bool = True
    real_shares: Mapping[str, float] = field(default_factory=dict)
    curve: DamageCurve | None = None


def fine_tuned_alone(config: Config) -> str | None:
    """Name the regime that is trained on real articles only; None where there is none."""
    return next((regime.label for regime in config.regimes if regime.kind == "real"), None)


def tables_of(results: Results) -> Tables:
    """Take from a run what the statistics read."""
    cards: list[dict[str, Any]] = [card for card in results.cards if card["metric"] == "leaning"]
    return Tables(
        labels=results.labels,
        scores=_keyed(results.scores, SCORES),
        leaning_scores=_keyed(results.leaning_scores, LEANING_SCORES),
        set_scores=_keyed(results.set_scores, SET_SCORES),
        domain=cards[0].get("domain", {}) if cards else {},
        outside_share=results.config.report.outside_share,
        sources=_sources(results),
        fine_tuned=fine_tuned_alone(results.config),
        graded_quality=results.config.metrics.quality.classifier != "builtin",
        curve=curve_of(results.cards, results.labels),
    )


def curve_of(cards: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> DamageCurve | None:
    """Take the leaning instrument's damage curve from its card.

    None where it has none, or cannot read even articles that are not damaged: how it errs then has
    a problem, and no share is corrected (`adjusted.instrument_confusion`).
    """
    for card in cards:
        if card["metric"] == "leaning" and card.get("damage"):
            curve = DamageCurve.from_json(card["damage"])
            usable = sorted(curve.labels) == sorted(labels) and bool(curve.readable[0])
            return curve if usable else None
    return None


def _sources(results: Results) -> dict[str, str]:
    """Name what each article's errors hang together with, by ``report.cluster``."""
    found: dict[str, str] = {}
    unit, config = results.config.report.cluster, results.config
    for frame in (results.real, results.holdout, results.articles):
        if not frame.height:
            continue
        named = frame.select("article_id", "source").unique()
        prompts = prompted_by(named["article_id"], config.generation)
        for (article, source), prompt in zip(named.iter_rows(), prompts, strict=True):
            known = {"source": source, "event": results.events.get(prompt), "article": ""}[unit]
            found[article] = f"{unit} {known}" if known else f"{_ALONE}{prompt}"
    return found


def source_codes(tables: Tables, article_ids: Sequence[str]) -> np.ndarray:
    """Give each article's source a number, shape (articles,).

    Articles all of one source stand for themselves: nothing can be said of other sources.
    """
    names = _units(tables, article_ids)
    _, codes = np.unique(np.array(names, dtype=str), return_inverse=True)
    return codes


def sources_apart(tables: Tables, article_ids: Sequence[str]) -> int:
    """Count the sources, or events, by which articles hang together; 0 where there are no two."""
    return len({name for name in _units(tables, article_ids) if not name.startswith(_ALONE)})


def _units(tables: Tables, article_ids: Sequence[str]) -> list[str]:
    """Name what each article's errors hang together with."""
    names = [tables.sources.get(article, f"{_ALONE}{article}") for article in article_ids]
    return names if len(set(names)) > 1 else [f"{_ALONE}{article}" for article in article_ids]


def _keyed(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    return conform(frame, schema).with_columns(pl.col("seed").fill_null(0))


def set_keys(tables: Tables) -> tuple[SetKey, ...]:
    """List every set that has a score, sorted."""
    frames = (tables.scores, tables.leaning_scores, tables.set_scores)
    found = pl.concat([frame.select(_KEY) for frame in frames]).unique().sort(_KEY)
    return tuple(found.iter_rows())


@dataclass(frozen=True)
class Grid:
    """Where a score belongs.

    Attributes
    ----------
    keys
        The sets, in the order of the rows.
    article_ids
        The articles, in the order of the columns.
    """

    keys: Sequence[SetKey]
    article_ids: Sequence[str]

    def fill(self, frame: pl.DataFrame, column: str) -> np.ndarray:
        """Lay out one column of a table.

        Parameters
        ----------
        frame
            ``regime, seed, generation, article_id`` and ``column``.
        column
            The name of the numbers.

        Returns
        -------
        np.ndarray
            Shape (sets, articles); NaN where the table has no row or null.

        Raises
        ------
        InputError
            If an article has two rows in a set, or a number is infinite.
        """
        rows = pl.DataFrame(self.keys, schema=CHAIN, orient="row").with_row_index("row")
        columns = pl.DataFrame(
            {"article_id": list(self.article_ids)}, schema={"article_id": pl.String}
        ).with_row_index("column")
        placed = frame.join(rows, on=_KEY).join(columns, on="article_id")
        twice = placed.filter(placed.select("row", "column").is_duplicated())
        if twice.height:
            regime, seed, generation, article = twice.select(*_KEY, "article_id").row(0)
            raise InputError(
                f"scores: article '{article}' stands twice in regime '{regime}', seed {seed}, "
                f"generation {generation}"
            )
        infinite = placed.filter(pl.col(column).is_infinite())
        if infinite.height:
            regime, seed, generation, article = infinite.select(*_KEY, "article_id").row(0)
            raise InputError(
                f"scores: article '{article}' has an infinite {column} in regime '{regime}', "
                f"seed {seed}, generation {generation}"
            )
        result = np.full((len(self.keys), len(self.article_ids)), np.nan)
        result[placed["row"].to_numpy(), placed["column"].to_numpy()] = (
            placed[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        )
        return result


def article_grid(tables: Tables, keys: Sequence[SetKey]) -> Grid:
    """Make the grid of the prompts: every article that a set was scored on."""
    own = tables.scores.filter(~pl.col("metric").str.starts_with(HOLDOUT))["article_id"]
    return Grid(keys, _distinct(own, tables.leaning_scores["article_id"]))


def holdout_grid(tables: Tables, keys: Sequence[SetKey]) -> Grid:
    """Make the grid of the held-out real articles."""
    held_out = tables.scores.filter(pl.col("metric").str.starts_with(HOLDOUT))["article_id"]
    return Grid(keys, _distinct(held_out))


def _distinct(*columns: pl.Series) -> list[str]:
    return pl.concat(columns).unique().sort().to_list()


def metric_values(tables: Tables, grid: Grid, metric: str) -> np.ndarray:
    """Lay out one metric, shape (sets, articles)."""
    return grid.fill(tables.scores.filter(pl.col("metric") == metric), "value")


def leaning_probabilities(tables: Tables, grid: Grid) -> np.ndarray:
    """Lay out the probabilities, shape (labels, sets, articles).

    Raises
    ------
    InputError
        If a leaning is not in the label set, or an article has a probability for some of the
        labels only.
    """
    stray = sorted(set(tables.leaning_scores["leaning"].unique()) - set(tables.labels))
    if stray:
        raise InputError(
            f"leaning scores: the leaning '{stray[0]}' is not in the label set "
            f"({', '.join(tables.labels)})"
        )
    result = np.stack(
        [
            grid.fill(tables.leaning_scores.filter(pl.col("leaning") == label), "probability")
            for label in tables.labels
        ]
    )
    holes = np.isnan(result)
    partly = holes.any(axis=0) & ~holes.all(axis=0)
    if partly.any():
        row, column = np.argwhere(partly)[0]
        regime, seed, generation = grid.keys[row]
        label = tables.labels[int(np.argmax(holes[:, row, column]))]
        raise InputError(
            f"leaning scores: article '{grid.article_ids[column]}' of regime '{regime}', seed "
            f"{seed}, generation {generation} has no probability for '{label}'"
        )
    return result
