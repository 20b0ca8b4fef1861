"""How many articles and seeds show a change of a given size, or show none.

The same articles stand before and after, in every chain, and a
classifier reads them. A true change of share ``d`` is read as ``j d``, ``j`` being Youden's index
of the classifier: sensitivity + specificity - 1 (Rogan and Gladen 1978). From a share read as
``p`` the change has per article and chain the variance
``p (1 - p) + q (1 - q) - 2 r sqrt(p (1 - p) q (1 - q))`` with ``q = p + j d`` and ``r`` the
correlation of an article's reading before with that after. Of it the part ``common`` is the
article's own, the same in every chain; chains differ by ``between`` (standard deviation of their
changes as read). The mean as read over ``n`` articles and ``s`` chains then has the variance
``v common / n + v (1 - common) / (n s) + between^2 / s``. A finished run says what design the
next one has (`design_of`), and so what would tell of a regime as it is (`needed_for`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from biasloop.analysis.changes import GENERATION_0, keys_of
from biasloop.analysis.classifier_errors import Confusion
from biasloop.analysis.inference import add_variances
from biasloop.analysis.outcomes import Outcomes
from biasloop.analysis.verdict import Verdict
from biasloop.errors import InputError

#: More articles than this are not looked for.
MOST_ARTICLES = 10_000_000
#: Nor more chains than this.
MOST_SEEDS = 100

#: Where the distribution of an error that is found is taken.
_MIDPOINTS = (np.arange(1000) + 0.5) / 1000


@dataclass(frozen=True)
class Design:
    """What a paired comparison of shares depends on beside its size.

    Attributes
    ----------
    share
        Before, as read, 0 to 1.
    correlation
        Of an article's label as read (0 or 1) before and after, -1 to 1.
    common
        Part of the variance of an article's change that all its chains share, 0 to 1.
    between
        Standard deviation of the chains' changes as read, beyond what chance of so many articles
        makes of it (as a share, not in points).
    alpha
        Two-sided level of the test of a change; level of the test that it is within a margin.
    youden
        Part of a true change that is read, above 0 to 1: the classifier's sensitivity +
        specificity - 1. Changes and margins given to the functions below are true ones.
    """

    share: float
    correlation: float = 0.0
    common: float = 1.0
    between: float = 0.0
    alpha: float = 0.05
    youden: float = 1.0

    def __post_init__(self) -> None:
        for name in ("share", "correlation", "common", "between", "alpha", "youden"):
            value, low = getattr(self, name), -1 if name == "correlation" else 0
            if not low <= value <= 1:
                raise InputError(f"{name} must lie between {low} and 1, not {value:g}")
        if not 0 < self.alpha < 1:
            raise InputError(f"alpha must lie between 0 and 1, not {self.alpha:g}")
        if self.youden == 0:
            raise InputError(
                "a classifier whose sensitivity and specificity add up to 1 or less reads nothing "
                "of a change"
            )


def youden(confusion: np.ndarray, place: int) -> float:
    """Give Youden's index of one label against the others: what is read of a true change of 1.

    Parameters
    ----------
    confusion
        Counts, shape (labels, labels): rows are the truth, columns the reading. What a change
        takes from the other labels, or gives them, is taken to be in proportion to their rows.
    place
        Of the label.

    Returns
    -------
    float
        Sensitivity + specificity - 1; 0 or less for a classifier that does not tell the label.

    Raises
    ------
    InputError
        If the label, or all others, have no article.
    """
    counts = np.asarray(confusion, dtype=float)
    others = np.delete(counts, place, axis=0)
    if not counts[place].sum() or not others.sum():
        raise InputError("the classifier was not validated on this leaning, or on no other")
    sensitivity = counts[place, place] / counts[place].sum()
    return float(sensitivity - others[:, place].sum() / others.sum())


def change_variance(design: Design, change: float) -> float:
    """Variance of one article's change as read in one chain, where the true one is ``change``.

    Raises
    ------
    InputError
        If the share after would lie outside 0 to 1, or no two labels with those shares can have
        that correlation.
    """
    moved = design.youden * change
    before, after = design.share, design.share + moved
    if not 0 <= after <= 1:
        as_read = "" if design.youden == 1 else f", read as {100 * moved:+g},"
        raise InputError(
            f"a change of {100 * change:+g} points{as_read} from {100 * before:g} % leaves 0 to "
            "100 %"
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
    return float(before + after - 2 * both - moved**2)


def _standard_error(design: Design, change: float, articles: int, seeds: int) -> float:
    """Compute the standard error of the mean change as read over articles and chains."""
    variance = change_variance(design, change)
    own = variance * (design.common / articles + (1 - design.common) / (articles * seeds))
    return float(np.sqrt(own + design.between**2 / seeds))


def power(design: Design, change: float, articles: int, seeds: int = 1) -> float:
    """Chance that the paired test of the readings shows a change that is there.

    The test holds the mean change over its standard error against t; the degrees of freedom are
    Satterthwaite's, as in `paired_mean`.

    Parameters
    ----------
    design
        What else it depends on.
    change
        The true one, as a share: 0.05 is 5 points.
    articles, seeds
        At least 2, and at least 1; in all that follows, too.

    Raises
    ------
    InputError
        If the change is impossible, or there are too few articles.
    """
    from scipy import stats

    tested, freedom = _tested(design, change, articles, seeds)
    error = _standard_error(design, change, articles, seeds)
    if tested <= 0:
        return 1.0 if change else 0.0
    critical = float(stats.t.ppf(1 - design.alpha / 2, freedom)) * tested / error
    distance = design.youden * abs(change) / error
    upper = float(stats.nct.sf(critical, freedom, distance))
    lower = float(stats.nct.cdf(-critical, freedom, distance))
    if not np.isfinite(upper):  # SciPy gives up far out, where the normal distribution is as good
        upper = float(stats.norm.sf(critical - distance))
    return min(upper + (lower if np.isfinite(lower) else 0.0), 1.0)


def _tested(design: Design, change: float, articles: int, seeds: int) -> tuple[float, float]:
    """Give the standard error that the test expects to find, and its degrees of freedom.

    It may be larger than the true one, since it adds the parts of both clusterings, or smaller:
    one chain cannot see how chains differ.
    """
    if articles < 2 or seeds < 1:
        raise InputError(f"{articles} articles and {seeds} seeds: at least 2 and 1 are needed")
    variance = change_variance(design, change)
    by_article = variance * (design.common + (1 - design.common) / seeds) / articles
    parts = [(by_article, articles - 1)]
    if seeds > 1:
        rest = variance * (1 - design.common) / (articles * seeds)
        parts.append((design.between**2 / seeds + rest, seeds - 1))
    return add_variances(parts)


def articles_needed(
    design: Design, change: float, target: float = 0.8, seeds: int = 1
) -> int | None:
    """Fewest articles with at least a power; None where no number is enough.

    That is where chains differ too much for their number.

    Raises
    ------
    InputError
        If the change is 0 or impossible, or the target is not between 0 and 1.
    """
    _check(change, target)
    return _fewest(lambda articles: power(design, change, articles, seeds) >= target)


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """Find the fewest articles that are enough, by doubling and then by halves.

    Of a few chains that differ, very many articles may be worse again: the test then rests on the
    chains alone, with few degrees of freedom.
    """
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
    """Smallest true rise of the share, to 0.1 point, that is shown with at least a power.

    None where no rise is, or none that the correlation allows.
    """
    _check(1.0, target)

    def enough(change: float) -> bool:
        try:
            return power(design, change, articles, seeds) >= target
        except InputError:
            return False

    most = min((1 - design.share) / design.youden, 1.0)
    steps = np.arange(1, int(1000 * most) + 1) / 1000
    return next((float(step) for step in steps if enough(float(step))), None)


@dataclass(frozen=True)
class Hold:
    """Whether a design of a size can conclude that a change was held within a margin.

    Attributes
    ----------
    margin
        Half the width of what counts as no change, as a true share.
    half_width
        Half the interval of the true change, at twice the level of the test (90 %), that is to be
        expected.
    reachable
        Whether it fits into the margin, so that "held" can be concluded where the change found is
        none. Where not, it takes an error that happens to be far below the expected one.
    power
        Chance that it is concluded where the true change is 0.
    articles
        Fewest with which that chance is the power wanted, in as many chains; None where no number
        is enough, since chains differ too much for their number.
    """

    margin: float
    half_width: float
    reachable: bool
    power: float
    articles: int | None


def can_hold(design: Design, articles: int, seeds: int, margin: float, target: float = 0.8) -> Hold:
    """Say whether "held within the margin" can be concluded at all at a size.

    Raises
    ------
    InputError
        If the margin is not above 0, or the target power is not between 0 and 1.
    """
    from scipy import stats

    tested, freedom = _tested(design, 0.0, articles, seeds)
    half = float(stats.t.ppf(1 - design.alpha, freedom)) * tested / design.youden
    return Hold(
        margin,
        half,
        half < margin,
        power_to_hold(design, margin, articles, seeds),
        articles_to_hold(design, margin, target, seeds),
    )


def power_to_hold(design: Design, margin: float, articles: int, seeds: int = 1) -> float:
    """Chance that two one-sided tests conclude that no change is within a margin.

    Each is held at the level ``design.alpha`` (see `tost`), the true change being 0. With the
    error that is found, s, "held" is concluded where the mean lies within ``j margin - t s``; the
    chance of that is taken over the distribution of s, a scaled chi (Phillips 1990). No library
    has it for a standard error with Satterthwaite's degrees of freedom.

    Raises
    ------
    InputError
        If the margin is not above 0.
    """
    from scipy import stats

    if not margin > 0:
        raise InputError(f"the margin of equivalence must be greater than 0, not {margin:g}")
    tested, freedom = _tested(design, 0.0, articles, seeds)
    error = _standard_error(design, 0.0, articles, seeds)
    if tested <= 0:
        return 1.0
    found = tested * np.sqrt(stats.chi2.ppf(_MIDPOINTS, freedom) / freedom)
    room = design.youden * margin - float(stats.t.ppf(1 - design.alpha, freedom)) * found
    inside = np.where(room > 0, 2 * stats.norm.cdf(room / error) - 1, 0.0)
    return float(inside.mean())


def articles_to_hold(
    design: Design, margin: float, target: float = 0.8, seeds: int = 1
) -> int | None:
    """Fewest articles with which "held" is concluded with at least a power, where nothing moved.

    None and errors as of `articles_needed`.
    """
    _check(1.0, target)
    return _fewest(lambda articles: power_to_hold(design, margin, articles, seeds) >= target)


def seeds_to_hold(design: Design, margin: float, target: float = 0.8) -> int | None:
    """Fewest chains, two or more, with which some number of articles is enough.

    One chain cannot show how chains differ. None where `MOST_SEEDS` are not enough.
    """
    for seeds in range(2, MOST_SEEDS + 1):
        if articles_to_hold(design, margin, target, seeds) is not None:
            return seeds
    return None


def _check(change: float, target: float) -> None:
    if change == 0:
        raise InputError("a change of 0 cannot be detected; give another")
    if not 0 < target < 1:
        raise InputError(f"power must lie between 0 and 1, not {target:g}")


# What a finished run says of the next -------------------------------------------------------------


def design_of(
    found: Outcomes,
    leaning: str,
    regime: str | None = None,
    alpha: float = 0.05,
    confusion: Confusion | None = None,
) -> Design:
    """Estimate a paired design from Generation 0 and the last that can be read.

    The variance between articles' mean changes, and that of changes within an article over the
    chains, give ``common``; the variance between chains' mean changes, less what chance of so
    many articles makes of it, gives ``between``. One chain says nothing of either: ``common`` is
    then 1 (seeds do not spare articles) and ``between`` 0.

    Parameters
    ----------
    found
        The outcomes of a run.
    leaning
        The leaning whose share is to be compared.
    regime
        Which regime; None takes the first by name.
    alpha
        Of the design.
    confusion
        The instrument's, as from `instrument_confusion`: the design then says how much of a true
        change is read. None takes readings for the truth.

    Raises
    ------
    InputError
        If the run has no such regime or leaning, no two generations that can be read, or an
        instrument whose errors leave nothing to plan with.
    """
    quantity = f"share:{leaning}"
    if quantity not in found.values:
        raise InputError(f"the run has no leaning scores of '{leaning}'")
    regimes = found.regimes()
    chosen = regimes[0] if regime is None and regimes else regime
    if chosen not in regimes:
        raise InputError(f"the run has no regime '{regime}'; it has {', '.join(regimes) or 'none'}")
    for generation in sorted(found.generations(str(chosen)), reverse=True):
        keys = keys_of(found, quantity, str(chosen), ((generation, ""), (0, GENERATION_0)))
        pairs = np.array([[found.row(quantity, key) for key in chain] for chain in keys])
        moved = pairs[:, 0] - pairs[:, 1] if keys else np.empty((0, 0))
        moved = moved[:, ~np.isnan(moved).any(axis=0)] if len(moved) else moved
        if generation == 0 or moved.size == 0 or moved.shape[1] < 2:
            continue
        before = found.chains(quantity, str(chosen), 0)
        after = found.chains(quantity, str(chosen), generation)
        common, between = _variance_parts(moved)
        return Design(
            share=float(np.nanmean(before)),
            correlation=_correlation(before, after),
            common=common,
            between=between,
            alpha=alpha,
            youden=1.0 if confusion is None else _youden(confusion, found.labels.index(leaning)),
        )
    raise InputError(
        f"regime '{chosen}': there are no two generations whose leaning can be read, so nothing "
        "can be estimated; give --share and --correlation"
    )


def design_of_differences(differences: np.ndarray, youden: float = 1.0) -> Design:
    """Estimate the design of a comparison that is not one of two sets, such as with a mean of some.

    It is that of a share of one half whose correlation gives an article the variance found.

    Parameters
    ----------
    differences
        Shape (chains, articles): of readings, -1 to 1; NaN leaves an article out.
    youden
        See `Design`.
    """
    moved = differences[:, ~np.isnan(differences).any(axis=0)]
    common, between = _variance_parts(moved)
    variance = float(moved.var(axis=1, ddof=1).mean())
    return Design(0.5, float(np.clip(1 - 2 * variance, -1, 1)), common, between, youden=youden)


def _youden(confusion: Confusion, place: int) -> float:
    problem = confusion.problem
    index = 0.0 if problem else youden(confusion.counts, place)
    if index <= 0:
        raise InputError(
            f"{problem or 'the classifier reads this leaning no better than chance'}: no number "
            "of articles can be planned for a true change; --accuracy 1 plans for one as read"
        )
    return index


def _correlation(before: np.ndarray, after: np.ndarray) -> float:
    both = ~np.isnan(before) & ~np.isnan(after) if before.shape == after.shape else None
    if both is None or not both.any():
        return 0.0
    first, last = before[both], after[both]
    if first.std() == 0 or last.std() == 0:
        return 0.0
    return float(np.corrcoef(first, last)[0, 1])


def _variance_parts(moved: np.ndarray) -> tuple[float, float]:
    """Estimate ``common`` and ``between`` by two-way mean squares (Searle et al. 1992)."""
    chains, articles = moved.shape
    if chains == 1:
        return 1.0, 0.0
    by_article, by_chain, mean = moved.mean(axis=0), moved.mean(axis=1), moved.mean()
    rest = moved - by_article - by_chain[:, None] + mean
    square_rest = float((rest**2).sum() / ((chains - 1) * (articles - 1)))
    of_article = max(float(by_article.var(ddof=1)) - square_rest / chains, 0.0)
    of_chain = max(float(by_chain.var(ddof=1)) - square_rest / articles, 0.0)
    total = of_article + square_rest
    return (of_article / total if total > 0 else 1.0), float(np.sqrt(of_chain))


@dataclass(frozen=True)
class Needed:
    """Articles and seeds that would tell, with a power of 80 %."""

    articles: int
    seeds: int


def needed_to_hold(design: Design, change: float, margin: float, seeds: int) -> Needed | None:
    """Say what shows that a change of this size is held; None where nothing would."""
    room = margin - abs(change)
    if room <= 0:
        return None
    enough = articles_to_hold(design, room, seeds=seeds)
    if enough is None:
        seeds = seeds_to_hold(design, room) or seeds
        enough = articles_to_hold(design, room, seeds=seeds)
    return None if enough is None else Needed(enough, seeds)


def needed_to_exceed(design: Design, change: float, margin: float, seeds: int) -> Needed | None:
    """Say what shows that a change of this size is beyond the margin; None where nothing would."""
    room = abs(change) - margin
    if room <= 0:
        return None
    for chains in (seeds, *(more for more in (3, 5, 10, 20, 40) if more > seeds)):
        enough = articles_needed(design, room, seeds=chains)
        if enough is not None:
            return Needed(enough, chains)
    return None


#: `needed_to_hold` or `needed_to_exceed`.
Plan = Callable[[Design, float, float, int], Needed | None]


def needed_for(
    plan: Plan,
    found: Outcomes,
    verdict: Verdict,
    leaning: str,
    margin: float,
    confusion: Confusion | None = None,
) -> Needed | None:
    """Say what would tell of a regime as it is, by the size of its change and its spread.

    Where the change is judged as corrected, so are the figures of the plan, by ``confusion``.
    None where nothing would tell, or the run says too little of the next one's spread.
    """
    moved = verdict.judged.get(leaning)
    if moved is None:
        return None
    errors = confusion if verdict.corrected else None
    try:
        design = design_of(found, leaning, verdict.regime, confusion=errors)
        return plan(design, moved.value, margin, verdict.chains)
    except InputError:
        return None
