"""``biasloop power``: parse, call `biasloop.analysis`, print."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from biasloop.errors import InputError


def power(
    change: Annotated[
        float | None, typer.Option(help="the true change of share to detect, in points")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            help="points of true change that count as held: plans for showing that nothing moved, "
            "in place of --change"
        ),
    ] = None,
    accuracy: Annotated[
        float | None,
        typer.Option(
            help="of the classifier, above 0.5 to 1, its errors the same for both of two "
            "leanings: of a true change 2 x accuracy - 1 is read [default: 1, or what the run's "
            "classifier reads of it by its held-out errors]"
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(help="the share before as read, in % [default: 50, or the run's]"),
    ] = None,
    correlation: Annotated[
        float | None,
        typer.Option(
            help="of an article's label as read before and after, -1 to 1 [default: 0, or the "
            "run's]"
        ),
    ] = None,
    articles: Annotated[
        int | None, typer.Option(min=2, help="how many; left out, how many are needed")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="chains per regime")] = 1,
    common: Annotated[
        float | None,
        typer.Option(
            help="part of the variance of an article's change that its chains share, 0 to 1 "
            "[default: 1, seeds spare no articles; or the run's, of several seeds]"
        ),
    ] = None,
    between: Annotated[
        float | None,
        typer.Option(
            help="standard deviation of the chains' changes as read, in points "
            "[default: 0, or the run's, of several seeds]"
        ),
    ] = None,
    target: Annotated[float, typer.Option("--power", help="wanted, 0 to 1")] = 0.8,
    alpha: Annotated[float, typer.Option(help="two-sided level of the test")] = 0.05,
    run: Annotated[
        str | None, typer.Option(help="a run folder to estimate what is not given from")
    ] = None,
    regime: Annotated[
        str | None, typer.Option(help="of that run [default: the config's first]")
    ] = None,
    leaning: Annotated[
        str | None, typer.Option(help="of that run [default: the followed one]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say how many articles and seeds show a change of a leaning's share, or that there is none.

    Give --change for the articles needed, --articles for the smallest change that shows, both for
    the power; --margin in place of --change for showing that nothing moved. The comparison is
    paired: the same articles before and after.
    """
    import json
    from dataclasses import asdict, replace

    from biasloop.analysis import (
        Design,
        articles_needed,
        articles_to_hold,
        can_hold,
        detectable_change,
        seeds_to_hold,
    )
    from biasloop.analysis import power as power_of

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
    known = accuracy is not None
    design = (
        Design(0.5, alpha=alpha) if run is None else _estimated(run, regime, leaning, alpha, known)
    )
    given = {
        "share": None if share is None else share / 100,
        "correlation": correlation,
        "common": common,
        "between": None if between is None else between / 100,
        "youden": None if accuracy is None else 2 * accuracy - 1,
    }
    design = replace(design, **{name: value for name, value in given.items() if value is not None})
    found: dict[str, Any] = {"design": asdict(design), "seeds": seeds, "articles": articles}
    found["change"] = None if change is None else change / 100
    if margin is not None:
        found["wanted_power"] = target
        if articles is None:
            found["articles_to_hold"] = articles_to_hold(design, margin / 100, target, seeds)
        else:
            hold = can_hold(design, articles, seeds, margin / 100, target)
            found |= {"hold": asdict(hold), "articles_to_hold": hold.articles}
        if found["articles_to_hold"] is None:
            found["seeds_to_hold"] = seeds_to_hold(design, margin / 100, target)
        found["margin"] = margin / 100
    elif change is not None and articles is not None:
        found["power"] = power_of(design, change / 100, articles, seeds)
    elif change is not None:
        found["wanted_power"] = target
        found["articles"] = articles_needed(design, change / 100, target, seeds)
    elif articles is not None:
        found["wanted_power"] = target
        found["change"] = detectable_change(design, articles, target, seeds)
    found["notes"] = _notes(design.common, design.between, seeds, run is not None)
    if as_json:
        typer.echo(json.dumps(found, allow_nan=False))
        return
    typer.echo(
        _sentence(found, change, articles, target)
        if margin is None
        else _holding(found, margin, articles)
    )
    typer.echo(
        f"Assumed: {100 * design.share:.4g} % before, correlation {design.correlation:.2g} of an "
        f"article's label before and after, common part {design.common:.2g}, chains "
        f"{100 * design.between:.2g} points apart (standard deviation), all as read; "
        f"{100 * design.youden:.3g} % of a true change is read; level {100 * design.alpha:g} %, "
        f"{'two-sided' if margin is None else 'of each of two one-sided tests'}."
    )
    for note in found["notes"]:
        typer.echo(note)


