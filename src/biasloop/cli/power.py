"""``biasloop power``: parse, call `biasloop.analysis`, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from biasloop.errors import InputError


def power(
    change: Annotated[
        float | None, typer.Option(help="the change of share to detect, in points")
    ] = None,
    share: Annotated[
        float | None, typer.Option(help="the share before, in % [default: 50, or the run's]")
    ] = None,
    correlation: Annotated[
        float | None,
        typer.Option(
            help="of an article's label before and after, -1 to 1 [default: 0, or the run's]"
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
            help="standard deviation of the chains' true changes, in points "
            "[default: 0, or the run's, of several seeds]"
        ),
    ] = None,
    target: Annotated[float, typer.Option("--power", help="wanted, 0 to 1")] = 0.8,
    alpha: Annotated[float, typer.Option(help="two-sided level of the test")] = 0.05,
    run: Annotated[
        Path | None, typer.Option(help="a run folder to estimate what is not given from")
    ] = None,
    regime: Annotated[
        str | None, typer.Option(help="of that run [default: the config's first]")
    ] = None,
    leaning: Annotated[
        str | None, typer.Option(help="of that run [default: the followed one]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say how many articles and seeds show a change of a leaning's share.

    Give --change for the articles needed, --articles for the smallest change that shows, both for
    the power. The comparison is paired: the same articles before and after.
    """
    import json
    from dataclasses import asdict, replace

    from biasloop.analysis import Design, articles_needed, detectable_change
    from biasloop.analysis import power as power_of

    if change is None and articles is None:
        raise InputError("give --change POINTS, --articles N, or both")
    if run is None and (regime or leaning):
        raise InputError("--regime and --leaning are of a run: give --run RUN as well")
    design = Design(0.5, alpha=alpha) if run is None else _estimated(run, regime, leaning, alpha)
    given = {
        "share": None if share is None else share / 100,
        "correlation": correlation,
        "common": common,
        "between": None if between is None else between / 100,
    }
    design = replace(design, **{name: value for name, value in given.items() if value is not None})
    found: dict[str, Any] = {"design": asdict(design), "seeds": seeds, "articles": articles}
    found["change"] = None if change is None else change / 100
    if change is not None and articles is not None:
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
    typer.echo(_sentence(found, change, articles, target))
    typer.echo(
        f"Assumed: {100 * design.share:.4g} % before, correlation {design.correlation:.2g} of an "
        f"article's label before and after, common part {design.common:.2g}, chains "
        f"{100 * design.between:.2g} points apart (standard deviation), two-sided level "
        f"{100 * design.alpha:g} %."
    )
    for note in found["notes"]:
        typer.echo(note)


def _estimated(run: Path, regime: str | None, leaning: str | None, alpha: float) -> Any:  # noqa: ANN401
    from biasloop import api
    from biasloop.analysis import design_of, followed_leaning, outcomes, tables_of
    from biasloop.errors import nearest

    results = api.load_run(run).results
    if leaning is not None and leaning not in results.labels:
        raise InputError(f"--leaning: '{leaning}': {nearest(leaning, results.labels)}")
    followed = leaning or followed_leaning(results.config, results.labels)
    chosen = regime or results.config.regimes[0].label
    return design_of(outcomes(tables_of(results)), followed, chosen, alpha)


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
