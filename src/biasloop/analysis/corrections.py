"""What a reading counts for, by how damaged its article is. Knows confusion counts, not texts.

A classifier errs more, and otherwise, on damaged text. So a reading is corrected by the errors on
held-out articles of its own level of damage: it counts, for each leaning, for what makes the mean
over a level's articles their shares (`adjustment.unbounded_shares`). A mean over articles of all
levels is then post-stratified, and a change between a sound and a damaged generation is no longer
that of the errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from biasloop import seeds
from biasloop.analysis.paired import Figure, Inference, add_variances, two_sided
from biasloop.metrics import DamageCurve

#: How many error rates stand for those that the held-out articles leave possible.
DRAWS = 500

_MANY = 1_000_000


@dataclass(frozen=True)
class Corrections:
    """What readings count for.

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
        """Average over readings.

        Parameters
        ----------
        composition
            Share of articles on each level and read as each label, shape (..., levels, labels).
            Levels that cannot be read have none.

        Returns
        -------
        np.ndarray
            By every draw, shape (draws, ..., labels).
        """
        used = np.nan_to_num(self.drawn)
        return np.einsum("...kr,dkrj->d...j", composition, used)


def corrections(
    curve: DamageCurve, labels: Sequence[str], draws: int, random: np.random.Generator
) -> Corrections:
    """Invert a curve's error rates, in the order of ``labels``."""
    place = [curve.labels.index(label) for label in labels]
    point = curve.corrections()
    drawn = curve.corrections(curve.drawn_rates(draws, random))
    order = np.ix_(place, place)
    return Corrections(
        point[:, order[0], order[1]], drawn[:, :, order[0], order[1]], curve.fewest_sources
    )


@dataclass(frozen=True)
class Corrected:
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


def corrected_readings(
    curve: DamageCurve,
    labels: Sequence[str],
    level: np.ndarray,
    reading: np.ndarray,
    seed: int = 0,
) -> Corrected:
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
    found = corrections(curve, labels, DRAWS, seeds.generator(seed, "damage"))
    return Corrected(np.where(can, known, -1), np.where(can, reading, -1), found)


def with_errors(
    inference: Inference,
    figure: Figure,
    means: np.ndarray,
    sources: int | None,
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
