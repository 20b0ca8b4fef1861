"""What is left of many p-values once it is said how many there were. Knows no neuron."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biasloop.neurons.design import Floats

#: The error rate that counts are made at.
LEVEL = 0.05


def benjamini_hochberg(pvalues: Floats) -> Floats:
    """Turn p-values into q-values (Benjamini and Hochberg 1995, JRSS B 57(1)).

    Parameters
    ----------
    pvalues
        Shape (tests,); NaN where no test could be made: it is left out of the number of tests.

    Returns
    -------
    np.ndarray
        Shape (tests,); NaN where there is no p-value.
    """
    return _adjusted(pvalues, "fdr_bh")


def bonferroni(pvalues: Floats) -> Floats:
    """Multiply p-values by the number of tests, at most 1; NaN as in `benjamini_hochberg`."""
    return _adjusted(pvalues, "bonferroni")


def _adjusted(pvalues: Floats, method: str) -> Floats:
    from statsmodels.stats.multitest import multipletests

    result = np.full(len(pvalues), np.nan)
    tested = ~np.isnan(pvalues)
    if tested.any():
        result[tested] = multipletests(pvalues[tested], method=method)[1]
    return result


@dataclass(frozen=True)
class Counts:
    """How many of many tests are significant at `LEVEL`.

    Attributes
    ----------
    tests
        Tests made.
    raw, benjamini_hochberg, bonferroni
        Significant without and with a correction.
    by_chance
        Expected of ``raw`` if there were nothing to find.
    """

    tests: int
    raw: int
    benjamini_hochberg: int
    bonferroni: int
    by_chance: float


def count_significant(pvalues: Floats, level: float = LEVEL) -> Counts:
    """Count p-values below a level, raw and corrected."""
    tests = int((~np.isnan(pvalues)).sum())
    return Counts(
        tests,
        int((pvalues < level).sum()),
        int((benjamini_hochberg(pvalues) < level).sum()),
        int((bonferroni(pvalues) < level).sum()),
        level * tests,
    )


@dataclass(frozen=True)
class Overlap:
    """How two sets of neurons, out of the same ones, meet.

    Attributes
    ----------
    first, second, both, total
        Sizes of the sets, of what they share, and of all that was tested for both.
    expected
        Of ``both``, were the sets independent.
    more, fewer
        P-values of at least, and of at most, so many shared: hypergeometric. They take neurons as
        independent draws, which neighbours in a layer are not, so they overstate certainty.
    """

    first: int
    second: int
    both: int
    total: int
    expected: float
    more: float
    fewer: float


def overlap(first: np.ndarray, second: np.ndarray) -> Overlap:
    """Hold the overlap of two sets against chance.

    Parameters
    ----------
    first, second
        Membership, boolean, each of shape (neurons,).
    """
    from scipy.stats import hypergeom

    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    total, a, b = len(first), int(first.sum()), int(second.sum())
    both = int((first & second).sum())
    chance = hypergeom(total, a, b)
    return Overlap(
        a,
        b,
        both,
        total,
        a * b / total if total else 0.0,
        float(chance.sf(both - 1)) if total else 1.0,
        float(chance.cdf(both)) if total else 1.0,
    )