def _estimated(  # noqa: ANN202
    run: str, regime: str | None, leaning: str | None, alpha: float, known: bool
):
    """Estimate a run's design; its classifier's errors only where they are not ``known``."""
    from biasloop import api
    from biasloop.analysis import (
        design_of,
        followed_leaning,
        instrument_confusion,
        outcomes,
        tables_of,
    )
    from biasloop.errors import nearest

    results = api.load_run(run).results
    if leaning is not None and leaning not in results.labels:
        raise InputError(f"--leaning: '{leaning}': {nearest(leaning, results.labels)}")
    followed = leaning or followed_leaning(results.config, results.labels)
    chosen = regime or results.config.regimes[0].label
    confusion = None if known else instrument_confusion(results.cards, results.labels)
    return design_of(outcomes(tables_of(results)), followed, chosen, alpha, confusion)


def _sentence(found: dict[str, Any], change: float | None, articles: int | None, t: float) -> str:
    chains = f"{found['seeds']} seed{'s' if found['seeds'] > 1 else ''}"
    if "power" in found:
        return (
            f"{articles:,} articles and {chains} show a change of {change:+g} points with a power "
            f"of {100 * found['power']:.0f} %."
        )
    if articles is None:
        if found["articles"] is None:
            return (
                f"No number of articles shows a change of {change:+g} points with {chains} at a "
                f"power of {100 * t:g} %: chains differ too much; give more seeds."
            )
        return (
            f"{found['articles']:,} articles and {chains} show a change of {change:+g} points with "
            f"a power of {100 * t:g} %."
        )
    if found["change"] is None:
        return f"{articles:,} articles and {chains} show no rise with a power of {100 * t:g} %."
    return (
        f"{articles:,} articles and {chains} show a rise of {100 * found['change']:.1f} points "
        f"with a power of {100 * t:g} %."
    )


def _holding(found: dict[str, Any], margin: float, articles: int | None) -> str:
    held = f"that a change was held within {margin:g} points"
    chains = f"{found['seeds']} seed{'s' if found['seeds'] > 1 else ''}"
    wanted, needed = f"{100 * found['wanted_power']:g} %", found["articles_to_hold"]
    if needed is None:
        more = found["seeds_to_hold"]
        enough = f"give {more:,} seeds or more" if more else "as many as 100 are not enough"
        enough = f"no number of articles is enough with {chains}, since chains differ: {enough}"
    else:
        enough = f"{needed:,} articles and {chains} show it with a power of {wanted}"
    if articles is None:
        return f"To show {held} where nothing moved: {enough}."
    hold = found["hold"]
    can = "can" if hold["reachable"] else "cannot"
    return (
        f"{articles:,} articles and {chains} {can} show {held}: the 90 % interval is some "
        f"{100 * hold['half_width']:.1f} points to either side, and where nothing moved it lies "
        f"within the margin in {100 * hold['power']:.0f} % of runs; {enough}."
    )


def _notes(common: float, between: float, seeds: int, from_run: bool) -> list[str]:
    notes = []
    if seeds == 1 and between > 0:
        notes.append(
            "With one seed the test cannot see how far chains differ: what it shows holds for "
            "that chain only, and its level for others is above the one given."
        )
    if seeds == 1 or (between == 0 and not from_run):
        notes.append(
            "The chance of training again is not in these figures: for that give several seeds "
            "and --between (or a run of several seeds)."
        )
    if seeds > 1 and common == 1 and between == 0:
        notes.append("At a common part of 1 further seeds spare no articles; see --common.")
    return notes
