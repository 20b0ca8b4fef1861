"""What needs no run: a power analysis, the theory, the authors' released results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasloop.api.runs import Run
from biasloop.errors import InputError, nearest

if TYPE_CHECKING:
    from biasloop.analysis import Design
    from biasloop.published import Reproduction
    from biasloop.theory import Chain


def power(
    change: float | None = None,
    margin: float | None = None,
    articles: int | None = None,
    seeds: int = 1,
    target: float = 0.8,
    alpha: float = 0.05,
    run: Run | None = None,
    regime: str | None = None,
    leaning: str | None = None,
    accuracy: float | None = None,
    **assumed: float | None,
) -> dict[str, Any]:
    """Say how many articles and seeds show a change of a leaning's share, or that there is none.

    Parameters
    ----------
    change, margin, articles
        ``change`` gives the articles needed, ``articles`` the smallest change that shows, both the
        power; ``margin`` in place of ``change`` plans for showing that nothing moved. Changes are
        shares, -1 to 1.
    seeds, target, alpha
        Chains per regime, the wanted power and the test's level.
    run, regime, leaning
        A run to estimate from what is not given, and what of it.
    accuracy
        Of a classifier of two leanings: of a true change 2 x accuracy - 1 is read.
    **assumed
        ``share`` before (0 to 1), ``correlation``, ``common`` and ``between`` of
        `analysis.Design`, in place of the estimates.

    Returns
    -------
    dict
        ``design`` (`analysis.Design`) and what was asked for: ``articles``, ``change``, ``power``,
        ``articles_to_hold``, ``seeds_to_hold`` or ``hold``.

    Raises
    ------
    InputError
        If these do not fit together.
    """
    from dataclasses import asdict, fields, replace

    from biasloop import analysis

    if change is None and articles is None and margin is None:
        raise InputError(
            "give --change POINTS, --margin POINTS, --articles N, or one with --articles"
        )
    if change is not None and margin is not None:
        raise InputError("--change plans for showing a change, --margin for showing none: give one")
    if accuracy is not None and not 0.5 < accuracy <= 1:
        raise InputError(f"--accuracy must lie above 0.5 and at most at 1, not {accuracy:g}")
    if run is None and (regime or leaning):
        raise InputError("--regime and --leaning are of a run: give --run RUN as well")
    known = {field.name for field in fields(analysis.Design)}
    if unknown := sorted(set(assumed) - known):
        raise InputError(f"power: {unknown[0]}: {nearest(unknown[0], known)}")
    given = {name: value for name, value in assumed.items() if value is not None}
    if accuracy is not None:
        given["youden"] = 2 * accuracy - 1
    design = analysis.Design(0.5, alpha=alpha)
    if run is not None:
        design = _design_of(run, regime, leaning, alpha, accuracy is not None)
    design = replace(design, **given)
    found: dict[str, Any] = {"design": asdict(design), "seeds": seeds, "articles": articles}
    found |= {"change": change}
    if change is None or articles is None:
        found["wanted_power"] = target
    if margin is not None:
        found["margin"] = margin
        if articles is None:
            found["articles_to_hold"] = analysis.articles_to_hold(design, margin, target, seeds)
        else:
            hold = analysis.can_hold(design, articles, seeds, margin, target)
            found |= {"hold": asdict(hold), "articles_to_hold": hold.articles}
        if found["articles_to_hold"] is None:
            found["seeds_to_hold"] = analysis.seeds_to_hold(design, margin, target)
    elif change is None and articles is not None:
        found["change"] = analysis.detectable_change(design, articles, target, seeds)
    elif change is not None and articles is None:
        found["articles"] = analysis.articles_needed(design, change, target, seeds)
    elif change is not None and articles is not None:
        found["power"] = analysis.power(design, change, articles, seeds)
    return found


def _design_of(
    run: Run, regime: str | None, leaning: str | None, alpha: float, known: bool
) -> Design:
    """Estimate a run's design; its classifier's errors only where they are not ``known``."""
    from biasloop.analysis import (
        design_of,
        followed_leaning,
        instrument_confusion,
        outcomes,
        tables_of,
    )

    results = run.results
    if leaning is not None and leaning not in results.labels:
        raise InputError(f"--leaning: '{leaning}': {nearest(leaning, results.labels)}")
    followed = leaning or followed_leaning(results.config, results.labels)
    chosen = regime or results.config.regimes[0].label
    confusion = None if known else instrument_confusion(results.cards, results.labels)
    return design_of(outcomes(tables_of(results)), followed, chosen, alpha, confusion)


def simulate(
    estimator: str = "wmle",
    out: str | Path | None = None,
    **settings: Any,  # noqa: ANN401 - `theory.settings` checks them
) -> Chain:
    """Simulate bias amplification on distributions, without a language model.

    Parameters
    ----------
    estimator
        ``wmle``, weighted by the previous fit, or ``mle``.
    out
        A folder for figures and tables; None writes nothing.
    **settings
        Others of `theory.settings`: ``pretrained`` and ``real`` (parameters), ``samples``
        (``math.inf`` is the limit), ``family``, ``generations``, ``replicates``, ``regime``, ...
    """
    from biasloop import theory

    chain = theory.run(theory.settings(estimator, **settings))
    if out is not None:
        theory.save(chain, Path(out))
    return chain


def reproduce(
    folder: str | Path, leaning: str | None = None, out: str | Path | None = None
) -> Reproduction:
    """Analyse the authors' released files anew; see docs/published.md.

    Parameters
    ----------
    folder
        The release, or results of another experiment in its formats.
    leaning
        The label to follow; None takes the last of the files.
    out
        A folder for page, figures and tables; None writes nothing.
    """
    from biasloop.published import read_published, write_reproduction
    from biasloop.published import reproduce as analyse

    found = analyse(read_published(Path(folder)), leaning)
    if out is not None:
        write_reproduction(found, Path(out))
    return found
