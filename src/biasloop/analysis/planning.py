"""What a finished run says of the next one's size. Knows outcomes; computes no power."""

from __future__ import annotations

import numpy as np

from biasloop.analysis.adjusted import Confusion
from biasloop.analysis.contrasts import GENERATION_0, differences
from biasloop.analysis.outcomes import Outcomes
from biasloop.analysis.power import Design, youden
from biasloop.errors import InputError


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
        moved = differences(found, quantity, str(chosen), generation, GENERATION_0)
        moved = moved[:, ~np.isnan(moved).any(axis=0)] if len(moved) else moved
        if generation == 0 or moved.size == 0 or moved.shape[1] < 2:
            continue
        before = found.chains(quantity, str(chosen), 0)
        after = found.chains(quantity, str(chosen), generation)
        common, between = _parts(moved)
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


def _parts(moved: np.ndarray) -> tuple[float, float]:
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
