"""What share of real data keeps the next generation near the real shares, under theory's map.

The model: a set of articles is a distribution p over leanings, the real one is q. The next model
is fitted to a training set of which a share F is real, and writes with the fitted shares (see
docs/theory.md). What weighs a training article is an assumption, so the answer is given for each.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.errors import InputError
from biasloop.theory import population_map

#: Name -> estimator and real weight of `theory.population_map`: every article alike; synthetic
#: ones by how likely the model found them and real ones fully; all by how likely it found them.
ASSUMPTIONS: Mapping[str, tuple[str, str]] = {
    "no amplification": ("mle", "density"),
    "real data unweighted": ("wmle", "one"),
    "real data weighted": ("wmle", "density"),
}

#: One row per assumption. ``share`` (0 to 1, of the training set) is null where none suffices,
#: ``low`` and ``high`` are its 95 % interval; ``high`` is null where none suffices in more than
#: 2.5 % of resamples.
NEEDED = pl.Schema(
    {"assumption": pl.String, "share": pl.Float64, "low": pl.Float64, "high": pl.Float64}
)

_GRID = np.linspace(0.0, 1.0, 101)
_LARGEST = 1 - 1e-6


def next_shares(
    synthetic: np.ndarray, real: np.ndarray, real_share: float, assumption: str
) -> np.ndarray:
    """Give the next generation's shares.

    Parameters
    ----------
    synthetic, real
        Shares by leaning, each above 0, of shape (..., leanings) and (leanings,).
    real_share
        Real articles in the training set, 0 to 1.
    assumption
        One of `ASSUMPTIONS`.
    """
    estimator, weight = ASSUMPTIONS[assumption]
    if real_share <= 0:
        return population_map(synthetic, tuple(real), family="categorical", estimator=estimator)
    return population_map(
        synthetic,
        tuple(real),
        family="categorical",
        estimator=estimator,
        regime="preservation",
        real_fraction=min(real_share, _LARGEST),
        real_weight=weight,
    )


def needed_real_share(
    synthetic: np.ndarray, real: np.ndarray, tolerance: float, assumption: str
) -> float | None:
    """Find the least share of real data from which on every leaning stays within a tolerance.

    Parameters
    ----------
    synthetic, real
        Shares by leaning, each above 0; shape (leanings,).
    tolerance
        Largest distance of any leaning's next share from its real share, 0 to 1.
    assumption
        One of `ASSUMPTIONS`.

    Returns
    -------
    float or None
        To about 1e-6; None where not even (almost) real data alone suffice.
    """
    if not 0 < tolerance < 1:
        raise InputError(f"the tolerance must lie between 0 and 1, not {tolerance:g}")

    def beyond(share: float) -> bool:
        after = next_shares(synthetic, real, share, assumption)
        return bool(np.abs(after - real).max() > tolerance)

    outside = [share for share in _GRID if beyond(float(share))]
    if not outside:
        return 0.0
    low = float(outside[-1])
    if low >= 1.0:
        return None
    high = low + float(_GRID[1])
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(middle) else (low, middle)
    return high


def needed_table(
    synthetic: np.ndarray,
    real: np.ndarray,
    tolerance: float,
    random: np.random.Generator,
    resamples: int = 60,
) -> pl.DataFrame:
    """Answer for every assumption, with the uncertainty of both sets' shares.

    Parameters
    ----------
    synthetic, real
        Counts by leaning, shape (leanings,).
    tolerance
        See `needed_real_share`.
    random, resamples
        Of the counts: draws from their Dirichlet posterior under Jeffreys' prior.

    Returns
    -------
    pl.DataFrame
        `NEEDED`.
    """
    draws = [
        (random.dirichlet(synthetic + 0.5), random.dirichlet(real + 0.5)) for _ in range(resamples)
    ]
    centre = tuple((c + 0.5) / (c + 0.5).sum() for c in (synthetic, real))
    rows = []
    for name in ASSUMPTIONS:
        found = [needed_real_share(p, q, tolerance, name) for p, q in draws]
        ordered = np.sort([np.inf if share is None else share for share in found])
        low, high = np.quantile(ordered, [0.025, 0.975], method="inverted_cdf")
        ends = [float(end) if np.isfinite(end) else None for end in (low, high)]
        rows.append((name, needed_real_share(*centre, tolerance, name), *ends))
    return pl.DataFrame(rows, schema=NEEDED, orient="row")
