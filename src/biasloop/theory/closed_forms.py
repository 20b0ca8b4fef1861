"""Results that can be written down: paths, fixed points and thresholds. See docs/theory.md."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from biasloop.errors import InputError
from biasloop.theory.family import Floats


class RealSharePoint(NamedTuple):
    """A fixed point of the share of the second of two leanings.

    Attributes
    ----------
    share
        The share at which nothing changes any more.
    multiplier
        The map's derivative there: a small deviation is multiplied by it at every generation.
    """

    share: float
    multiplier: float


def beta_wmle_path(
    pretrained: tuple[float, float], real: tuple[float, float], generations: int
) -> Floats:
    """Path of WMLE on a Beta with unlimited data in the synthetic regime.

    Generation 0 is Beta(1 + u, 1 + v) with ``u = a + a' - 2`` and ``v = b + b' - 2``; Generation g
    is Beta(1 + 2^g u, 1 + 2^g v).

    Returns
    -------
    Floats
        ``(generations, 2)``.
    """
    start = np.add(pretrained, real) - 2.0
    return 1.0 + 2.0 ** np.arange(generations)[:, None] * start


def beta_bias_direction(pretrained: tuple[float, float], real: tuple[float, float]) -> int:
    """Where the mean of that path goes: +1 up, -1 down, 0 nowhere.

    The sign of ``u - v``, because ``mean_g - 1/2 = (u - v) / (2 (u + v + 2^(1 - g)))``. Bias
    grows after Generation 0 exactly if this is the sign of Generation 0's bias.
    """
    start = np.add(pretrained, real) - 2.0
    return int(np.sign(start[0] - start[1]))


def normal_preservation_variance(real_fraction: float, real_variance: float = 1.0) -> float:
    """Variance at the fixed point of the Normal with unweighted real data: 2F / (1 + F) of real's.

    The mean is the real one; the multipliers are ``1 - F`` (mean) and ``(1 - F) / 2`` (variance),
    so the point attracts for every F in (0, 1].
    """
    return 2.0 * real_fraction / (1.0 + real_fraction) * real_variance


def leaning_thresholds(real: ArrayLike) -> Floats:
    """Real fraction above which a model that writes one leaning only lets go of it.

    For the Categorical with real data weighted like all others: the state "only leaning k" attracts
    if F is below ``1 / (1 + max(q) - q_k)`` and repels above; q are the real shares.

    Returns
    -------
    Floats
        ``(leanings,)``: 1/2 or more; 1 for the most frequent real leaning, which always attracts.
    """
    shares = np.asarray(real, dtype=np.float64)
    return 1.0 / (1.0 + shares.max() - shares)


def two_leanings_fixed_points(real_share: float, real_fraction: float) -> list[RealSharePoint]:
    """All fixed points for two leanings with unweighted real data.

    With ``u = share - 1/2`` and ``r = real_share - 1/2`` they are the real roots of
    ``2 u^3 - 2 F r u^2 + (F - 1/2) u - F r / 2 = 0`` inside the unit interval.

    Parameters
    ----------
    real_share
        Share of the second leaning in the real data, inside (0, 1).
    real_fraction
        F, in (0, 1].

    Returns
    -------
    list of RealSharePoint
        In increasing order: one, or two stable ones with an unstable one between them.
    """
    r, F = real_share - 0.5, real_fraction
    if not (abs(r) < 0.5 and 0.0 < F <= 1.0):
        raise InputError("the real share must lie inside (0, 1) and the real fraction in (0, 1]")
    roots = np.roots([2.0, -2.0 * F * r, F - 0.5, -0.5 * F * r])
    inside = np.sort(roots.real[(np.abs(roots.imag) < 1e-9) & (np.abs(roots.real) < 0.5)])
    return [
        RealSharePoint(
            float(u + 0.5), float((1.0 - F) * (0.5 - 2.0 * u**2) / (0.5 + 2.0 * u**2) ** 2)
        )
        for u in inside
    ]


def two_leanings_threshold(real_share: float) -> float:
    """Real fraction below which two leanings have a second stable, amplified state.

    Where the discriminant of `two_leanings_fixed_points`' cubic changes sign; 1/2 for real data
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
