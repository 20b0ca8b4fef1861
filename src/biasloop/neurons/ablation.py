"""What editing chosen neurons did, held against editing random ones. Knows tables, not models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from biasloop.analysis import Outcomes, Tables, outcomes, paired_mean
from biasloop.tables import LEANING_SCORES, SCORES, conform

#: The three kinds of set, in place of regimes; a random set's number stands in place of a seed.
UNEDITED, CHOSEN, RANDOM = "unedited", "chosen", "random"


@dataclass(frozen=True)
class Measured:
    """What a model wrote with one set of neurons edited, scored.

    Attributes
    ----------
    kind, number
        ``unedited``, ``chosen`` or ``random``; which random set (0 for the others).
    scores, leaning_scores
        `metrics.base.SCORED` and `metrics.base.SCORED_LEANINGS`.
    """

    kind: str
    number: int
    scores: pl.DataFrame
    leaning_scores: pl.DataFrame


#: One row per outcome: a share (0 to 1) or quality (0 to 3). ``effect`` is edited less unedited,
#: ``specific`` edited less the mean over random sets of as many neurons; each with its 95 %
#: interval. ``random`` is the random sets' mean effect. ``pvalue``: see `permutation_pvalue`.
#: Null where the leaning figures of a set are withheld.
EFFECTS = pl.Schema(
    {
        "outcome": pl.String,
        "unedited": pl.Float64,
        "edited": pl.Float64,
        "effect": pl.Float64,
        "effect_low": pl.Float64,
        "effect_high": pl.Float64,
        "random": pl.Float64,
        "specific": pl.Float64,
        "specific_low": pl.Float64,
        "specific_high": pl.Float64,
        "pvalue": pl.Float64,
        "draws": pl.Int64,
        "articles": pl.Int64,
        "drift": pl.Float64,
    }
)

#: One row per random set and outcome.
DRAWS = pl.Schema({"outcome": pl.String, "draw": pl.Int64, "effect": pl.Float64})


@dataclass(frozen=True)
class Ablation:
    """A finished causal check.

    Attributes
    ----------
    metric, site, top
        Which neurons: the ``top`` ones by ``metric``.
    intervention
        ``restore`` or ``mean``.
    regime, seed, generation
        The model that was edited.
    neurons
        ``(layer, neuron)`` of each.
    effects, draws
        `EFFECTS` and `DRAWS`.
    withheld
        Sets whose leaning figures are withheld, of all sets.
    """

    metric: str
    site: str
    top: int
    intervention: str
    regime: str
    seed: int
    generation: int
    neurons: tuple[tuple[int, int], ...]
    effects: pl.DataFrame
    draws: pl.DataFrame
    withheld: tuple[int, int]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            **asdict(self),
            "neurons": [list(place) for place in self.neurons],
            "effects": self.effects.to_dicts(),
            "draws": self.draws.to_dicts(),
            "withheld": list(self.withheld),
        }


def ablation_of(value: dict[str, Any]) -> Ablation:
    """Read what `Ablation.as_dict` wrote."""
    fields: dict[str, Any] = {
        **value,
        "neurons": tuple((layer, neuron) for layer, neuron in value["neurons"]),
        "effects": pl.DataFrame(value["effects"], schema=EFFECTS, orient="row"),
        "draws": pl.DataFrame(value["draws"], schema=DRAWS, orient="row"),
        "withheld": tuple(value["withheld"]),
    }
    return Ablation(**fields)


def measured_outcomes(measured: Sequence[Measured], like: Tables) -> Outcomes:
    """Lay out what the sets' articles scored.

    Parameters
    ----------
    measured
        Every set.
    like
        A run's tables: for the labels, and for when leaning figures are withheld.
    """

    def together(name: str, schema: pl.Schema) -> pl.DataFrame:
        frames = [
            getattr(own, name).with_columns(
                pl.lit(own.kind).alias("regime"),
                pl.lit(own.number, pl.Int64).alias("seed"),
                pl.lit(0, pl.Int64).alias("generation"),
            )
            for own in measured
        ]
        return conform(pl.concat(frames), schema)

    return outcomes(
        Tables(
            labels=like.labels,
            scores=together("scores", SCORES),
            leaning_scores=together("leaning_scores", LEANING_SCORES),
            set_scores=like.set_scores.clear(),
            domain=like.domain,
            outside_share=like.outside_share,
            curve=like.curve,
        )
    )


def effects(
    found: Outcomes, names: Sequence[str], drift: dict[str, float]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Estimate what the edit did.

    Parameters
    ----------
    found
        As from `measured_outcomes`.
    names
        The outcomes to look at, of ``found.values``.
    drift
        By outcome, how far the unedited model is from Generation 0 on the same articles.

    Returns
    -------
    effects, draws
        `EFFECTS` and `DRAWS`. Effects are paired by article, over which the interval of
        ``effect`` is taken, and that of ``specific`` over articles and random sets crossed.
    """
    draws = [key for key in found.keys if key[0] == RANDOM]
    rows, each = [], []
    for name in names:
        unedited = found.row(name, (UNEDITED, 0, 0))
        edited = found.row(name, (CHOSEN, 0, 0))
        random = np.stack([found.row(name, key) for key in draws])
        random = random[~np.isnan(random).all(axis=1)]
        effect, specific = paired_mean(edited - unedited), paired_mean(edited - random)
        if effect is None or specific is None:
            rows.append({"outcome": name, "draws": len(random), "drift": drift.get(name)})
            continue
        by_draw = np.nanmean(random - unedited, axis=1)
        each += [
            {"outcome": name, "draw": place, "effect": value}
            for place, value in enumerate(by_draw.tolist())
        ]
        low, high = effect.interval()
        specific_low, specific_high = specific.interval()
        rows.append(
            {
                "outcome": name,
                "unedited": float(np.nanmean(unedited)),
                "edited": float(np.nanmean(edited)),
                "effect": effect.value,
                "effect_low": low,
                "effect_high": high,
                "random": float(by_draw.mean()),
                "specific": specific.value,
                "specific_low": specific_low,
                "specific_high": specific_high,
                "pvalue": permutation_pvalue(effect.value, by_draw),
                "draws": len(random),
                "articles": effect.articles,
                "drift": drift.get(name),
            }
        )
    return pl.DataFrame(rows, schema=EFFECTS), pl.DataFrame(each, schema=DRAWS)


