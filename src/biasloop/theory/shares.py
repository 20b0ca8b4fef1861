"""Shares of leanings in closed form: no torch, no random number.

What sampling below temperature 1 does to them over generations, which is the forecast that the
controls are held against; and the fraction of real data below which an amplified state lasts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from biasloop.errors import InputError, nearest
from biasloop.theory.families import Floats
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


def two_leanings_threshold(real_share: float) -> float:
    """Real fraction below which two leanings have a second stable, amplified state.

    Where the discriminant of ``2 u^3 - 2 F r u^2 + (F - 1/2) u - F r / 2`` changes sign, of whose
    roots ``u = share - 1/2`` are the fixed points (``r = real share - 1/2``); 1/2 for real data
    that are in balance, less for others. Above it every chain comes back to one state.
    """
    r = real_share - 0.5
    if abs(r) >= 0.5:
        raise InputError("the real share must lie inside (0, 1)")
    if r == 0.0:
        return 0.5

    def discriminant(F: float) -> float:
        a, b, c, d = 2.0, -2.0 * F * r, F - 0.5, -0.5 * F * r
        return float(
            18 * a * b * c * d - 4 * b**3 * d + b**2 * c**2 - 4 * a * c**3 - 27 * a**2 * d**2
        )

    return float(brentq(discriminant, 0.0, 0.5, xtol=1e-14))


def least_real_share(real: ArrayLike) -> float | None:
    """Real fraction below which an amplified state lasts, of unweighted real data.

    Of two leanings `two_leanings_threshold`, of several in balance `balanced_threshold`; None
    where no closed form is known, or a leaning has no real article.
    """
    shares = np.asarray(real, dtype=np.float64)
    if shares.size < 2 or (shares <= 0).any():
        return None
    if shares.size == 2:
        return two_leanings_threshold(float(shares[1] / shares.sum()))
    return balanced_threshold(shares.size) if np.ptp(shares) < 1e-9 else None


def balanced_threshold(leanings: int) -> float:
    """Real fraction below which K leanings in balance have amplified states of one leaning.

    ``K (K - 2 sqrt(K - 1)) / (K - 2)^2`` for unweighted real data, 1/2 for K = 2. A state with
    share x of one leaning and the rest evenly over the others is a fixed point exactly if
    ``K x^2 - (2 + (1 - F)(K - 2)) x + F = 0``. The balanced state itself attracts if F is above
    1/2, whatever K: between the two fractions both attract.
    """
    if leanings < 2:
        raise InputError(f"{leanings} leanings: there must be at least two")
    if leanings == 2:
        return 0.5
    K = float(leanings)
    return K * (K - 2.0 * float(np.sqrt(K - 1.0))) / (K - 2.0) ** 2
