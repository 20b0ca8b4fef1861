"""`biasloop score`, `biasloop audit` and `biasloop label`: read text that is already there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import biasloop as bl
from biasloop.cli.answer import print_table
from biasloop.cli.run import RunPlace
from biasloop.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from biasloop.audit import Audit
    from biasloop.coding import AgainstClassifier, LabelFindings, Reliability


def score(
    articles: Annotated[
        Path, typer.Argument(metavar="FILE", help="articles: Parquet, CSV or JSONL")
    ],
    metric: Annotated[
        list[str], typer.Option("--metric", help="leaning, quality, perplexity or diversity")
    ],
    run: Annotated[str | None, typer.Option(help="take the instruments of this run")] = None,
    config: Annotated[
        str | None, typer.Option(help="fit the instruments on this config's corpus")
    ] = None,
    axis: Annotated[
        str | None, typer.Option(help="the further axis that leaning is of (metrics.axes)")
    ] = None,
    body: Annotated[str, typer.Option(help="the column of the text")] = "body",
    out: Annotated[
        Path | None, typer.Option(help="a folder for the tables; without it, means are printed")
    ] = None,
) -> None:
    """Score any file of articles, without training."""
    from biasloop.corpus.load import read_unlabelled
    from biasloop.tables import write_table

    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; --out takes a folder")
    names = [name for text in metric for name in text.split(",")]
    tables = bl.score(
        read_unlabelled(articles, body),
        names,
        run=bl.load_run(run) if run else None,
        config=config,
        axis=axis,
    )
    if out is not None:
        for name, table in zip(("scores", "leaning_scores", "set_scores"), tables, strict=True):
            write_table(out / f"{name}.parquet", table)
        print(f"tables: {out.resolve()}")
    _print_means(*tables)


def _print_means(scores: pl.DataFrame, leanings: pl.DataFrame, sets: pl.DataFrame) -> None:
    import polars as pl

    means = scores.group_by("metric").agg(pl.col("value").mean()).sort("metric")
    for name, value in means.iter_rows():
        print(f"{name:24} {value:10.4f}" if value is not None else f"{name:24}       none")
    if not leanings.is_empty():
        top = leanings.sort("probability", descending=True).group_by("article_id").first()
        for name, count in top.group_by("leaning").len().sort("leaning").iter_rows():
            print(f"share:{name:18} {count / top.height:10.4f}")
    for name, value in sets.select("metric", "value").iter_rows():
        print(f"{name:24} {value:10.1f}")


def audit(
    real: Annotated[
        str, typer.Argument(metavar="REAL", help="real labelled articles: a file, or conventions")
    ],
    synthetic: Annotated[
        Path, typer.Argument(metavar="SYNTHETIC", help="synthetic articles: Parquet, CSV or JSONL")
    ],
    tolerance: Annotated[
        float, typer.Option(help="points that a share may be off in the next generation")
    ] = 5.0,
    body: Annotated[str, typer.Option(help="the column of the synthetic text")] = "body",
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="how to read REAL and classify: corpus.columns.label=bias, ...",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say how far a synthetic set already leans, before anything is trained on it."""
    from biasloop.report.summary_json import strict

    found = bl.audit_set(real, synthetic, tolerance / 100, body, overrides or ())
    if as_json:
        print(json.dumps(strict(audit_json(found))))
    else:
        print_audit(found)


def audit_json(found: Audit) -> dict[str, Any]:
    """Give what ``--json`` prints."""
    return {
        "real": found.real,
        "synthetic": found.synthetic,
        "copies": found.copies,
        "copies_of_training_articles": found.of_seen,
        "withheld": found.withheld or None,
        "leans": found.leans.to_dicts(),
        "distance": found.distance
        and dict(zip(("total_variation", "jensen_shannon"), found.distance, strict=True)),
        "text": {name: value._asdict() for name, value in found.text.items()},
        "tolerance": found.tolerance,
        "needed": found.needed.to_dicts(),
        "refused": found.refused or None,
        "detectable": found.detectable,
        "warnings": list(found.warnings),
        **(
            {"axes": {name: audit_json(one) for name, one in found.axes.items()}}
            if found.axes
            else {}
        ),
    }


def print_audit(found: Audit) -> None:
    """Print an audit in sentences."""
    if found.copies:
        given = found.copies + found.synthetic
        print(
            f"copied: {found.copies:,} of {given:,} synthetic articles "
            f"({100 * found.copies / given:.1f} %) are real ones again, {found.of_seen:,} of them "
            "of those that the classifier was trained on; they are left out of all that follows"
        )
    print(
        f"{found.synthetic:,} synthetic articles against {found.real:,} real ones that the "
        "classifier has not seen, as independent samples"
    )
    _print_lean(found)
    for name, one in found.axes.items():
        print(f"\naxis {name}, {one.synthetic:,} synthetic articles against {one.real:,} real ones")
        _print_lean(one)


