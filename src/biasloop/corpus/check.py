"""From records to articles: every row is usable, or is a bad row with its place and reason."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from biasloop.config import CorpusConfig, label_text
from biasloop.corpus.source import Record, Source
from biasloop.errors import InputError

#: No id, label or source is longer than this many characters; a longer one is a wrong column.
MAX_NAME = 1000
#: A whole number as many programs write a column of them in which some are missing: 1.0.
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}(?:\.0*)?", re.ASCII)
#: How many places and reasons an error message shows.
_SHOWN = 5

Article = dict[str, str]


class BadRowError(Exception):
    """Why one row cannot be used. Never leaves this package."""


def checked_text(value: object, field: str, longest: int) -> str:
    """Make a field's value text, empty where there is none.

    Raises
    ------
    BadRowError
        If it is no text that a table and a page can hold, or is over ``longest`` characters.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise BadRowError("not UTF-8") from None
    if isinstance(value, (bool, int, float)) and field in (
        "label",
        "article_id",
        "source",
        "event",
    ):
        return str(label_text(value))
    if not isinstance(value, str):
        raise BadRowError(f"{field.removeprefix('article_')} is not text")
    if len(value) > longest:  # before anything reads it to its end, for every row that shares it
        raise BadRowError(f"{field.removeprefix('article_')} over {longest:,} characters")
    if "\0" in value:
        raise BadRowError("NUL characters")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        # A byte that is no UTF-8 was read as one of these; any other one was written as \ud800.
        escaped = "\udc80" <= value[error.start] <= "\udcff"
        raise BadRowError("not UTF-8" if escaped else "lone surrogates") from None
    return value.replace("\r\n", "\n").replace("\r", "\n")


def _one_spelling(label: str) -> str:
    """Write a label that is a whole number or a truth value in the way that a config has it."""
    if label.lower() in ("true", "false"):
        return label.lower()
    return str(label_text(float(label))) if _WHOLE.fullmatch(label) else label


def _whole(label: str) -> str:
    """Write 1.0 as 1: a whole number in a column in which some are missing."""
    return _one_spelling(label) if re.fullmatch(r"[+-]?[0-9]{1,15}\.0+", label, re.ASCII) else label


def _article(
    record: Record,
    number: int,
    source: Source,
    config: CorpusConfig,
    label_map: Mapping[str, str],
    asked: Mapping[str, str],
) -> Article:
    if record.fields is None:
        raise BadRowError(record.reason)
    columns = source.columns.model_dump()
    for field in ("body", "label"):
        if columns[field] not in record.fields:
            raise BadRowError(f"no column '{columns[field]}'")
    longest = dict.fromkeys(("body", "title"), config.max_body_characters)
    article = {
        field: checked_text(record.fields.get(column), field, longest.get(field, MAX_NAME))
        if column is not None
        else ""
        for field, column in columns.items()
    }
    for field in article.keys() & {"article_id", "label", "source", "event"}:
        article[field] = article[field].strip()
    if columns["article_id"] is None:
        article["article_id"] = f"row-{number:07d}"
    elif not article["article_id"]:
        raise BadRowError("no id")
    if not article["body"].strip():
        raise BadRowError("empty body")
    if not article["label"]:
        raise BadRowError("no label")
    label = article["label"]
    label = asked.get(label) or asked.get(_one_spelling(label)) or _whole(label)
    article["label"] = label_map.get(label, label)
    if config.labels is not None and article["label"] not in config.labels:
        raise BadRowError(f"unknown label {article['label'][:40]!r}")
    return article


def _complain(bad: Sequence[tuple[str, str]], rows: int, config: CorpusConfig) -> InputError:
    reasons = Counter(reason for _, reason in bad).most_common()
    lines = [f"{config.source}: {len(bad):,} of {rows:,} rows are bad:"]
    lines += [f"  {count:,} x {reason}" for reason, count in reasons[: 2 * _SHOWN]]
    if len(reasons) > 2 * _SHOWN:
        lines.append(f"  and {len(reasons) - 2 * _SHOWN} more reasons")
    places = ", ".join(f"{location} ({reason})" for location, reason in bad[:_SHOWN])
    lines.append(f"first: {places}")
    if config.labels is not None and any(
        reason.startswith("unknown label") for reason, _ in reasons
    ):
        wanted = ", ".join(label[:40] for label in config.labels[:10])
        lines.append(f"corpus.labels has {wanted}: corpus.label_map says which of them a label is")
    lines.append("Correct them, or leave them out and count them with corpus.on_bad_row: skip")
    return InputError("\n".join(lines))


def check(source: Source, config: CorpusConfig) -> tuple[list[Article], list[tuple[str, str]]]:
    """Sort a source's records into articles and bad rows.

    Parameters
    ----------
    source
        What a reader gave.
    config
        Labels, label map, limits, and what to do about bad rows. The config's label map goes
        before the source's own.

    Returns
    -------
    articles
        Fields of `tables.ARTICLES`, and ``event`` where that column is named, in the source's
        order.
    bad
        ``(location, reason)`` of every row left out.

    Raises
    ------
    InputError
        With ``on_bad_row: error``, if any row is bad: with the count of each reason and the first
        places.
    """
    articles: list[Article] = []
    bad: list[tuple[str, str]] = []
    seen: set[str] = set()
    label_map = {**source.label_map, **config.label_map}
    named = [*(config.labels or ()), *label_map]
    asked = {_one_spelling(label): label for label in named} | {label: label for label in named}
    rows = 0
    for rows, record in enumerate(source.records, start=1):
        try:
            article = _article(record, rows, source, config, label_map, asked)
            if article["article_id"] in seen:
                raise BadRowError("duplicate id")
        except BadRowError as error:
            bad.append((record.location, str(error)))
            continue
        seen.add(article["article_id"])
        articles.append(article)
    if bad and config.on_bad_row == "error":
        raise _complain(bad, rows, config)
    return articles, bad
