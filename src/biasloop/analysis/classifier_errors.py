"""What a classifier's readings count for, given how it errs, and shares corrected by that.

A classifier that takes some of each leaning for another reports shares that are pulled towards
its errors, and a *change* of share that is too small by the same factor. The corrections assume
that only the mix of leanings differs between the validation articles and those read ("prior
probability shift"), not how an article of a leaning looks; `evidence.classifier_shifts` looks for
signs that it does.

A classifier errs more, and otherwise, on damaged text. So a reading is corrected by the errors on
held-out articles of its own level of damage: it counts, for each leaning, for what makes the mean
over a level's articles their shares. A mean over articles of all levels is then post-stratified,
and a change between a sound and a damaged generation is no longer that of the errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from biasloop import seeds
from biasloop.analysis.inference import Figure, Inference, add_variances, two_sided
from biasloop.metrics.damage import DamageCurve
from biasloop.metrics.evaluation import TELLS_APART, tells_apart
from biasloop.metrics.quantification import drawn_error_rates, error_rates

#: How many error rates stand for those that the held-out articles leave possible.
DRAWS = 500
#: Added to every cell of a drawn confusion matrix (Jeffreys): no error is known to be impossible.
_PRIOR = 0.5
_MANY = 1_000_000


@dataclass(frozen=True)
class Confusion:
    """How a classifier erred on held-out articles.

    Attributes
    ----------
    counts
        Shape (labels, labels): rows are the truth, columns the reading.
    part
        ``sources`` where whole sources were held out, else ``articles``.
    problem
        Why it cannot be used to correct a share; empty where it can.
    design_effects
        Of each true label, how many times larger its rates' variance is than that of independent
        articles; None takes 1.
    """

    counts: np.ndarray
    part: str
    problem: str = ""
    design_effects: Sequence[float] | None = None

    def corrections(self, draws: int, random: np.random.Generator) -> Corrections:
        """Invert the error rates, one level for all articles."""
        rates = drawn_error_rates(self.counts, draws, random, self.design_effects)
        point = np.linalg.inv(error_rates(self.counts))
        return Corrections(point[None], np.linalg.inv(rates)[:, None], None)


def instrument_confusion(
    cards: Sequence[Mapping[str, Any]], labels: Sequence[str]
) -> Confusion | None:
    """Take the leaning instrument's confusion counts from its card; None where it has none.

    Those with whole sources held out are taken where there are any, since what a model writes is
    of no source that the classifier knows, unless the card says otherwise (`metrics.Card.errors`).
    """
    for card in cards:
        if card["metric"] != "leaning":
            continue
        parts = ("articles",) if card.get("errors") == "articles" else ("sources", "articles")
        for part in parts:
            held_out = (card.get("held_out") or {}).get(part)
            if not held_out or not held_out.get("confusion"):
                continue
            named = [str(label) for label in held_out.get("labels", card.get("labels", labels))]
            if sorted(named) != sorted(labels):
                continue
            place = [named.index(label) for label in labels]
            counts = np.asarray(held_out["confusion"], dtype=float)[np.ix_(place, place)]
            effects = held_out.get("design_effects")
            effects = [float(effects[i]) for i in place] if effects else None
            problem = _problem(counts, labels, effects)
            if not problem and card.get("damage") and not card["damage"]["levels"][0]["readable"]:
                problem = "the classifier tells the leanings of undamaged articles apart too little"
            return Confusion(counts, part, problem, effects)
    return None


def _problem(
    counts: np.ndarray, labels: Sequence[str], design_effects: Sequence[float] | None
) -> str:
    empty = [label for label, row in zip(labels, counts, strict=True) if row.sum() == 0]
    if empty:
        return f"the classifier was not validated on '{empty[0]}'"
    drawn = drawn_error_rates(counts, 2000, seeds.generator(0, "confusion"), design_effects)
    apart = tells_apart(drawn)
    if apart < TELLS_APART:
        return (
            f"the classifier tells the leanings apart too little (smallest singular value of its "
            f"error rates {apart:.2f} at the worst likely; at least {TELLS_APART:g} is needed)"
        )
    return ""


def damage_curve(cards: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> DamageCurve | None:
    """Take from the leaning instrument's card how it errs by level of damage.

    None where it has none, or cannot read even articles that are not damaged: how it errs then has
    a problem, and no share is corrected (`instrument_confusion`).
    """
    for card in cards:
        if card["metric"] == "leaning" and card.get("damage"):
            curve = DamageCurve.from_json(card["damage"])
            usable = sorted(curve.labels) == sorted(labels) and bool(curve.readable[0])
            return curve if usable else None
    return None


# What readings count for --------------------------------------------------------------------------


@dataclass(frozen=True)
class Corrections:
    """What a reading counts for, by level of damage: the inverse of the error rates.

    Attributes
    ----------
    point
        By the error rates that were counted, shape (levels, labels read, labels); NaN on levels
        that cannot be read.
    drawn
        By those that the counts leave possible, shape (draws, levels, labels read, labels).
    sources
        How many sources the errors of the label that has the fewest rest on; None where the draws
        allow for their number.
    """

    point: np.ndarray
    drawn: np.ndarray
    sources: int | None

    def expected(self, composition: np.ndarray) -> np.ndarray:
        """Average over readings, by every draw.

        Parameters
        ----------
        composition
            Share of articles on each level and read as each label, shape (..., levels, labels).
            Levels that cannot be read have none.

        Returns
        -------
        np.ndarray
            Shape (draws, ..., labels).
        """
        return np.einsum("...kr,dkrj->d...j", composition, np.nan_to_num(self.drawn))


def curve_corrections(
    curve: DamageCurve, labels: Sequence[str], draws: int, random: np.random.Generator
) -> Corrections:
    """Invert a curve's error rates, in the order of ``labels``."""
    place = [curve.labels.index(label) for label in labels]
    rows, columns = np.ix_(place, place)
    point = curve.corrections()[:, rows, columns]
    drawn = curve.corrections(curve.drawn_rates(draws, random))[:, :, rows, columns]
    return Corrections(point, drawn, curve.fewest_sources)


