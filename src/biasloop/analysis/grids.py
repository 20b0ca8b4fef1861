"""The score tables of a run as arrays: one row per set, one column per article.

A *set* is what one model wrote: a regime, a seed and a generation (or the real articles). Beside
the arrays stand what a config says of the tables (the leaning that is followed, the regime of
fine-tuning alone, the sets that are still missing), and which sets' leanings may be read at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from biasloop import quantities
from biasloop.analysis.classifier_errors import damage_curve
from biasloop.config import Config
from biasloop.errors import InputError, nearest
from biasloop.loop.results import Results
from biasloop.metrics.damage import DamageCurve
from biasloop.stages.generate import prompted_by
from biasloop.tables import CHAIN, LEANING_SCORES, SCORES, SET_SCORES, conform

#: Regime, seed, generation.
SetKey = tuple[str, int, int]

#: What a figure is a mean over, where that is not a set's own articles: held-out real articles, or
#: pairs of texts -> how the names of its metrics begin.
_UNITS = {"holdout": "holdout_", "pairs": "pair_"}

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
        curve=damage_curve(results.cards, results.labels),
    )


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


def unit_of(metric: str) -> str:
    """Say what a metric's figures are means over: ``articles``, ``holdout`` or ``pairs``."""
    starts = _UNITS.items()
    return next((unit for unit, start in starts if metric.startswith(start)), "articles")


def grids(tables: Tables, keys: Sequence[SetKey]) -> dict[str, Grid]:
    """Make the grid of each unit: of the articles, it has every one that a set was scored on."""
    metrics = tables.scores["metric"]
    found = {}
    for unit in ("articles", *_UNITS):
        names = [name for name in metrics.unique() if unit_of(name) == unit]
        own = tables.scores.filter(metrics.is_in(names))["article_id"]
        read = [tables.leaning_scores["article_id"]] if unit == "articles" else []
        found[unit] = Grid(keys, _distinct(own, *read))
    return found


def article_grid(tables: Tables, keys: Sequence[SetKey]) -> Grid:
    """Make the grid of the prompts."""
    return grids(tables, keys)["articles"]


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


# Which sets there are, and which leaning is followed ----------------------------------------------


#: One row per set and metric that the config asks for and the tables lack.
MISSING = pl.Schema({**CHAIN, "metric": pl.String})


def missing_sets(results: Results) -> pl.DataFrame:
    """List what a part-finished run lacks: `MISSING`, in the order of the config."""
    config = results.config
    found = {"leaning": _sets(results.leaning_scores)}
    for name, record in quantities.QUANTITIES.items():  # the first quantity of a metric tells
        if record.metric and record.metric not in found:
            frames = (results.scores, results.set_scores)
            found[record.metric] = set().union(*(_sets(f.filter(metric=name)) for f in frames))
    rows = [
        (regime.label, seed, generation, metric)
        for regime in config.regimes
        for seed in config.seeds_of(regime)
        for generation in range(config.loop.generations + 1)
        for metric in config.metrics.names
        if metric in found and (regime.label, seed, generation) not in found[metric]
    ]
    return pl.DataFrame(rows, schema=MISSING, orient="row")


def _sets(frame: pl.DataFrame) -> set[SetKey]:
    return set(frame.select(_KEY).unique().iter_rows())


def fine_tuned_alone(config: Config) -> str | None:
    """Name the regime that is trained on real articles only; None where there is none."""
    return next((regime.label for regime in config.regimes if regime.kind == "real"), None)


def followed_leaning(config: Config, labels: Sequence[str]) -> str:
    """Choose the leaning that a report follows, where one has to stand for all.

    Returns
    -------
    str
        ``config.report.leaning``; else the label most present in the pre-training mix of a model
        from scratch; else the last of the label set.

    Raises
    ------
    InputError
        If ``config.report.leaning`` is not in the label set, or that set is empty.
    """
    if not labels:
        raise InputError("the label set is empty: there is no leaning to report on")
    wanted = config.report.leaning
    if wanted is not None:
        if wanted not in labels:
            raise InputError(
                f"report.leaning: '{wanted}' is not in the label set; {nearest(wanted, labels)}"
            )
        return wanted
    mix = config.base.scratch.pretraining.mix if config.base.model == "scratch" else {}
    known = {label: share for label, share in mix.items() if label in labels}
    if known and len(set(known.values())) > 1:
        return max(known, key=lambda label: known[label])
    return labels[-1]


# Which sets' leanings may be read -----------------------------------------------------------------


#: One row per set. ``outside`` is null where the articles were not held against the domain.
VALIDITY = pl.Schema({**CHAIN, "outside": pl.Float64, "withheld": pl.Boolean, "reason": pl.String})

#: What a reader calls the measures of the instrument's card.
_WORDS = {
    "words": "too few words that are not said again",
    "oov": "unknown words",
}


def validity(tables: Tables) -> pl.DataFrame:
    """Say of every set whether its leaning figures are withheld, and why.

    A classifier answers whatever it is asked. Articles that are too damaged for it
    (`metrics.damage`) are left out of a set's shares, and bounds over all articles are given
    beside them. Only where so few can be read that those bounds say nothing are a set's leaning
    figures withheld.

    Returns
    -------
    pl.DataFrame
        `VALIDITY`, sorted.
    """
    keys = set_keys(tables)
    grid = article_grid(tables, keys)
    outside = metric_values(tables, grid, "outside_domain")
    beyond = {
        name: _beyond(metric_values(tables, grid, f"domain_{name}"), bound)
        for name, bound in tables.domain.items()
        if name != "confidence"
    }
    rows = []
    for row, key in enumerate(keys):
        checked = ~np.isnan(outside[row])
        if not checked.any():
            rows.append((*key, None, False, ""))
            continue
        share = float(outside[row, checked].mean())
        withheld = share > tables.outside_share
        shares = {name: float(values[row, checked].mean()) for name, values in beyond.items()}
        rows.append((*key, share, withheld, _reason(share, shares) if withheld else ""))
    return pl.DataFrame(rows, schema=VALIDITY, orient="row")


def _beyond(values: np.ndarray, bound: Mapping[str, float | None]) -> np.ndarray:
    """Which articles lie outside on one measure; one that has no such measure does."""
    low, high = bound.get("low"), bound.get("high")
    result = np.isnan(values)
    if low is not None:
        result |= values < low
    if high is not None:
        result |= values > high
    return result


def _reason(share: float, shares: Mapping[str, float]) -> str:
    parts = [
        f"{_WORDS.get(name, name)} {100 * value:.0f} %"
        for name, value in sorted(shares.items(), key=lambda item: -item[1])
        if value >= 0.01
    ]
    why = f" ({', '.join(parts)})" if parts else ""
    return f"{100 * share:.0f} % of its articles are too damaged for the classifier to read{why}"
