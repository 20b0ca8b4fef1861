"""Read articles that need no label, to be scored only."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl

from biasloop.corpus.chat import COLUMNS as CONVERSATIONS
from biasloop.corpus.chat import assistant_text
from biasloop.corpus.check import BadRowError, checked_text
from biasloop.corpus.file import ENDINGS, FORMATS, located
from biasloop.corpus.packed import unpacked_name
from biasloop.corpus.source import MAX_RECORD, Record
from biasloop.errors import InputError
from biasloop.tables import ARTICLES


def _article(record: Record, number: int, columns: dict[str, str]) -> dict[str, str]:
    if record.fields is None:
        raise BadRowError(record.reason)
    values = {field: record.fields.get(columns.get(field, "")) for field in ARTICLES}
    if columns["body"] in CONVERSATIONS:
        values["body"] = assistant_text(values["body"])
    article = {field: checked_text(value, field, MAX_RECORD) for field, value in values.items()}
    if "article_id" not in columns:
        article["article_id"] = f"row-{number}"
    elif not article["article_id"].strip():
        raise BadRowError("no id")
    if not article["body"].strip():
        raise BadRowError("empty body")
    return article


def read_unlabelled(path: Path, body: str = "body") -> pl.DataFrame:
    """Read a Parquet, CSV or JSONL file as `tables.ARTICLES`.

    ``article_id`` (or ``id``), ``title``, ``label`` and ``source`` are taken where the file has
    them; ids are row numbers elsewhere. Of a chat data set (`chat.COLUMNS`, where there is no
    column ``body``, or it is named) the body is what the assistant says.

    Raises
    ------
    InputError
        If the file is missing, is of another kind, has no column ``body``, or has a row without
        text there, a damaged one or an id twice.
    """
    path = located(str(path), "articles", "Give a Parquet, CSV or JSONL file")
    if path.is_dir():
        raise InputError(f"{path}: a folder: name a file in it")
    kind = ENDINGS.get(unpacked_name(path).suffix.lower())
    if kind is None:
        raise InputError(f"{path}: give a file that ends in .parquet, .csv, .tsv, .jsonl or .json")
    try:
        table = FORMATS[kind](path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if body not in table.columns and body == "body":
        body = next((name for name in CONVERSATIONS if name in table.columns), body)
    if body not in table.columns:
        found = ", ".join(name[:60] for name in table.columns[:30])
        raise InputError(f"{path}: no column '{body[:60]}'; it has: {found}; set --body")
    columns = {name: name for name in ("title", "label", "source") if name in table.columns}
    columns["body"] = body
    for name in ("id", "article_id"):
        if name in table.columns:
            columns["article_id"] = name
    articles: list[dict[str, str]] = []
    bad: list[tuple[str, str]] = []
    for number, record in enumerate(table.records, start=1):
        try:
            articles.append(_article(record, number, columns))
        except BadRowError as error:
            bad.append((record.location, str(error)))
    if bad:
        reasons = Counter(reason for _, reason in bad).most_common(5)
        shown = ", ".join(f"{count:,} x {reason}" for reason, count in reasons)
        raise InputError(f"{path}: {len(bad):,} rows are bad: {shown}; first: {bad[0][0]}")
    if len({article["article_id"] for article in articles}) < len(articles):
        raise InputError(f"{path}: an article id stands twice")
    return pl.DataFrame(articles, schema=ARTICLES)
