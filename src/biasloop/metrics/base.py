"""What a metric is: fitted once on the instrument part, loaded, and used to score articles.

An instrument's files are named arrays as safetensors and everything else as JSON, never pickle. Its
card says what it is, and its error on articles that it has not seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from biasloop.config import MetricsConfig
from biasloop.errors import StoreError
from biasloop.files import canonical_json, write_bytes, write_json, write_text

if TYPE_CHECKING:
    from biasloop.models.load import LoadedModel

#: Half the width of a 95 % interval in standard errors of a normal distribution.
NORMAL_95 = 1.959963984540054

#: One row per article per metric of one set of articles; ``value`` is null where the article has
#: no such figure (the perplexity of one token, say).
SCORED = pl.Schema({"article_id": pl.String, "metric": pl.String, "value": pl.Float64})

#: One row per article per leaning.
SCORED_LEANINGS = pl.Schema(
    {"article_id": pl.String, "leaning": pl.String, "probability": pl.Float64}
)

#: One row per set-level metric, with its own 95 % interval.
SCORED_SETS = pl.Schema(
    {"metric": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
)


@dataclass(frozen=True)
class Scored:
    """What one metric says of one set of articles.

    Attributes
    ----------
    scores
        `SCORED`, long form.
    leaning_scores
        `SCORED_LEANINGS`; empty unless the metric is ``leaning``.
    set_scores
        `SCORED_SETS`: figures that only a whole set has, with their own 95 % interval.
    """

    scores: pl.DataFrame
    leaning_scores: pl.DataFrame
    set_scores: pl.DataFrame


@dataclass(frozen=True)
class FitContext:
    """What a metric may read when it is fitted or loaded.

    Attributes
    ----------
    config
        The config's section of metrics.
    labels
        The label set of the bias axis, in order; at least two.
    articles
        The instrument part of the corpus (`tables.ARTICLES`); may be empty in `MetricKind.load`.
    base_model
        Folder or id of the base model, for perplexity.
    seed
        Of folds, corruptions and samples.
    notes
        What is to be known of the articles, for the card.
    """

    config: MetricsConfig
    labels: tuple[str, ...]
    articles: pl.DataFrame
    base_model: str | None
    seed: int
    notes: tuple[str, ...] = ()


class Metric(Protocol):
    """A metric that is ready to score."""

    def score(self, articles: pl.DataFrame) -> Scored:
        """Score articles (`tables.ARTICLES`); rows come back in the articles' order."""
        ...


class MetricKind(Protocol):
    """A metric's name in the registry: how to fit it and how to read it back.

    Attributes
    ----------
    whole_set
        Whether its figures need the whole set of articles at once. Where not, every article is
        scored by itself, so that a set can be scored in parts.
    """

    whole_set: bool

    def fit(self, context: FitContext, folder: Path) -> None:
        """Write the instrument's files into an existing, empty folder; equal input, equal bytes.

        A metric that has an instrument also writes its ``card.json``; see `Card`.
        """
        ...

    def load(self, context: FitContext, folder: Path) -> Metric:
        """Read back what `fit` wrote."""
        ...


#: A metric of a model rather than of text: nothing is fitted, and only a run has it. It scores a
#: model, which wrote articles (`tables.ARTICLES`), by a config's section and a seed.
ModelMetric = Callable[["LoadedModel", pl.DataFrame, MetricsConfig, int], Scored]


def scored(
    article_ids: Sequence[str],
    columns: Mapping[str, Sequence[float | None] | np.ndarray],
    leaning_scores: pl.DataFrame | None = None,
    set_scores: pl.DataFrame | None = None,
) -> Scored:
    """Put figures by article into the long form.

    Parameters
    ----------
    article_ids
        The articles, in order.
    columns
        Metric name -> one value per article. NaN and None become null.
    leaning_scores, set_scores
        The other two tables; empty where not given.
    """
    ids = pl.Series("article_id", list(article_ids), pl.String)
    values = [pl.Series(name, list(own), pl.Float64) for name, own in columns.items()]
    wide = pl.DataFrame([ids, *(own.fill_nan(None) for own in values)])
    return Scored(
        wide.unpivot(index="article_id", variable_name="metric").cast(dict(SCORED)),
        SCORED_LEANINGS.to_frame() if leaning_scores is None else leaning_scores,
        SCORED_SETS.to_frame() if set_scores is None else set_scores,
    )


#: The card's file in an instrument's folder.
CARD_FILE = "card.json"


@dataclass(frozen=True)
class Card:
    """What a reader must know of an instrument before believing its figures.

    Attributes
    ----------
    metric, instrument
        The metric, and in words what reads it.
    labels
        What the instrument tells apart.
    trained_on
        Articles (for quality: sentences) that it was trained on here; 0 when it came trained.
    by_article, by_source
        `evaluation.evaluate` with articles held out, and with whole sources held out (None with a
        note where that cannot be done).
    candidates
        ``name, macro_f1, chosen`` of every instrument that was tried.
    domain
        Measure -> ``low`` and ``high`` of what can be read, None where that side is open.
    damage
        `damage.DamageCurve` as JSON: how it errs on damaged articles; None where it was not tried.
    errors
        Which of the two held-out parts, ``sources`` or ``articles``, tells how it errs on
        generated text; where sources could not be held out, ``articles`` in any case.
    warnings, notes
        What weakens the figures, and what else to know.
    """

    metric: str
    instrument: str
    labels: Sequence[str]
    trained_on: int
    by_article: Mapping[str, Any]
    by_source: Mapping[str, Any] | None = None
    candidates: Sequence[Mapping[str, Any]] = ()
    domain: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    damage: Mapping[str, Any] | None = None
    errors: str = "sources"
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Give the card as a JSON value."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        held_out = {"articles": own.pop("by_article"), "sources": own.pop("by_source")}
        return own | {"held_out": held_out}

    def write(self, folder: Path) -> None:
        """Write the card into the instrument's folder."""
        write_json(folder / CARD_FILE, self.to_json())


_ARRAYS = "arrays.safetensors"
_INSTRUMENT = "instrument.json"


def save_instrument(
    folder: Path, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write an instrument; equal content gives equal bytes."""
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    write_bytes(folder / _ARRAYS, save(contiguous))
    write_text(folder / _INSTRUMENT, canonical_json(dict(meta)) + "\n")


def load_instrument(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read an instrument back.

    Raises
    ------
    StoreError
        If a file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        meta = json.loads((folder / _INSTRUMENT).read_text(encoding="utf-8"))
        arrays = load((folder / _ARRAYS).read_bytes())
    except (OSError, ValueError, SafetensorError) as error:
        raise StoreError(
            f"{folder}: the instrument cannot be read ({error}); remove this folder and run "
            "again to fit it anew"
        ) from error
    return meta, arrays
