"""Summarise every neuron of one model, in memory that does not grow with the articles.

Knows one model and some articles; knows neither generations nor metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from biasloop.errors import InputError
from biasloop.models.load import LoadedModel
from biasloop.models.sites import FeedForward, feed_forwards, reading
from biasloop.models.tokens import begun, padded
from biasloop.tables import CHAIN, NEURONS, as_given

if TYPE_CHECKING:
    import torch

#: `tables.NEURONS` of one model, without its place in a run.
SUMMARY = pl.Schema({name: kind for name, kind in NEURONS.items() if name not in CHAIN})

#: What is kept of a neuron. Variances are of the population, over weights or over tokens.
QUANTITIES = (
    "weight_mean",
    "weight_variance",
    "activation_mean",
    "activation_variance",
    "activation_positive",
)

#: Batches that are sorted by length together, so that little is padded.
_WINDOW = 32


class Moments:
    """Mean, variance and share of positive values of each unit, added up batch by batch.

    Batches are joined by Chan, Golub and LeVeque's update (1983, The American Statistician 37(3)),
    in float64.
    """

    def __init__(self, units: int) -> None:
        self.count = 0
        self.mean = np.zeros(units)
        self.positive = np.zeros(units)
        self._squares = np.zeros(units)

    def add(self, values: torch.Tensor) -> None:
        """Add values of shape (tokens, units)."""
        import torch

        count = len(values)
        if not count:
            return
        values = values.float()
        # MPS has no float64; float32 sums of one batch are exact enough there.
        wide = torch.float32 if values.device.type == "mps" else torch.float64
        mean = (values.sum(0, dtype=wide) / count).cpu().numpy().astype(float)
        centre = torch.as_tensor(mean, dtype=values.dtype, device=values.device)
        squares = (values - centre).square_().sum(0, dtype=wide).cpu().numpy().astype(float)
        squares -= count * (mean - centre.cpu().numpy()) ** 2
        total = self.count + count
        step = mean - self.mean
        self._squares += squares + step**2 * (self.count * count / total)
        self.mean += step * (count / total)
        self.positive += (values > 0).sum(0).cpu().numpy()
        self.count = total

    @property
    def variance(self) -> np.ndarray:
        """Population variance, shape (units,)."""
        return np.maximum(self._squares, 0.0) / self.count


def batches(
    loaded: LoadedModel,
    articles: pl.DataFrame,
    max_tokens: int,
    batch_size: int,
    template: str = "{body}",
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Tokenise articles, batch by batch of similar length, padded on the right.

    Articles without a token are left out; one is cut at ``max_tokens`` and at the model's context.
    ``template`` says what is read of an article: ``neurons.input``.

    Yields
    ------
    tuple
        Token ids and attention mask, each of shape (articles, tokens).
    """
    limit = min(max_tokens, loaded.context)
    pad, begins = loaded.card.pad, len(loaded.card.begins)
    size = batch_size * _WINDOW
    for start in range(0, articles.height, size):
        rows = articles[start : start + size].select("title", "body").iter_rows()
        texts = [as_given(template, *row) for row in rows]
        window = [ids for ids in begun(loaded.tokenizer, texts, limit) if len(ids) > begins]
        window.sort(key=len, reverse=True)
        for at in range(0, len(window), batch_size):
            yield padded(window[at : at + batch_size], pad)


def activation_moments(
    loaded: LoadedModel,
    blocks: Sequence[FeedForward],
    articles: pl.DataFrame,
    sites: Sequence[str],
    max_tokens: int = 512,
    batch_size: int = 8,
    template: str = "{body}",
) -> dict[tuple[str, int], Moments]:
    """Read the articles once and add up every unit's activations, by site and layer."""
    import torch

    moments = {(s, block.layer): Moments(block.units(s)) for s in sites for block in blocks}
    device = torch.device(loaded.device.name)
    here: list[torch.Tensor] = []

    def see(site: str, layer: int, values: torch.Tensor) -> None:
        units = moments[site, layer]
        units.add(values.detach().reshape(-1, values.shape[-1])[here[0]])

    with ExitStack() as stack, torch.inference_mode():
        for site in sites:
            stack.enter_context(reading(blocks, site, partial(see, site)))
        begins = len(loaded.card.begins)
        for input_ids, mask in batches(loaded, articles, max_tokens, batch_size, template):
            text = mask.bool()
            text[:, :begins] = False  # what begins every text is none of it
            here[:] = [text.flatten().to(device)]
            # The blocks alone: the logits would be the largest thing in memory, for nothing.
            loaded.model.base_model(
                input_ids=input_ids.to(device), attention_mask=mask.to(device), use_cache=False
            )
    if not here:
        raise InputError("there is no article with a token to read activations over")
    return moments


def summarise_neurons(
    loaded: LoadedModel,
    articles: pl.DataFrame,
    sites: Sequence[str] = ("mlp_out",),
    max_tokens: int = 512,
    batch_size: int = 8,
    template: str = "{body}",
) -> pl.DataFrame:
    """Summarise every neuron of a model: its weights, and its activations over the articles.

    Parameters
    ----------
    loaded
        In evaluation mode.
    articles
        `tables.ARTICLES`: the real ones (arXiv 2410.15234, section 4.5). They are read, cut at
        ``max_tokens``; every token counts alike, whatever the length of its article.
    sites
        See `models.sites`.
    max_tokens, batch_size
        Neither padding nor the size of a batch changes a value by more than rounding.
    template
        What is read of an article: ``neurons.input``.

    Returns
    -------
    polars.DataFrame
        ``layer, neuron`` (both from 0), ``site, quantity`` (`QUANTITIES`) and ``value``, sorted.
        The weight of a neuron is that of the parameters that feed it, biases left out:
        `models.sites.FeedForward.weights`. A site without weights has activations only.

    Raises
    ------
    InputError
        If the model's neurons cannot be found, a site is unknown, or there is nothing to read.
    """
    if not sites:
        return pl.DataFrame(schema=SUMMARY)
    blocks = feed_forwards(loaded.model)
    moments = activation_moments(loaded, blocks, articles, sites, max_tokens, batch_size, template)
    frames = []
    for block in blocks:
        for site in sites:
            activation = moments[site, block.layer]
            values = (
                *weight_moments(block, site),
                activation.mean,
                activation.variance,
                activation.positive / activation.count,
            )
            of = {"layer": block.layer, "neuron": np.arange(block.units(site)), "site": site}
            frames.extend(
                pl.DataFrame({**of, "quantity": quantity, "value": value}, schema=SUMMARY)
                for quantity, value in zip(QUANTITIES[-len(values) :], values, strict=True)
            )
    return pl.concat(frames).sort("layer", "neuron", "site", "quantity")


def weight_moments(block: FeedForward, site: str) -> tuple[np.ndarray, ...]:
    """Mean and population variance over the weights that feed each unit, each (units,).

    Nothing for a site without weights.
    """
    import torch

    units = block.units(site)
    feeding = [rows.units(units).double().cpu() for rows in block.weights(site)]
    if not feeding:
        return ()
    weights = torch.cat(feeding, dim=1)
    return weights.mean(1).numpy(), weights.var(1, correction=0).numpy()
