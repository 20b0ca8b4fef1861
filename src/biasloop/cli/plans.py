"""`biasloop power`, `biasloop simulate` and `biasloop reproduce`: what needs no run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import biasloop as bl
from biasloop.cli.answer import print_table
from biasloop.errors import InputError

if TYPE_CHECKING:
    from biasloop.theory import Chain


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
    from biasloop.analysis import Design

    def part(points: float | None) -> float | None:
        return None if points is None else points / 100

    found = bl.power(
        part(change),
        part(margin),
        articles,
        seeds,
        target,
        alpha,
        bl.load_run(run) if run is not None else None,
        regime,
        leaning,
        accuracy,
        share=part(share),
        correlation=correlation,
        common=common,
        between=part(between),
    )
    design = Design(**found["design"])
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


_QUANTITIES = ("mean", "mode", "variance", "bias", "entropy", "tail")


def simulate(
    estimator: Annotated[
        str, typer.Argument(help="wmle: weighted by the previous fit; mle: unweighted")
    ],
    family: Annotated[
        str, typer.Option(help="beta, normal, normal-known-variance or categorical")
    ] = "beta",
    pretrained: Annotated[
        str | None, typer.Option(help="parameters of the base, such as 3,2; mle does not use it")
    ] = None,
    real: Annotated[
        str | None, typer.Option(help="parameters of the real data, such as 2,2")
    ] = None,
    generations: Annotated[int, typer.Option(help="how many, Generation 0 included")] = 11,
    samples: Annotated[
        str, typer.Option(help="training points per generation, or inf for the exact path")
    ] = "10000",
    replicates: Annotated[int, typer.Option(help="independent chains, for intervals")] = 1,
    regime: Annotated[
        str, typer.Option(help="synthetic, preservation or accumulation")
    ] = "synthetic",
    real_fraction: Annotated[
        float | None,
        typer.Option(
            help="share of real points in what a generation adds; "
            "default: 0.1 in preservation, 0 in accumulation"
        ),
    ] = None,
    real_weight: Annotated[
        str,
        typer.Option(
            help="wmle, from Generation 1 on: density weighs real points like the others, "
            "one leaves them unweighted"
        ),
    ] = "density",
    pretrained_samples: Annotated[
        int | None,
        typer.Option(help="fit the base to so many draws, as the paper does [default: exact]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="of the sampling")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="folder for figures, paths.parquet and summary.json")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Simulate bias amplification on distributions, without a language model.

    The defaults are the paper's simulation: pre-trained Beta(3,2), real data Beta(2,2).
    """
    from biasloop import theory

    chain = theory.run(
        theory.settings(
            estimator,
            family=family,
            pretrained=_numbers("--pretrained", pretrained),
            real=_numbers("--real", real),
            generations=generations,
            samples=_samples(samples),
            replicates=replicates,
            regime=regime,
            real_fraction=real_fraction,
            real_weight=real_weight,
            seed=seed,
            pretrained_samples=pretrained_samples,
        )
    )
    written = theory.save(chain, out) if out is not None else []
    if as_json:
        typer.echo(json.dumps(theory.report(chain), allow_nan=False))
        return
    _print(chain, written)


def _numbers(option: str, text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option} '{text}': give numbers with commas, such as 3,2") from error


def _samples(text: str) -> int | None:
    if text.strip().lower() in ("inf", "infinity"):
        return None
    try:
        return int(text.replace("_", ""))
    except ValueError as error:
        raise InputError(f"--samples '{text}': give a whole number, or inf") from error


def _print(chain: Chain, written: list[Path]) -> None:
    from biasloop import theory

    rows = theory.summarise(chain)
    replicated = "bias_low" in rows[0]
    names = list(dict.fromkeys([*chain.settings.parameter_names, *_QUANTITIES]))

    def cells(row: dict[str, Any]) -> Iterator[str]:
        yield str(row["generation"])
        for name in names:
            yield _number(row[name])
            if name == "bias" and replicated:
                yield f"{_number(row['bias_low'])} to {_number(row['bias_high'])}"

    columns = ["g", *names]
    if replicated:
        columns.insert(columns.index("bias") + 1, "95 % of replicates")
    title = "medians over replicates" if replicated else None
    print_table(columns, map(cells, rows), title, 120, lines=False)
    outcome = theory.verdict(chain)
    grew = "; the bias grew after Generation 0" * outcome.amplified
    typer.echo(f"Last generation: {outcome.case}{grew}.")
    for path in written:
        typer.echo(f"wrote {path}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


reproduce = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Analyse released results anew."
)


@reproduce.callback()
def _group() -> None:
    """Analyse released results anew."""


@reproduce.command("published")
def published(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="a folder with the released CSV files")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="a folder for page, figures and tables (left out: reproduced; with --json none)"
        ),
    ] = None,
    leaning: Annotated[
        str | None, typer.Option(help="the label to follow (left out: the last of the files)")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="print shares, quality and perplexity as JSON")
    ] = False,
) -> None:
    """Analyse the authors' released files anew, with intervals and tests, beside what is printed.

    Results of any other experiment in the same formats work, too: regimes are taken from the file
    names, labels from the columns.
    """
    from biasloop.published import lines, series
    from biasloop.report.summary_json import strict

    target = out if out is not None or as_json else Path("reproduced")
    if target is not None and target.exists() and not target.is_dir():
        raise InputError(f"{target}: is a file; --out takes a folder")
    found = bl.reproduce(folder, leaning, target)
    if as_json:
        typer.echo(json.dumps(strict(series(found)), allow_nan=False))
        return
    for line in lines(found):
        typer.echo(line)
    if target is not None:
        typer.echo(f"\nreport: {(target / 'reproduction.html').resolve()}")
