"""The causal check on a run: edit the neurons of a model, generate again, score again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from biasloop.analysis import outcomes, tables_of
from biasloop.errors import InputError, nearest
from biasloop.loop import Listener, Results, instruments_of, scored_by, silent, weights_of
from biasloop.models import LoadedModel, load_model, save_model
from biasloop.models.sites import FeedForward, feed_forwards
from biasloop.neurons.ablation import (
    CHOSEN,
    RANDOM,
    UNEDITED,
    Ablation,
    Measured,
    chain_drift,
    effects,
    measured_outcomes,
    only_articles,
    withheld_sets,
)
from biasloop.neurons.choose import Units, of_same_layers, strongest
from biasloop.neurons.edit import Intervention, MeanAblation, Means, Restoration
from biasloop.seeds import generator, integer
from biasloop.stages import generate_articles, repeated

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
    top: int = 20,
    place: Place | None = None,
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
    chosen = place or place_of(results, None, None, None)
    site = str(associations["site"][0])
    units = strongest(associations, metric, top)
    instruments = instruments_of(results.folder, metrics, cache)
    real = _prompts(results, articles)
    precision = config.generation.precision
    loaded, how = _models(results, chosen, site, intervention, cache, precision, recompute, listen)
    blocks = feed_forwards(loaded.model)
    stream = integer(config.seed, "generate", chosen[1], chosen[2] + 1)

    def measure() -> tuple[pl.DataFrame, pl.DataFrame]:
        scores, leanings, _ = scored_by(
            instruments, generate_articles(loaded, real, config.generation, stream)
        )
        return scores, leanings

    random = generator(config.seed, "ablate", metric)
    measured = measure_edits(blocks, how, site, units, draws, random, measure, on_set)
    written = repeated(real, config.generation)["article_id"].to_list()
    tables = only_articles(tables_of(results), written)
    found = measured_outcomes(measured, tables)
    names = [name for name in (f"share:{leaning}", "quality") if name in found.values]
    table, each = effects(found, names, chain_drift(outcomes(tables), names, chosen))
    places = tuple((layer, int(unit)) for layer, own in units.items() for unit in own)
    held = withheld_sets(found, f"share:{leaning}")
    return Ablation(metric, site, top, intervention, *chosen, places, table, each, held)


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
    place: Place | None = None,
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
    chosen = place or place_of(results, None, None, None)
    if associations is None:
        path = weights_of(results.folder, [chosen], cache, recompute, listen)[chosen]
        save_model(load_model(str(path), precision="float32"), out)
        return {}
    site = str(associations["site"][0])
    units = strongest(associations, metric, top)
    model, how = _models(results, chosen, site, intervention, cache, "float32", recompute, listen)
    how.for_good(feed_forwards(model.model), site, units)
    save_model(model, out)
    return units


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
