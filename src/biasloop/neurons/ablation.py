"""The causal check: edit the neurons of a model, generate and score again, compare with others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from biasloop.analysis import Outcomes, Tables, outcomes, paired_mean, tables_of
from biasloop.errors import InputError, nearest
from biasloop.loop import Listener, Results, instruments_of, scored_by, silent, weights_of
from biasloop.models.edit import (
    Intervention,
    MeanAblation,
    Means,
    Restoration,
    Units,
    of_same_layers,
    strongest,
)
from biasloop.models.load import LoadedModel, load_model, save_model
from biasloop.models.sites import FeedForward, feed_forwards
from biasloop.seeds import generator, integer
from biasloop.stages.generate import generate_articles, repeated
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
        unedited, edited = (found.row(name, (kind, 0, 0)) for kind in (UNEDITED, CHOSEN))
        random = np.stack([found.row(name, key) for key in draws])
        random = random[~np.isnan(random).all(axis=1)]
        row = {"outcome": name, "draws": len(random), "drift": drift.get(name)}
        found_of = {
            "effect": paired_mean(edited - unedited),
            "specific": paired_mean(edited - random),
        }
        effect = found_of["effect"]
        if effect is not None and found_of["specific"] is not None:
            by_draw = np.nanmean(random - unedited, axis=1)
            each += [(name, place, value) for place, value in enumerate(by_draw.tolist())]
            for what, moved in found_of.items():
                ends = (moved.value, *moved.interval()) if moved else ()
                row |= dict(zip((what, f"{what}_low", f"{what}_high"), ends, strict=True))
            row |= {
                "unedited": float(np.nanmean(unedited)),
                "edited": float(np.nanmean(edited)),
                "random": float(by_draw.mean()),
                "pvalue": permutation_pvalue(effect.value, by_draw),
                "articles": effect.articles,
            }
        rows.append(row)
    return pl.DataFrame(rows, schema=EFFECTS), pl.DataFrame(each, schema=DRAWS, orient="row")


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


INTERVENTIONS = ("restore", "mean")
#: Fewer random sets than this cannot give p < 0.05.
LEAST_DRAWS = 20

#: Regime, seed, generation.
Place = tuple[str, int, int]


def place_of(
    results: Results,
    regime: str | None,
    seed: int | None,
    generation: int | None,
    least: int = 1,
) -> Place:
    """Choose a model: the first regime's, of the first seed, of the last generation."""
    loop = results.config.loop
    place = (
        results.config.regimes[0].label if regime is None else regime,
        loop.seeds[0] if seed is None else seed,
        loop.generations if generation is None else generation,
    )
    if place[2] < least:
        raise InputError(f"generation {place[2]}: only a later one than 0 has drifted from it")
    return place


def ablate(
    results: Results,
    associations: pl.DataFrame,
    metric: str,
    leaning: str,
    cache: Path,
    place: Place,
    top: int = 20,
    intervention: str = "restore",
    draws: int = LEAST_DRAWS,
    articles: int | None = None,
    recompute: bool = False,
    listen: Listener = silent,
    on_set: Callable[[int, int], None] | None = None,
) -> Ablation:
    """Edit the neurons that go most clearly with a metric, and as many random ones.

    Every set of neurons is edited in turn in the same model, which then writes the same articles
    with the same random stream, scored by the run's own instruments.

    Parameters
    ----------
    results
        A run.
    associations
        `associate.ASSOCIATIONS`, of one site and quantity.
    metric
        Which of them rank the neurons.
    leaning
        The label whose share is the bias.
    cache
        Of shared stages.
    top
        How many neurons.
    place
        Which model: as from `place_of`.
    intervention
        ``restore``: the weights and biases that feed a neuron go back to the chain's Generation 0.
        ``mean``: its activation is held at its mean over the real articles.
    draws
        Random sets of as many neurons of the same layers; at least `LEAST_DRAWS`.
    articles
        Prompt with so many of the real articles only, drawn at random; None takes all.
    recompute, listen
        See `loop.weights_of`.
    on_set
        Told how many sets of how many are done.

    Raises
    ------
    InputError
        If the weights are not there, neither leaning nor quality is scored in the run, or what is
        asked for does not exist.
    """
    config = results.config
    if draws < LEAST_DRAWS:
        raise InputError(
            f"--draws {draws}: at least {LEAST_DRAWS}, or no p-value could be below 0.05"
        )
    metrics = [name for name in ("leaning", "quality") if name in config.metrics.names]
    if not metrics:
        raise InputError(
            f"{results.folder}: scores neither leaning nor quality, so an edit has no effect to "
            "show: add one to metrics.names"
        )
    site = _editable(associations)
    units = strongest(associations, metric, top)
    instruments = instruments_of(results.folder, metrics, cache)
    real = _prompts(results, articles)
    named = (one for one in config.regimes if one.label == place[0])
    own = next(named, config.regimes[0])  # an unknown one is refused below
    generation = own.generation(config.generation)
    precision = generation.precision
    loaded, how = _models(results, place, site, intervention, cache, precision, recompute, listen)
    blocks = feed_forwards(loaded.model)
    stream = integer(config.seed, "generate", place[1], place[2] + 1)

    def measure() -> tuple[pl.DataFrame, pl.DataFrame]:
        scores, leanings, _ = scored_by(
            instruments,
            generate_articles(loaded, real, generation, stream, instruction=config.training.asks),
        )
        return scores, leanings

    random = generator(config.seed, "ablate", metric)
    measured = measure_edits(blocks, how, site, units, draws, random, measure, on_set)
    written = repeated(real, generation)["article_id"].to_list()
    tables = only_articles(tables_of(results), written)
    found = measured_outcomes(measured, tables)
    names = [name for name in (f"share:{leaning}", "quality") if name in found.values]
    table, each = effects(found, names, chain_drift(outcomes(tables), names, place))
    places = tuple((layer, int(unit)) for layer, own in units.items() for unit in own)
    held = withheld_sets(found, f"share:{leaning}")
    return Ablation(metric, site, top, intervention, *place, places, table, each, held)


