"""`biasloop score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biasloop.errors import InputError


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
    from biasloop import api
    from biasloop.corpus import read_unlabelled
    from biasloop.tables import write_table

    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; --out takes a folder")
    names = [name for text in metric for name in text.split(",")]
    tables = api.score(
        read_unlabelled(articles, body),
        names,
        run=api.load_run(run) if run else None,
        config=config,
        axis=axis,
    )
    if out is not None:
        for name, table in zip(("scores", "leaning_scores", "set_scores"), tables, strict=True):
            write_table(out / f"{name}.parquet", table)
        print(f"tables: {out.resolve()}")
    _print_means(*tables)


def _print_means(scores: object, leanings: object, sets: object) -> None:
    import polars as pl

    assert isinstance(scores, pl.DataFrame)  # noqa: S101
    assert isinstance(leanings, pl.DataFrame)  # noqa: S101
    assert isinstance(sets, pl.DataFrame)  # noqa: S101
    means = scores.group_by("metric").agg(pl.col("value").mean()).sort("metric")
    for name, value in means.iter_rows():
        print(f"{name:24} {value:10.4f}" if value is not None else f"{name:24}       none")
    if not leanings.is_empty():
        top = leanings.sort("probability", descending=True).group_by("article_id").first()
        for name, count in top.group_by("leaning").len().sort("leaning").iter_rows():
            print(f"share:{name:18} {count / top.height:10.4f}")
    for name, value in sets.select("metric", "value").iter_rows():
        print(f"{name:24} {value:10.1f}")
