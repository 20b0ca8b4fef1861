"""What is tested, as one array per quantity: a row per set, a column per article."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from biasloop import quantities
from biasloop.analysis.classifier_errors import Readings, curve_readings
from biasloop.analysis.grids import (
    SetKey,
    Tables,
    grids,
    leaning_probabilities,
    metric_values,
    set_keys,
    source_codes,
    unit_of,
    validity,
)


@dataclass(frozen=True)
class Outcomes:
    """The arrays.

    Attributes
    ----------
    keys
        The sets, in the order of the rows.
    values
        Quantity -> shape (sets, articles), NaN where there is none. ``share:LABEL`` is 1 for an
        article whose likeliest leaning is LABEL, else 0, NaN where the article cannot be read (its
        level of damage is one on which the classifier does not tell the leanings apart) and
        throughout in sets whose leaning figures are withheld; the others are
        `quantities.tested`, those of held-out real articles, or of pairs, by their columns.
    labels
        The label set.
    sources
        Quantity -> each article's source as a number, shape (articles,).
    fine_tuned
        The regime that is trained on real articles only, where there is one.
    read
        Label -> as its share in ``values``, but also of the sets whose leaning figures are
        withheld; empty where leaning was not scored.
    unread
        Shape (sets, articles): articles whose leaning was scored but cannot be read; NaN in
        ``values``. None where leaning was not scored.
    withheld
        Set -> why its leaning figures are withheld.
    real_shares
        Label -> share, of real articles whose readings are not among the tables.
    graded_quality
        Whether the quality index was validated on what models write, so that its fall is a sign
        of collapse.
    readings
        What readings count for, by how damaged their articles are; None where it was not measured
        how the classifier errs on damaged articles.
    is_corrected
        Whether the shares in ``values`` are what readings count for: see `as_corrected`.
    """

    keys: tuple[SetKey, ...]
    values: Mapping[str, np.ndarray]
    labels: tuple[str, ...]
    sources: Mapping[str, np.ndarray]
    fine_tuned: str | None = None
    read: Mapping[str, np.ndarray] = field(default_factory=dict)
    unread: np.ndarray | None = None
    withheld: Mapping[SetKey, str] = field(default_factory=dict)
    real_shares: Mapping[str, float] = field(default_factory=dict)
    graded_quality: bool = True
    readings: Readings | None = None
    is_corrected: bool = False

    def as_corrected(self) -> Outcomes:
        """Put what each reading counts for in its place; the same where that is not known."""
        if self.readings is None or self.is_corrected:
            return self
        names = [f"share:{label}" for label in self.labels]
        counted = {
            name: np.where(np.isnan(self.values[name]), np.nan, values)
            for name, values in zip(names, self.readings.values(), strict=True)
        }
        return replace(self, values={**self.values, **counted}, is_corrected=True)

    def without(self, keys: Collection[SetKey]) -> Outcomes:
        """Leave some sets out."""
        rows = [row for row, key in enumerate(self.keys) if key not in keys]
        readings = self.readings
        if readings is not None:
            readings = replace(readings, level=readings.level[rows], reading=readings.reading[rows])
        return replace(
            self,
            keys=tuple(self.keys[row] for row in rows),
            values={name: values[rows] for name, values in self.values.items()},
            read={label: values[rows] for label, values in self.read.items()},
            unread=None if self.unread is None else self.unread[rows],
            readings=readings,
        )

    # Of a quantity

    def corrects(self, quantity: str) -> bool:
        """Say whether a quantity rests on error rates: a share, of corrected outcomes."""
        return self.is_corrected and quantity.startswith("share:")

    @property
    def rate_sources(self) -> int | None:
        """On how many sources the error rates rest; None where their number does not matter."""
        return self.readings.corrections.sources if self.readings else None

    def unit(self, quantity: str) -> float:
        """Say how much one article counts for in a share; 0 for what is no share."""
        if self.readings is not None and self.corrects(quantity):
            return float(self.readings.gains[self._label(quantity)])
        return float(quantity.startswith("share:"))

    def scored(self, quantity: str) -> np.ndarray:
        """Say which articles have a score, readable or withheld or neither, (sets, articles)."""
        read = self.read.get(quantity.removeprefix("share:"))
        if read is None or self.unread is None:
            return ~np.isnan(self.values[quantity])
        return ~np.isnan(read) | self.unread

    def independent(self) -> list[str]:
        """List the shares of which none follows from another: of two labels one is enough."""
        names = [f"share:{label}" for label in self.labels]
        names = [name for name in names if name in self.values]
        return names[-1:] if len(names) == 2 else names

    def _label(self, quantity: str) -> int:
        return self.labels.index(quantity.removeprefix("share:"))

    # Of a regime

    def regimes(self) -> list[str]:
        """Every regime with a generation, sorted."""
        return sorted({regime for regime, _, generation in self.keys if generation >= 0})

    def seeds(self, regime: str) -> list[int]:
        """List the seeds of a regime's chains."""
        return sorted({seed for name, seed, _ in self.keys if name == regime})

    def generations(self, regime: str) -> list[int]:
        """List the generations of a regime."""
        return sorted({g for name, _, g in self.keys if name == regime and g >= 0})

    def cube(self, quantity: str, regime: str) -> np.ndarray:
        """Lay out a regime, shape (chains, generations, articles)."""
        generations = self.generations(regime)
        return np.stack(
            [
                np.stack([self.row(quantity, (regime, s, g)) for g in generations])
                for s in self.seeds(regime)
            ]
        )

    def chains(self, quantity: str, regime: str, generation: int) -> np.ndarray:
        """Give a generation of every chain that has it, shape (chains, articles)."""
        rows = [self.row(quantity, (regime, s, generation)) for s in self.seeds(regime)]
        rows = [row for row in rows if not np.isnan(row).all()]
        return np.stack(rows) if rows else np.empty((0, self.values[quantity].shape[1]))

    # Of a set

    @cached_property
    def _places(self) -> dict[SetKey, int]:
        return {key: row for row, key in enumerate(self.keys)}

    def row(self, quantity: str, key: SetKey, unread: float | None = None) -> np.ndarray:
        """Give one set's values, shape (articles,); all NaN where there is no such set.

        An article that cannot be read counts for ``unread``, where that is given.
        """
        values = self.values[quantity]
        place = self._places.get(key)
        if place is None:
            return np.full(values.shape[1], np.nan)
        if unread is None or self.unread is None:
            return values[place]
        return np.where(self.unread[place], unread, values[place])

    def drawn_mean(self, quantity: str, key: SetKey, of_all: bool = False) -> np.ndarray:
        """Give a set's corrected share by every draw of the error rates, shape (draws,).

        Parameters
        ----------
        quantity
            A share that `corrects` holds of.
        key
            The set.
        of_all
            Whether over all articles, those that cannot be read counting for none.
        """
        if self.readings is None:
            raise ValueError("there are no error rates to draw")
        place = self._places.get(key)
        if place is None:
            return np.full(len(self.readings.drawn_means), np.nan)
        means = self.readings.drawn_means[:, place, self._label(quantity)]
        if not of_all or self.unread is None:
            return means
        there = (~np.isnan(self.values[quantity][place])).sum()
        return np.nan_to_num(means) * there / max(there + self.unread[place].sum(), 1)