def measure_edits(
    blocks: Sequence[FeedForward],
    how: Intervention,
    site: str,
    units: Units,
    draws: int,
    random: np.random.Generator,
    measure: Callable[[], tuple[pl.DataFrame, pl.DataFrame]],
    on_set: Callable[[int, int], None] | None = None,
) -> list[Measured]:
    """Measure a model as it is, with the chosen neurons edited, and with random ones.

    Parameters
    ----------
    blocks, how, site, units
        Of the model, and the edit of the chosen neurons.
    draws, random
        How many random sets, and their source.
    measure
        Scores what the model writes: `metrics.base.SCORED` and `metrics.base.SCORED_LEANINGS`.
    on_set
        Told how many sets of how many are done.
    """
    sizes = {block.layer: block.units(site) for block in blocks}
    sets: list[tuple[str, int, Units]] = [(UNEDITED, 0, {}), (CHOSEN, 0, units)]
    sets += [(RANDOM, draw, of_same_layers(units, sizes, random)) for draw in range(draws)]
    measured = []
    for done, (kind, number, own) in enumerate(sets, start=1):
        with how.during(blocks, site, own):
            measured.append(Measured(kind, number, *measure()))
        if on_set:
            on_set(done, len(sets))
    return measured


def export(
    results: Results,
    out: Path,
    cache: Path,
    place: Place,
    associations: pl.DataFrame | None = None,
    metric: str = "",
    top: int = 20,
    intervention: str = "restore",
    recompute: bool = False,
    listen: Listener = silent,
) -> Units:
    """Write a model of a run in transformers format, its neurons edited.

    Parameters
    ----------
    results, cache, place, metric, top, intervention, recompute, listen
        As in `ablate`.
    out
        An empty folder: the weights as safetensors, the tokenizer and its settings.
    associations
        As in `ablate`; None edits nothing.

    Returns
    -------
    Mapping
        The neurons that were edited.

    Raises
    ------
    InputError
        As in `ablate`, or if the architecture cannot hold a mean-ablation.
    """
    if associations is None:
        path = weights_of(results.folder, [place], cache, recompute, listen)[place]
        save_model(load_model(str(path), precision="float32"), out)
        return {}
    site = _editable(associations)
    units = strongest(associations, metric, top)
    model, how = _models(results, place, site, intervention, cache, "float32", recompute, listen)
    how.for_good(feed_forwards(model.model), site, units)
    save_model(model, out)
    return units


def _editable(associations: pl.DataFrame) -> str:
    """Name the site of the neurons to edit, which must have weights."""
    site = str(associations["site"][0])
    if site == "resid_post":
        raise InputError(
            "site 'resid_post' is a sum of what all blocks so far put out, without weights of its "
            "own to edit: take 'mlp_out' or 'mlp_hidden'"
        )
    return site


def _models(
    results: Results,
    place: Place,
    site: str,
    intervention: str,
    cache: Path,
    precision: str,
    recompute: bool,
    listen: Listener,
) -> tuple[LoadedModel, Intervention]:
    """Load a model, and what edits its neurons."""
    if intervention not in INTERVENTIONS:
        raise InputError(
            f"unknown intervention '{intervention}'; {nearest(intervention, INTERVENTIONS)}"
        )
    start = (place[0], place[1], 0)
    wanted = [place, start] if intervention == "restore" else [place]
    paths = weights_of(results.folder, wanted, cache, recompute, listen)
    loaded = load_model(str(paths[place]), precision=precision)
    if intervention == "restore":
        reference = load_model(str(paths[start]), precision=precision)
        return loaded, Restoration(feed_forwards(reference.model))
    return loaded, MeanAblation(_means(results, place, site))


def _means(results: Results, place: Place, site: str) -> Means:
    """Mean activations over the real articles, which the run recorded."""
    regime, seed, generation = place
    rows = results.neurons.filter(
        pl.col("regime") == regime,
        pl.col("seed") == seed,
        pl.col("generation") == generation,
        pl.col("site") == site,
        pl.col("quantity") == "activation_mean",
    ).sort("layer", "neuron")
    if not rows.height:
        raise InputError(
            f"{results.folder}: has no mean activations of '{site}' for {regime} seed {seed} "
            f"generation {generation}: finish the run, with '{site}' in neurons.sites"
        )
    return {
        layer: own["value"].to_numpy()
        for (layer,), own in rows.group_by("layer", maintain_order=True)
    }


def _prompts(results: Results, articles: int | None) -> pl.DataFrame:
    """Draw the real articles to prompt with, in their order."""
    total = results.real.height
    if articles is None or articles >= total:
        return results.real
    if articles < 2:
        raise InputError(f"--articles {articles}: at least 2, or nothing has an interval")
    chosen = generator(results.config.seed, "ablate-articles").choice(
        total, articles, replace=False
    )
    return results.real[np.sort(chosen)]
