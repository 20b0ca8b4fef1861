"""``biasloop label``: parse, call `biasloop.coding`, print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from biasloop.cli.answer import console_of_width

if TYPE_CHECKING:
    from biasloop.api import Run
    from biasloop.coding import LabelFindings, Reliability

label = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Have people read articles of a run, and correct its shares by what they say.",
)

RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="a run folder, or its URL")]


@label.command("write")
def write(
    run: RunFolder,
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
    from biasloop import api

    opened = api.load_run(run)
    folder = out or _own_folder(opened, "--out")
    drawn = api.write_label_sheets(
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
    run: RunFolder,
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
    import json

    from biasloop import api
    from biasloop.report.summary_json import strict

    opened = api.load_run(run)
    found = api.read_labels(opened, sheets or [_own_folder(opened, "SHEETS")], key, seed)
    if as_json:
        typer.echo(json.dumps(strict(_as_json(found)), allow_nan=False))
    else:
        _print(found)


def _own_folder(run: Run, option: str) -> Path:
    """Give the run's own folder for sheets; a run at a URL has none here that lasts."""
    from biasloop.errors import InputError

    if run.url:
        raise InputError(f"{option}: name a folder here; the run itself is at {run.url}")
    return run.folder / "labelling"


def _as_json(found: LabelFindings) -> dict[str, Any]:
    from dataclasses import asdict

    def against(one: Any) -> dict[str, Any]:  # noqa: ANN401 - an AgainstClassifier
        return {**asdict(one.agreement), "confusion": one.confusion.tolist()}

    return {
        "options": found.options,
        "coders": found.coders,
        "agreement": asdict(found.agreement),
        "classifier": against(found.classifier),
        "classifier_by_set": [
            {"regime": regime, "generation": generation, **against(one)}
            for (regime, generation), one in found.by_set.items()
        ],
        "shares": found.shares.to_dicts(),
        "changes": found.changes.to_dicts(),
        "chains": found.chains,
    }


def _print(found: LabelFindings) -> None:
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
    _table(
        "What people say (rows) and what the classifier reads (columns), in articles",
        ["", *names],
        [
            [name, *(f"{value:.1f}".removesuffix(".0") for value in row)]
            for name, row in zip(names, confusion, strict=True)
        ],
    )
    _table(
        "Shares in %",
        ["set", "leaning", "labels", "read", "by labels alone", "corrected (95 %)"],
        [
            [
                _set(row["regime"], row["generation"]),
                _leaning(row["leaning"]),
                f"{row['labels']:,} of {row['articles']:,}",
                _points(row["read"]),
                _points(row["said"]),
                _with_interval(row),
            ]
            for row in found.shares.iter_rows(named=True)
        ],
    )
    if found.changes.height:
        _table(
            "Changes in points",
            [
                "regime",
                "leaning",
                "labels",
                "read",
                "by labels alone",
                "corrected (95 %)",
                "p, Holm",
            ],
            [
                [
                    f"{fmt.name(row['regime'])} {row['first']} to {row['last']}",
                    _leaning(row["leaning"]),
                    f"{row['labels']:,}; {row['paired']:,} paired",
                    _points(row["read"], sign=True),
                    _points(row["said"], sign=True),
                    _with_interval(row, sign=True),
                    "-" if row["holm"] is None else f"{row['holm']:.2g}",
                ]
                for row in found.changes.iter_rows(named=True)
            ],
        )
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


def _with_interval(row: dict[str, Any], sign: bool = False) -> str:
    value = _points(row["corrected"], sign)
    if row["low"] is None:
        return value
    return f"{value} ({_points(row['low'], sign)} to {_points(row['high'], sign)})"


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = console_of_width()
    table = Table(title=Text(title), title_justify="left", box=box.HORIZONTALS)
    for name in columns:
        table.add_column(Text(name), overflow="fold", min_width=min(len(name), 16))
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
