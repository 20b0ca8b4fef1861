"""Read articles that need no label, to be scored only."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from biasloop.errors import InputError
from biasloop.tables import ARTICLES, conform


def read_unlabelled(path: Path, body: str = "body") -> pl.DataFrame:
    """Read a Parquet, CSV or JSONL file as `tables.ARTICLES`.

    ``article_id`` (or ``id``), ``title``, ``label`` and ``source`` are taken where the file has
    them; ids are row numbers elsewhere.

    Raises
    ------
    InputError
        If the file is missing, is of another kind, has no column ``body``, or has an empty body
        or an id twice.
    """
    readers = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}
    if path.suffix not in readers:
        raise InputError(f"{path}: give a file that ends in {', '.join(readers)}")
    try:
        frame = readers[path.suffix](path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if body not in frame.columns:
        raise InputError(f"{path}: no column '{body}'; it has {frame.columns}; set --body")
    identity = next((name for name in ("article_id", "id") if name in frame.columns), None)
    columns = {"body": pl.col(body).cast(pl.String)}
    columns["article_id"] = (
        pl.col(identity).cast(pl.String)
        if identity
        else pl.format("row-{}", pl.int_range(1, pl.len() + 1))
    )
    for name in ("title", "label", "source"):
        known = name in frame.columns
        columns[name] = pl.col(name).cast(pl.String).fill_null("") if known else pl.lit("")
    articles = conform(frame.select(**columns), ARTICLES)
    bad = articles.with_row_index("row", 1).filter(
        pl.col("body").is_null() | (pl.col("body").str.strip_chars() == "")
    )
    if bad.height:
        raise InputError(f"{path}: {bad.height} rows have an empty body, first row {bad['row'][0]}")
    if articles["article_id"].n_unique() < articles.height:
        raise InputError(f"{path}: an article id stands twice")
    return articles
