"""Did chains go away from a point, or only wander about it? Knows paths, not what walks.

Chains that part in different directions have a mean that does not move, and their distance from
where they began grows even where every step is chance: n random steps lead about sqrt(n) of them
away. What chance does not do is to go on in the direction in which a chain already is.
"""

from __future__ import annotations

from itertools import product

import numpy as np

#: Up to this many ways to turn the steps round all of them are counted; beyond, as many are drawn.
_WAYS = 2**14


def walk_pvalue(paths: np.ndarray, random: np.random.Generator) -> float | None:
    """Test whether chains end further from the origin than steps without a direction would lead.

    The null hypothesis is that every step of every chain could as well have led the opposite way.
    The statistic is the mean squared distance of the chains' ends from the origin; its
    distribution is that over all ways to turn steps round (a randomisation test by signs: exact
    whatever the steps' lengths, and cautious where chance of the articles makes a step back follow
    a step forth).

    Parameters
    ----------
    paths
        Shape (chains, generations, coordinates): each chain's place less the reference's.
    random
        Draws the ways where there are too many to count.

    Returns
    -------
    float or None
        One-sided p-value; None where no chain has two steps.
    """
    places = np.asarray(paths, dtype=float)
    chains, generations, _ = places.shape
    if not chains or generations < 3:
        return None
    steps = np.diff(places, axis=1)
    count = chains * (generations - 1)
    if 2**count <= _WAYS:
        signs = np.array(list(product((1.0, -1.0), repeat=count)))
    else:
        signs = random.choice((1.0, -1.0), size=(_WAYS, count))
        signs[0] = 1.0
    turned = signs.reshape(-1, chains, generations - 1)
    ends = places[:, 0] + np.einsum("wcg,cgk->wck", turned, steps)
    squares = (ends**2).sum(axis=-1).mean(axis=-1)
    return float(np.mean(squares >= squares[0] * (1 - 1e-12)))