def permutation_pvalue(chosen: float, random: np.ndarray) -> float:
    """Test whether chosen neurons differ in effect from random ones of the same layers.

    Parameters
    ----------
    chosen
        The effect of the chosen neurons.
    random
        Shape (draws,): the effects of random sets.

    Returns
    -------
    float
        The share of all sets, the chosen one with them, whose effect is as far from the mean of
        all as the chosen one's, on either side. If the chosen set were drawn like the others, it
        would be at most p in p of cases; it is never below 1 / (draws + 1).
    """
    every = np.append(random, chosen)
    far = np.abs(every - every.mean())
    return float((far >= far[-1] - 1e-12).mean())


def chain_drift(found: Outcomes, names: Sequence[str], key: tuple[str, int, int]) -> dict:
    """Say how far a model is from its chain's Generation 0, by outcome, where both can be read."""
    regime, seed, _ = key
    drift = {}
    for name in names:
        moved = paired_mean(found.row(name, key) - found.row(name, (regime, seed, 0)))
        if moved is not None:
            drift[name] = moved.value
    return drift


def only_articles(tables: Tables, article_ids: Sequence[str]) -> Tables:
    """Leave out every other article."""
    kept = pl.col("article_id").is_in(list(article_ids))
    return replace(
        tables,
        scores=tables.scores.filter(kept),
        leaning_scores=tables.leaning_scores.filter(kept),
        set_scores=tables.set_scores.clear(),
    )


def withheld_sets(found: Outcomes, name: str) -> tuple[int, int]:
    """Count sets whose leaning figures are withheld, and all sets."""
    values = found.values.get(name)
    held = 0 if values is None else int(np.isnan(values).all(axis=1).sum())
    return held, len(found.keys)
