"""How many articles and seeds show a change of a given size? Knows the design, not a run.

The design: the same articles before and after, in every chain. A change of share ``d`` from a
share ``p`` has per article and chain the variance
``p (1 - p) + q (1 - q) - 2 r sqrt(p (1 - p) q (1 - q))`` with ``q = p + d`` and ``r`` the
correlation of an article's label before with that after. Of it the part ``common`` is the
article's own, the same in every chain; chains differ by ``between`` (standard deviation of their
true changes). The mean over ``n`` articles and ``s`` chains then has the variance
``v common / n + v (1 - common) / (n s) + between^2 / s``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biasloop.errors import InputError

#: More articles than this are not looked for.
MOST_ARTICLES = 10_000_000


@dataclass(frozen=True)
class Design:
    """What a paired comparison of shares depends on beside its size.

    Attributes
    ----------
    share
        Before, 0 to 1.
    correlation
        Of an article's label (0 or 1) before and after, -1 to 1.
    common
        Part of the variance of an article's change that all its chains share, 0 to 1.
    between
        Standard deviation of the chains' true changes (as a share, not in points).
    alpha
        Two-sided level of the test.
    """

    share: float
    correlation: float = 0.0
    common: float = 1.0
    between: float = 0.0
    alpha: float = 0.05

    def __post_init__(self) -> None:
        for name, low, high in (
            ("share", 0.0, 1.0),
            ("correlation", -1.0, 1.0),
            ("common", 0.0, 1.0),
            ("between", 0.0, 1.0),
            ("alpha", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} must lie between {low:g} and {high:g}, not {value:g}")
        if not 0 < self.alpha < 1:
            raise InputError(f"alpha must lie between 0 and 1, not {self.alpha:g}")


def change_variance(design: Design, change: float) -> float:
    """Variance of one article's change in one chain.

    Raises
    ------
    InputError
        If the share after would lie outside 0 to 1, or no two labels with those shares can have
        that correlation.
    """
    before, after = design.share, design.share + change
    if not 0 <= after <= 1:
        raise InputError(
            f"a change of {100 * change:+g} points from {100 * before:g} % leaves 0 to 100 %"
        )
    product = np.sqrt(before * (1 - before) * after * (1 - after))
    both = before * after + design.correlation * product
    if not max(0.0, before + after - 1) - 1e-9 <= both <= min(before, after) + 1e-9:
        low = (max(0.0, before + after - 1) - before * after) / product
        high = (min(before, after) - before * after) / product
        raise InputError(
            f"shares of {100 * before:g} % and {100 * after:g} % cannot have a correlation of "
            f"{design.correlation:g}: it lies between {low:.2f} and {high:.2f}"
        )
    return float(before + after - 2 * both - change**2)


def standard_error(design: Design, change: float, articles: int, seeds: int) -> float:
    """Compute the standard error of the mean change over articles and chains."""
    variance = change_variance(design, change)
    own = variance * (design.common / articles + (1 - design.common) / (articles * seeds))
    return float(np.sqrt(own + design.between**2 / seeds))


def power(design: Design, change: float, articles: int, seeds: int = 1) -> float:
    """Chance that the paired test shows a change that is there.

    The test holds the mean change over its standard error against t; the degrees of freedom are
    Satterthwaite's, as in `paired_mean`.

    Parameters
    ----------
    design
        What else it depends on.
    change
        As a share: 0.05 is 5 points.
    articles, seeds
        At least 2, and at least 1.

    Raises
    ------
    InputError
        If the change is impossible, or there are too few articles.
    """
    from scipy import stats

    if articles < 2 or seeds < 1:
        raise InputError(f"{articles} articles and {seeds} seeds: at least 2 and 1 are needed")
    variance = change_variance(design, change)
    by_article = variance * (design.common + (1 - design.common) / seeds) / articles
    parts = [(by_article, articles - 1)]
    if seeds > 1:
        rest = variance * (1 - design.common) / (articles * seeds)
        parts.append((design.between**2 / seeds + rest, seeds - 1))
    tested = sum(part for part, _ in parts)
    error = standard_error(design, change, articles, seeds)
    if tested <= 0:
        return 1.0 if change else 0.0
    freedom = tested**2 / sum(part**2 / own for part, own in parts)
    # The test's own error may be larger than the true one, since it adds the parts of both
    # clusterings, or smaller: one chain cannot see how chains differ.
    critical = float(stats.t.ppf(1 - design.alpha / 2, freedom)) * np.sqrt(tested) / error
    distance = abs(change) / error
    upper = float(stats.nct.sf(critical, freedom, distance))
    lower = float(stats.nct.cdf(-critical, freedom, distance))
    if not np.isfinite(upper):  # SciPy gives up far out, where the normal distribution is as good
        upper = float(stats.norm.sf(critical - distance))
    return min(upper + (lower if np.isfinite(lower) else 0.0), 1.0)


def articles_needed(
    design: Design, change: float, target: float = 0.8, seeds: int = 1
) -> int | None:
    """Fewest articles with at least a power.

    Returns
    -------
    int or None
        None where no number of articles is enough, since chains differ too much for their number.

    Raises
    ------
    InputError
        If the change is 0 or impossible, or the target is not between 0 and 1.
    """
    _check(change, target)

    def enough(articles: int) -> bool:
        return power(design, change, articles, seeds) >= target

    high = 4
    while not enough(high):
        high *= 2
        if high > MOST_ARTICLES:
            return None
    low = high // 2 if high > 4 else 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def detectable_change(
    design: Design, articles: int, target: float = 0.8, seeds: int = 1
) -> float | None:
    """Smallest rise of the share, to 0.1 point, that is shown with at least a power.

    Returns
    -------
    float or None
        None where no rise is, or none that the correlation allows.
    """
    _check(1.0, target)

    def enough(change: float) -> bool:
        try:
            return power(design, change, articles, seeds) >= target
        except InputError:
            return False

    steps = np.arange(1, int(1000 * (1 - design.share)) + 1) / 1000
    return next((float(step) for step in steps if enough(float(step))), None)


def _check(change: float, target: float) -> None:
    if change == 0:
        raise InputError("a change of 0 cannot be detected; give another")
    if not 0 < target < 1:
        raise InputError(f"power must lie between 0 and 1, not {target:g}")
