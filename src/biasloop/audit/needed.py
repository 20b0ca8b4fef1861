"""What share of real data keeps the next generation near the real shares, under theory's map.

The model: a set of articles is a distribution p over leanings, the real one is q. The next model
is fitted to a training set of which a share F is real, and writes with the fitted shares (see
docs/theory.md). What weighs a training article is an assumption, so the answer is given for each.
The maps are those of `theory.population_map`, written out so that many p and q are had at once; a
test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from biasloop.analysis import Corrections, nearest_distribution
from biasloop.errors import InputError


def _unweighted(p: np.ndarray, q: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Every article alike."""
    return (1 - share) * p + share * q


def _real_unweighted(p: np.ndarray, q: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Synthetic articles by how likely the model found them, real ones fully."""
    return (1 - share) * _scaled(p**2) + share * q


def _all_weighted(p: np.ndarray, q: np.ndarray, share: np.ndarray) -> np.ndarray:
    """All articles by how likely the model found them."""
    return _scaled(p * _unweighted(p, q, share))


def _scaled(values: np.ndarray) -> np.ndarray:
    return values / values.sum(axis=-1, keepdims=True)


#: Name -> p, q and F (all broadcasting) to the next shares.
ASSUMPTIONS: Mapping[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "no amplification": _unweighted,
    "real data unweighted": _real_unweighted,
    "real data weighted": _all_weighted,
}

#: One row per assumption. ``share`` (0 to 1, of the training set) is null where none suffices,
#: ``low`` and ``high`` are its 95 % interval; ``high`` is null where none suffices in more than
#: 2.5 % of resamples.
NEEDED = pl.Schema(
    {"assumption": pl.String, "share": pl.Float64, "low": pl.Float64, "high": pl.Float64}
)

_GRID = np.linspace(0.0, 1.0, 101)
_HALVINGS = 20
_LEAST = 1e-6


def next_shares(
    synthetic: np.ndarray, real: np.ndarray, real_share: float | np.ndarray, assumption: str
) -> np.ndarray:
    """Give the next generation's shares.

    Parameters
    ----------
    synthetic, real
        Shares by leaning, each above 0, of shape (..., leanings).
    real_share
        Real articles in the training set, 0 to 1; shape (...).
    assumption
        One of `ASSUMPTIONS`.
    """
    share = np.asarray(real_share, dtype=float)[..., None]
    return ASSUMPTIONS[assumption](np.asarray(synthetic), np.asarray(real), share)


def needed_real_share(
    synthetic: np.ndarray, real: np.ndarray, tolerance: float, assumption: str
) -> np.ndarray:
    """Find the least share of real data from which on every leaning stays within a tolerance.

    Parameters
    ----------
    synthetic, real
        Shares by leaning, each above 0; shape (..., leanings).
    tolerance
        Largest distance of any leaning's next share from its real share, 0 to 1.
    assumption
        One of `ASSUMPTIONS`.

    Returns
    -------
    np.ndarray
        Shape (...), to about 1e-8; NaN where not even real data alone suffice.
    """
    if not 0 < tolerance < 1:
        raise InputError(f"the tolerance must lie between 0 and 1, not {tolerance:g}")
    p, q = np.broadcast_arrays(np.asarray(synthetic, float), np.asarray(real, float))

    def beyond(share: np.ndarray) -> np.ndarray:
        after = next_shares(p, q, share, assumption)
        return np.abs(after - q).max(axis=-1) > tolerance

    outside = np.stack([beyond(np.full(p.shape[:-1], share)) for share in _GRID])
    # The last grid point outside; -1 where none is.
    last = len(_GRID) - 1 - np.argmax(outside[::-1], axis=0)
    last = np.where(outside.any(axis=0), last, -1)
    low = _GRID[np.maximum(last, 0)]
    high = np.minimum(low + _GRID[1], 1.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        still = beyond(middle)
        low, high = np.where(still, middle, low), np.where(still, high, middle)
    found = np.where(last < 0, 0.0, high)
    return np.where(last == len(_GRID) - 1, np.nan, found)


def needed_table(
    synthetic: np.ndarray,
    real: np.ndarray,
    corrections: Corrections,
    tolerance: float,
    random: np.random.Generator,
) -> pl.DataFrame:
    """Answer for every assumption, with the uncertainty of both sets' shares.

    A classifier that errs draws the shares of both sets together, and what it reads asks for too
    little real data: so both are corrected for its errors, whose rates are drawn along.

    Parameters
    ----------
    synthetic, real
        Counts by level of damage and by leaning as read, shape (levels, leanings).
    corrections
        What a reading counts for on each level, with draws of the error rates.
    tolerance
        See `needed_real_share`.
    random
        Draws the counts as often as there are error rates, from their Dirichlet posterior under
        Jeffreys' prior.

    Returns
    -------
    pl.DataFrame
        `NEEDED`.
    """
    drawn, centre = [], []
    for counts in (synthetic, real):
        used = counts.sum(axis=1) > 0
        cells = counts[used] + 0.5
        share = random.dirichlet(cells.ravel(), size=len(corrections.drawn))
        by_level = share.reshape(-1, *cells.shape)
        drawn.append(_corrected(by_level, corrections.drawn[:, used]))
        centre.append(_corrected(cells / cells.sum(), corrections.point[used]))
    rows = []
    for name in ASSUMPTIONS:
        found = np.nan_to_num(needed_real_share(*drawn, tolerance, name), nan=np.inf)
        ends = np.quantile(found, [0.025, 0.975], method="inverted_cdf")
        figures = (float(needed_real_share(*centre, tolerance, name)), *map(float, ends))
        rows.append((name, *(value if np.isfinite(value) else None for value in figures)))
    return pl.DataFrame(rows, schema=NEEDED, orient="row")


def _corrected(read: np.ndarray, counts_for: np.ndarray) -> np.ndarray:
    """Shares of a set, from those of its articles on each level and read as each leaning."""
    shares = nearest_distribution(np.einsum("...kr,...krj->...j", read, counts_for))
    # The maps want every share above 0, and a correction may end at 0.
    return _scaled(np.maximum(shares, _LEAST))