@dataclass(frozen=True)
class Readings:
    """Every article's reading, and what it counts for.

    Attributes
    ----------
    level, reading
        Indices, shape (sets, articles); -1 where the article cannot be read.
    corrections
        What they count for.
    """

    level: np.ndarray
    reading: np.ndarray
    corrections: Corrections

    def values(self) -> np.ndarray:
        """Say what each article counts for, shape (labels, sets, articles); NaN where not read."""
        there = (self.level >= 0) & (self.reading >= 0)
        found = self.corrections.point[self.level, self.reading]
        return np.moveaxis(np.where(there[..., None], found, np.nan), -1, 0)

    @cached_property
    def drawn_means(self) -> np.ndarray:
        """Every set's shares by every draw, shape (draws, sets, labels); NaN of none read."""
        counts = np.stack([self.composition(row) for row in range(len(self.level))])
        totals = counts.sum(axis=(1, 2), keepdims=True)
        with np.errstate(invalid="ignore"):
            return self.corrections.expected(np.nan_to_num(counts / totals)) * np.where(
                totals[:, :, 0] > 0, 1.0, np.nan
            )

    @cached_property
    def gains(self) -> np.ndarray:
        """How much one reading more counts for, on average over articles, shape (labels,)."""
        sets = [self.composition(row) for row in range(len(self.level))]
        counts = np.sum(sets, axis=(0, 2))
        ranges = np.nan_to_num(np.ptp(self.corrections.point, axis=1))
        return counts @ ranges / max(counts.sum(), 1)

    def composition(self, row: int, weights: np.ndarray | None = None) -> np.ndarray:
        """Count a set's articles by level and reading.

        Parameters
        ----------
        row
            The set.
        weights
            Resamples as counts, shape (resamples, articles); None takes every article once.

        Returns
        -------
        np.ndarray
            Shape (levels, labels), or (resamples, levels, labels).
        """
        levels, labels = self.corrections.point.shape[:2]
        there = np.flatnonzero((self.level[row] >= 0) & (self.reading[row] >= 0))
        cell = self.level[row, there] * labels + self.reading[row, there]
        if weights is None:
            counts = np.bincount(cell, minlength=levels * labels).astype(float)
            return counts.reshape(levels, labels)
        used, place = np.unique(cell, return_inverse=True)
        result = np.zeros((len(weights), levels * labels))
        result[:, used] = weights[:, there] @ np.eye(len(used))[place]
        return result.reshape(len(weights), levels, labels)


def curve_readings(
    curve: DamageCurve, labels: Sequence[str], level: np.ndarray, reading: np.ndarray, seed: int = 0
) -> Readings:
    """Put readings and what they count for together.

    Parameters
    ----------
    curve
        How the classifier errs.
    labels
        The label set, in the order of ``reading``.
    level
        Each article's level, shape (sets, articles); NaN or -1 where there is none.
    reading
        Index of its likeliest leaning; -1 where it was not read.
    seed
        Of the draws.
    """
    known = np.nan_to_num(level, nan=-1.0).astype(int)
    can = (known >= 0) & curve.readable[known] & (reading >= 0)
    found = curve_corrections(curve, labels, DRAWS, seeds.generator(seed, "damage"))
    return Readings(np.where(can, known, -1), np.where(can, reading, -1), found)


def with_errors(
    inference: Inference, figure: Figure, means: np.ndarray, sources: int | None
) -> Inference:
    """Add to a figure's error what the held-out articles leave open of the classifier's errors.

    Parameters
    ----------
    inference
        By the error rates that were counted.
    figure
        What it is of.
    means
        Every set's mean by the drawn rates, shape (draws, chains, sets).
    sources
        How many the error rates rest on.
    """
    drawn = figure(means).mean(axis=1)
    # By quantiles: a draw that hardly tells the labels apart lies far out.
    spread = float(np.subtract(*np.quantile(drawn, [0.975, 0.025]))) / (2 * 1.959964)
    parts = [(inference.error**2, inference.freedom), (spread**2, max((sources or _MANY) - 1, 1))]
    error, freedom = add_variances(parts)
    pvalue = two_sided(inference.value, error, freedom)
    return replace(inference, error=error, freedom=freedom, pvalue=pvalue)