def outcomes(tables: Tables) -> Outcomes:
    """Lay out everything that is tested.

    Raises
    ------
    InputError
        If the tables contradict themselves; see `summarise`.
    """
    keys = set_keys(tables)
    by_unit = grids(tables, keys)
    codes = {unit: source_codes(tables, grid.article_ids) for unit, grid in by_unit.items()}
    own = by_unit["articles"]
    values: dict[str, np.ndarray] = {}
    withheld: dict[SetKey, str] = {}
    read: dict[str, np.ndarray] = {}
    unread = readings = None
    if tables.leaning_scores.height:
        checked = validity(tables)
        held = checked["withheld"].to_numpy().astype(bool)
        withheld = {
            key: reason for key, reason in zip(keys, checked["reason"], strict=True) if reason
        }
        gated = tables.outside_share < 1
        outside = (metric_values(tables, own, "outside_domain") > 0) & gated
        reading = likeliest(leaning_probabilities(tables, own))
        if tables.curve and gated:
            level = metric_values(tables, own, "damage_level")
            readings = curve_readings(tables.curve, tables.labels, level, reading)
            outside |= readings.level < 0
        unread = outside & (reading >= 0)
        for index, label in enumerate(tables.labels):
            hit = (reading == index).astype(float)
            read[label] = np.where(outside | (reading < 0), np.nan, hit)
            values[f"share:{label}"] = np.where(held[:, None], np.nan, read[label])
    there = set(tables.scores["metric"].unique())
    sources = dict.fromkeys(values, codes["articles"])
    for name, record in quantities.tested().items():
        if record.name in there:
            unit = unit_of(record.name)
            sources[name] = codes[unit]
            found = metric_values(tables, by_unit[unit], record.name)
            values[name] = _logarithms(found) if record.log else found
    return Outcomes(
        keys,
        values,
        tuple(tables.labels),
        sources,
        tables.fine_tuned,
        read,
        unread,
        withheld,
        tables.real_shares,
        tables.graded_quality,
        readings,
    )


def _logarithms(values: np.ndarray) -> np.ndarray:
    """Take logarithms; NaN of what has none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(values)
    return np.where(np.isfinite(logs), logs, np.nan)


def likeliest(probabilities: np.ndarray) -> np.ndarray:
    """Find each article's likeliest leaning; of equal probabilities the first label.

    From shape (labels, sets, articles) to indices of shape (sets, articles); -1 where there is
    none.
    """
    chosen = np.argmax(np.nan_to_num(probabilities, nan=-1.0), axis=0)
    return np.where(np.isnan(probabilities).all(axis=0), -1, chosen)