def _print_lean(found: Audit) -> None:
    """Print what is said of one axis."""
    from biasloop.report import formatting as fmt

    for warning in found.warnings:
        print(f"warning: {fmt.visible(warning)}")
    if found.withheld:
        print(f"leaning is withheld: {fmt.visible(found.withheld)}")
        print("so nothing is said of its lean, nor of the real data that would hold it")
    for row in found.leans.iter_rows(named=True):
        shown = "shown" if row["holm"] < 0.05 else "not shown"
        corrected = ""
        if row["corrected"] is not None:
            corrected = (
                f"; corrected for the classifier's errors {100 * row['real_corrected']:.1f} % and "
                f"{100 * row['corrected']:.1f} % ({100 * row['corrected_low']:.1f} to "
                f"{100 * row['corrected_high']:.1f})"
            )
        print(
            f"{fmt.visible(row['leaning'])}: {100 * row['real']:.1f} % of the real, "
            f"{100 * row['synthetic']:.1f} % of the synthetic: {100 * row['difference']:+.1f} "
            f"points (95 % {100 * row['low']:+.1f} to {100 * row['high']:+.1f}), p "
            f"{row['holm']:.2g} after Holm: {shown}{corrected}"
        )
    if found.distance:
        print(
            f"distance of the shares: total variation {found.distance[0]:.3f}, Jensen-Shannon "
            f"{found.distance[1]:.3f}"
        )
    for name, text in found.text.items():
        print(
            f"{name}: {text.value:+.3f} (95 % {text.low:+.3f} to {text.high:+.3f}), p "
            f"{text.pvalue:.2g}"
        )
    if found.detectable is not None:
        print(
            f"a difference of {100 * found.detectable:.1f} points would be shown with 80 % power "
            "by as many articles"
        )
    if found.refused:
        print(f"the real data needed cannot be told: {fmt.visible(found.refused)}")
    if found.needed.height:
        print(
            "real data in the training set that keep every share, corrected for the classifier's "
            f"errors, within {100 * found.tolerance:g} points in the next generation "
            "(docs/audit.md):"
        )
    for row in found.needed.iter_rows(named=True):
        if row["share"] is None:
            print(f"  {row['assumption']}: no share suffices")
            continue
        high = "none suffices" if row["high"] is None else f"{100 * row['high']:.0f} %"
        low = "none" if row["low"] is None else f"{100 * row['low']:.0f} %"
        print(f"  {row['assumption']}: {100 * row['share']:.0f} % (95 % {low} to {high})")


label = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Have people read articles of a run, and correct its shares by what they say.",
)


@label.command("write")
def write(
    run: RunPlace,
    articles: Annotated[int, typer.Option(help="articles of each set")] = 100,
    coders: Annotated[int, typer.Option(help="how many people read")] = 2,
    overlap: Annotated[
        float, typer.Option(help="percent of the articles that every coder reads")
    ] = 25.0,
    regime: Annotated[
        list[str] | None,
        typer.Option(help="only this one (several times for more); real and base are allowed"),
    ] = None,
    generation: Annotated[
        list[int] | None, typer.Option(help="only this one (left out: 0 and the last)")
    ] = None,
    seed: Annotated[int, typer.Option(help="of what is drawn")] = 0,
    out: Annotated[Path | None, typer.Option(help="a new folder (left out: RUN/labelling)")] = None,
) -> None:
    """Write blind sheets: a CSV file and a page for each coder, and the key apart from them."""
    opened = bl.load_run(run)
    folder = out or _own_folder(opened, "--out")
    drawn = bl.write_label_sheets(
        opened, folder, articles, coders, overlap / 100, regime or (), generation or (), seed
    )
    sets = {(name, number) for own in drawn.members.values() for name, _, number, _ in own}
    print(
        f"{len(drawn.texts):,} texts from {len(sets)} sets; {drawn.both:,} of them are read by "
        "every coder"
    )
    for name, ids in drawn.coders.items():
        print(f"  {name}: {len(ids):,} texts in sheets/{name}.html and sheets/{name}.csv")
    print(f"for the coders: {(folder / 'sheets').resolve()}")
    print(f"not for the coders: {(folder / 'key.json').resolve()}")


