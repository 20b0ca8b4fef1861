"""What sampling below temperature 1 does to the shares of leanings, over generations.

The forecast that the controls are held against: closed form, no torch, no random number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biasloop.errors import InputError, nearest
from biasloop.theory.family import Floats
from biasloop.theory.settings import REGIMES

#: Regimes that a path can be given for. ``overfitting`` trains longer on the set of ``synthetic``,
#: which nothing remains to be learnt from.
SHARPENED_REGIMES = ("synthetic", "overfitting", *(n for n in REGIMES if n != "synthetic"))


def sharpened(shares: Sequence[float] | Floats, types: Sequence[int], temperature: float) -> Floats:
    r"""Shares of leanings once a model that holds ``shares`` is sampled at a temperature.

    Parameters
    ----------
    shares
        ``(leanings,)`` or ``(n, leanings)``: share of each leaning in what the model was fitted to.
    types
        ``(leanings,)``: how many words of its own each leaning has.
    temperature
        Above 0; 1 changes nothing.

    Returns
    -------
    Floats
        Of the shape of ``shares``.

    Raises
    ------
    InputError
        If a share is negative, a type count below 1 or the temperature not above 0.

    Notes
    -----
    A leaning :math:`l` has the share :math:`p_l` and :math:`k_l` words, all equally frequent, so
    each of its words has the probability :math:`p_l / k_l`. A temperature :math:`T` raises each to
    the power :math:`1/T` and normalises; summed over the leaning's words,

    .. math:: p_l' \propto k_l (p_l / k_l)^{1/T} .

    Of two leanings the odds become :math:`\text{odds}^{1/T} (k_2 / k_1)^{1/T - 1}`: fewer words
    are a sharper mode, and gain. With 5 and 20 words at 0.6, even odds become 2.5.

    It assumes that the model fits its training set exactly, that the first word with a leaning
    decides an article's leaning, and that there is unlimited data.
    """
    values = np.asarray(shares, dtype=np.float64)
    counts = np.asarray(types, dtype=np.float64)
    if not temperature > 0 or (counts < 1).any() or (values < 0).any():
        raise InputError(
            f"sharpening takes shares of 0 or more, word types of 1 or more and a temperature "
            f"above 0: got {values.tolist()}, {list(types)}, {temperature:g}"
        )
    with np.errstate(divide="ignore"):
        logs = np.log(values / counts) / temperature + np.log(counts)
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def sharpening_path(
    real: Sequence[float] | Floats,
    types: Sequence[int],
    temperature: float,
    generations: int,
    regime: str = "synthetic",
    fraction: float = 0.1,
) -> Floats:
    """Follow the shares that each generation writes, with unlimited data.

    Parameters
    ----------
    real
        ``(leanings,)``: shares of the real articles, which Generation 0 is fitted to.
    types, temperature
        See `sharpened`.
    generations
        After Generation 0.
    regime
        One of `SHARPENED_REGIMES`. Before they are sharpened, the shares are those of the previous
        generation (``synthetic``, ``overfitting``); of ``fraction`` real articles to one of these
        (``preservation``); or the mean of the real articles and every generation so far
        (``accumulation``).
    fraction
        For ``preservation``: real articles per synthetic one, as `RegimeConfig.fraction`.

    Returns
    -------
    Floats
        ``(generations + 1, leanings)``.

    Raises
    ------
    InputError
        If the regime has no path, or see `sharpened`.
    """
    if regime not in SHARPENED_REGIMES:
        raise InputError(f"no forecast for regime '{regime}': {nearest(regime, SHARPENED_REGIMES)}")
    truth = np.asarray(real, dtype=np.float64)
    path = [sharpened(truth, types, temperature)]
    for _ in range(generations):
        if regime == "accumulation":
            trained_on = np.mean([truth, *path], axis=0)
        elif regime == "preservation":
            trained_on = (path[-1] + fraction * truth) / (1 + fraction)
        else:
            trained_on = path[-1]
        path.append(sharpened(trained_on, types, temperature))
    return np.stack(path)