@label.command("read")
def read(
    run: RunPlace,
    sheets: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SHEETS]...", help="coded CSV files or their folders (RUN/labelling)"
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="the key (left out: key.json beside them or above)")
    ] = None,
    seed: Annotated[int, typer.Option(help="of the bootstraps")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say how far coders agree, and correct shares and changes by what they say."""
    from biasloop.report.summary_json import strict

    opened = bl.load_run(run)
    found = bl.read_labels(opened, sheets or [_own_folder(opened, "SHEETS")], key, seed)
    if as_json:
        typer.echo(json.dumps(strict(_label_json(found)), allow_nan=False))
    else:
        _print_labels(found)


def _own_folder(run: bl.Run, option: str) -> Path:
    """Give the run's own folder for sheets; a run at a URL has none here that lasts."""
    if run.url:
        raise InputError(f"{option}: name a folder here; the run itself is at {run.url}")
    return run.folder / "labelling"


def _label_json(found: LabelFindings) -> dict[str, Any]:
    def against(one: AgainstClassifier) -> dict[str, Any]:
        return {**asdict(one.agreement), "confusion": one.confusion.tolist()}

    by_set = [
        {"regime": regime, "generation": generation, **against(one)}
        for (regime, generation), one in found.by_set.items()
    ]
    return {
        **{name: getattr(found, name) for name in ("options", "coders", "chains")},
        "agreement": asdict(found.agreement),
        "classifier": against(found.classifier),
        "classifier_by_set": by_set,
        "shares": found.shares.to_dicts(),
        "changes": found.changes.to_dicts(),
    }


def _print_labels(found: LabelFindings) -> None:
    from biasloop.report import formatting as fmt

    coders = ", ".join(f"{fmt.name(name)} {count:,}" for name, count in found.coders.items())
    print(f"articles coded: {coders}")
    print(f"coders with each other: {_agreement(found.agreement, 'alpha')}")
    print(f"coders with the classifier: {_agreement(found.classifier.agreement, 'kappa')}")
    for one, against in found.by_set.items():
        print(f"  {_set(*one)}: {_agreement(against.agreement, 'kappa')}")
    confusion = found.classifier.confusion
    names = [fmt.name(option) for option in found.options]
    names += ["(not read)"] * (len(confusion) - len(names))
    print_table(
        ["", *names],
        (
            [name, *(f"{value:.1f}".removesuffix(".0") for value in row)]
            for name, row in zip(names, confusion, strict=True)
        ),
        "What people say (rows) and what the classifier reads (columns), in articles",
        lines=False,
    )
    figures = ("leaning", "labels", "read", "by labels alone", "corrected (95 %)")
    shares = (
        [
            _set(row["regime"], row["generation"]),
            _leaning(row["leaning"]),
            f"{row['labels']:,} of {row['articles']:,}",
            *_figures(row),
        ]
        for row in found.shares.iter_rows(named=True)
    )
    print_table(["set", *figures], shares, "Shares in %", lines=False)
    changes = [
        [
            f"{fmt.name(row['regime'])} {row['first']} to {row['last']}",
            _leaning(row["leaning"]),
            f"{row['labels']:,}; {row['paired']:,} paired",
            *_figures(row, sign=True),
            "-" if row["holm"] is None else f"{row['holm']:.2g}",
        ]
        for row in found.changes.iter_rows(named=True)
    ]
    if changes:
        print_table(["regime", *figures, "p, Holm"], changes, "Changes in points", lines=False)
    for reason in dict.fromkeys(_reasons(found)):
        print(f"no interval of {reason}")
    chains = ", ".join(map(str, found.chains))
    print(
        "read: by the classifier; corrected: prediction-powered inference (docs/labelling.md). "
        "Leanings are shares of the articles that lean a way; p is after Holm; intervals speak of "
        f"seeds {chains} only."
    )


def _reasons(found: LabelFindings) -> Iterator[str]:
    from biasloop.report import formatting as fmt

    for row in found.shares.drop_nulls("reason").iter_rows(named=True):
        yield f"{_set(row['regime'], row['generation'])}: {row['reason']}"
    for row in found.changes.drop_nulls("reason").iter_rows(named=True):
        yield f"the change of {fmt.name(row['regime'])}: {row['reason']}"


def _agreement(found: Reliability, name: str) -> str:
    if found.value is None:
        return f"{name} cannot be told: {found.reason}"
    interval = f" (95 % {found.low:.2f} to {found.high:.2f})" if found.low is not None else ""
    agree = f"{100 * found.agree:.0f} % alike" if found.agree is not None else ""
    reason = f"; {found.reason}" if found.reason else ""
    return f"{name} {found.value:.2f}{interval}, {agree}, {found.articles:,} articles{reason}"


def _set(regime: str, generation: int) -> str:
    from biasloop.report import formatting as fmt

    known = {"real": "real articles", "base": "base model"}
    return known.get(regime) or f"{fmt.name(regime)}, Generation {generation}"


def _leaning(name: str | None) -> str:
    from biasloop.report import formatting as fmt

    return "(unclear)" if name is None else fmt.name(name)


def _points(value: float | None, sign: bool = False) -> str:
    if value is None:
        return "-"
    return f"{100 * value:+.1f}" if sign else f"{100 * value:.1f}"


def _figures(row: dict[str, Any], sign: bool = False) -> tuple[str, str, str]:
    read, said, corrected, low, high = (
        _points(row[name], sign) for name in ("read", "said", "corrected", "low", "high")
    )
    inside = f" ({low} to {high})" * (row["low"] is not None)
    return read, said, f"{corrected}{inside}"
