"""Load the corpus that a config names: find its format and columns, read it, check every row."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from biasloop.assets import ASSETS
from biasloop.config import Columns, CorpusConfig, label_text
from biasloop.corpus import control, conventions
from biasloop.corpus.delimited import read_delimited
from biasloop.corpus.hub import PREFIX, hub_content, is_saved, open_hub, read_saved, saved_files
from biasloop.corpus.layouts import LAYOUTS
from biasloop.corpus.parquet import read_parquet
from biasloop.corpus.records import (
    CONVERSATIONS,
    MAX_RECORD,
    Record,
    Source,
    json_files,
    read_json,
    read_json_folder,
    read_jsonl,
    shown,
    unpacked_name,
)
from biasloop.errors import InputError
from biasloop.files import canonical_json, sha256_file, sha256_text
from biasloop.tables import ARTICLES

#: What reads a format that is only a format.
_FORMATS: dict[str, Callable[[Path], Source]] = {
    **{"jsonl": read_jsonl, "json": read_json},
    **{"csv": read_delimited, "parquet": read_parquet},
}
#: Which format a file's ending means.
_ENDINGS = {
    **{".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json"},
    **{".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet"},
}
#: What to do about a source that is not there.
_ADVICE = "Write 'conventions', the path of a JSONL, JSON, CSV or Parquet file, or hub:OWNER/NAME"
#: A file larger than this is not read: articles are held in memory.
_MAX_BYTES = 16 * 2**30
#: No id, label or source is longer than this many characters; a longer one is a wrong column.
_MAX_NAME = 1000
#: A label with fewer articles cannot be split into parts.
_MIN_PER_LABEL = 2
#: How many places and reasons an error message shows.
_SHOWN = 5

#: A whole number as many programs write a column of them in which some are missing: 1.0.
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}(?:\.0*)?", re.ASCII)
#: Keys of a turn of a conversation: who speaks, and what; and who of them is the assistant.
_SPEAKER, _SAID = ("role", "from"), ("content", "value")
_ASSISTANTS = frozenset({"assistant", "gpt", "model", "bot", "chatgpt", "ai"})

#: One row per row of the source that could not be used.
BAD_ROWS = pl.Schema({"location": pl.String, "reason": pl.String})


@dataclass(frozen=True)
class Corpus:
    """Labelled real articles, all of them usable.

    Attributes
    ----------
    articles
        `tables.ARTICLES`, in the order of the source. Ids are distinct, bodies not empty, and
        every label is one of ``labels``.
    labels
        The label set, in the order to show.
    bad_rows
        ``location, reason`` of every row that was left out (``corpus.on_bad_row: skip``).
    name, citation, licence
        For the report; citation and licence are empty where the source states none.
    events
        Article id -> the event that it is about, where that is known.
    note
        What was guessed of how the source is written; may be empty.
    """

    articles: pl.DataFrame
    labels: tuple[str, ...]
    bad_rows: pl.DataFrame
    name: str
    citation: str
    licence: str
    events: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


class BadRowError(Exception):
    """Why one row cannot be used. Never leaves this module."""


def load_corpus(config: CorpusConfig, seed: int) -> Corpus:
    """Read, check and label every article of the configured source.

    Parameters
    ----------
    config
        Where the articles are and how to read them.
    seed
        The run's seed. Only the source that is made up (``control``) draws anything.

    Raises
    ------
    InputError
        If the source is not there or cannot be read, holds bad rows (unless they are to be
        skipped), is empty, or has fewer than two articles of a label: with counts.
    """
    kind = _kind_of(config)
    if kind == control.NAME:
        source = control.open_control(config, seed)
    elif kind == conventions.NAME:
        source = conventions.open_conventions(config)
    elif kind == "hub":
        source = open_hub(config)
        _check_columns(config.columns, source.columns, config.source)
    else:
        source = _open_file(config)
    if config.columns.event is not None and source.fields.event is None:
        raise InputError(
            f"corpus.columns.event: '{config.columns.event[:40]}': {config.source} has no events: "
            "set it to null"
        )
    articles, bad = _check(source, config)
    if not articles:
        reasons = Counter(reason for _, reason in bad).most_common(3)
        why = "; ".join(f"{count:,} x {reason}" for reason, count in reasons)
        raise InputError(
            f"corpus.source: {config.source}: no article in it"
            + (f" (all {len(bad):,} rows are bad: {why})" if bad else "")
        )
    counts = Counter(article["label"] for article in articles)
    labels = _label_set(config, source, counts)
    few = [label for label in labels if counts[label] < _MIN_PER_LABEL]
    if few:
        found = ", ".join(f"{label[:40]} {counts[label]:,}" for label in labels[:10])
        found += f" and {len(labels) - 10} more labels" if len(labels) > 10 else ""
        raise InputError(
            f"corpus.source: {config.source}: too few articles of {', '.join(few[:10])!r}: a label "
            f"needs at least {_MIN_PER_LABEL}. Found: {found}. Is "
            "corpus.columns.label the right column? corpus.labels or corpus.label_map change the "
            "label set"
        )
    return Corpus(
        articles=pl.DataFrame(articles, schema=ARTICLES),
        labels=labels,
        bad_rows=pl.DataFrame(bad, schema=BAD_ROWS, orient="row"),
        name=source.name,
        citation=source.citation,
        licence=source.licence,
        events={a["article_id"]: event for a in articles if (event := a.get("event"))},
        note=source.note,
    )


def _kind_of(config: CorpusConfig) -> str:
    """Tell which kind of source a config names: a built-in one's name, ``hub`` or ``file``."""
    kind = "hub" if config.source.startswith(PREFIX) else "file"
    kind = config.source if config.source in (conventions.NAME, control.NAME) else kind
    if kind != "file" and config.format != "auto":
        raise InputError(
            f"corpus.format: '{config.format}' is for files; '{config.source}' needs none "
            "(a file of that name is ./" + config.source + ")"
        )
    if kind != "hub" and config.subset is not None:
        raise InputError(
            f"corpus.subset: '{config.subset}' is for data sets of the hub (hub:OWNER/NAME), and "
            f"corpus.source is '{config.source}': set it to null"
        )
    return kind


def fingerprint(config: CorpusConfig) -> str:
    """Hash the content of a config's source, as part of a stage's key; nothing is parsed.

    Only the source (and a hub data set's revision, subset and split) counts: the settings that say
    how to read it are part of a key anyway.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits. It follows the bytes of a file; names and bytes of the JSON
        files of a folder, and of the data of one that ``save_to_disk`` wrote; the pinned hash of
        the built-in asset and the version of its cleaning; the version of what makes the control
        corpus, whose text follows settings and seed; id, commit, subset and split of a hub data
        set.

    Raises
    ------
    InputError
        If the file or folder is not there or cannot be read, or the hub does not give the data set.
    """
    kind = _kind_of(config)
    if kind == conventions.NAME:
        files = ASSETS[conventions.NAME].files
        content: Any = {"asset": [f.sha256 for f in files], "cleaning": conventions.CLEANING}
    elif kind == control.NAME:
        content = {"control": control.VERSION}
    elif kind == "hub":
        content = hub_content(config)
    else:
        path = _located(config.source)
        try:
            content = _content_of(path, config.split)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return sha256_text(canonical_json(content))


def _content_of(path: Path, split: str) -> dict[str, Any]:
    if not path.is_dir():
        return {"file": sha256_file(path)}
    if is_saved(path):
        saved = {str(f.relative_to(path)): sha256_file(f) for f in saved_files(path)}
        return {"saved": saved, "split": split}

    def content(file: Path) -> str:
        # Of one that is too long to be an article, its length says enough.
        size = file.stat().st_size
        return sha256_file(file) if size <= MAX_RECORD else str(size)

    # A name need not be UTF-8; its bytes say which it is.
    named = ((bytes(file.relative_to(path)).hex(), file) for file in json_files(path))
    return {"folder": [(name, content(file)) for name, file in named if file.is_file()]}


def _located(source: str, setting: str = "corpus.source", advice: str = _ADVICE) -> Path:
    """Return the path of a file or folder of articles, no pipe or device, which may never end.

    ``setting`` and ``advice`` are what a message calls it, and says where nothing is there.
    """
    try:
        path = Path(source).expanduser()
        usable = path.is_dir() or path.is_file()
        exists = path.exists()
        size = path.stat().st_size if path.is_file() else 0
    except (OSError, ValueError, RuntimeError) as error:
        named = repr(source if len(source) < 200 else source[:200] + "…")
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{setting}: {named} is no path: {reason}") from error
    if not exists:
        raise InputError(f"{setting}: {path}: no such file or folder. {advice}")
    if not usable:
        raise InputError(f"{setting}: {path}: neither a file nor a folder")
    if size > _MAX_BYTES:
        raise InputError(
            f"{setting}: {path}: {size:,} bytes, but articles are held in memory: at most "
            f"{_MAX_BYTES:,}"
        )
    return path


def _format_of(path: Path) -> str | None:
    return _ENDINGS.get(unpacked_name(path).suffix.lower())


def _read(path: Path, asked: str, split: str) -> Source:
    """Read a file or folder as ``corpus.format`` asks, or as its ending tells."""
    if path.is_dir():
        if asked in _FORMATS:
            raise InputError(f"{path}: a folder, but corpus.format is {asked}: name a file in it")
        if is_saved(path):
            return read_saved(path, split)
        found = read_json_folder(path)
        others = () if found.columns else path.rglob("*")
        inside = sorted(
            shown(file.relative_to(path))
            for file in others
            if _format_of(file) not in (None, "json") and file.is_file()
        )
        if inside:
            more = f" and {len(inside) - 3} more files" if len(inside) > 3 else ""
            raise InputError(
                f"{path}: a folder of {', '.join(inside[:3])}{more}: name one file in it"
            )
        return found
    kind = asked if asked in _FORMATS else _format_of(path)
    library = {".zst": "backports.zstd", ".lz4": "lz4"}.get(path.suffix.lower())
    if kind is None and library and unpacked_name(path) == path:
        raise InputError(f"{path}: cannot be unpacked here: pip install {library}, or unpack it")
    if kind is None:
        raise InputError(
            f"{path}: the ending {path.suffix or '(none)'!r} does not say what it is: set "
            f"corpus.format to jsonl, json, csv or parquet, or rename the file "
            f"({', '.join(_ENDINGS)}; also packed as .gz, .bz2, .xz or .zip)"
        )
    if kind == "parquet" and unpacked_name(path) != path:
        raise InputError(f"{path}: Parquet is packed in itself and read as it is: unpack this file")
    return _FORMATS[kind](path)


def _listed(columns: Sequence[str]) -> str:
    first = ", ".join(name.encode("utf-8", "replace").decode()[:60] for name in columns[:30])
    return (first or "none") + (f" and {len(columns) - 30} more" if len(columns) > 30 else "")


#: What else than the right column each setting of ``corpus.columns`` can be.
_ELSE = {
    **{"body": "", "label": "", "article_id": " or null to number the rows"},
    **dict.fromkeys(("title", "source", "event"), " or null"),
}


def _missing(wanted: Columns, found: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Say which configured columns are not there, each with what to do about it."""
    return [
        f"no column '{name}': set corpus.columns.{key} to the right one{_ELSE[key]}"
        for key in keys
        if (name := getattr(wanted, key)) is not None and name not in found
    ]


def _check_columns(wanted: Columns, found: Sequence[str], where: str) -> None:
    if missing := _missing(wanted, found, [*_ELSE]):
        raise InputError(f"{where}: {'; '.join(missing)}. Its columns are: {_listed(found)}")


def _layout(config: CorpusConfig, found: Sequence[str], path: Path) -> str | None:
    """Decide which published layout columns have; null if they go by ``corpus.columns``."""
    if config.format != "auto":
        return config.format if config.format in LAYOUTS else None
    plain = config.columns.model_copy(update={"event": None})
    if plain != Columns():
        return None
    matches = {
        name: columns
        for name, layout in LAYOUTS.items()
        if (columns := layout.match(found)) is not None
    }
    by_columns = not _missing(config.columns, found, ("body", "label"))
    # A layout that reads the same columns is no other reading: it only adds order and citation.
    readings = set(matches.values()) | ({plain} if by_columns else set())
    if len(readings) > 1:
        names = [*matches, *(["the columns of corpus.columns"] if by_columns else [])]
        raise InputError(
            f"{path}: could be read as {' or as '.join(names)}: set corpus.format. Its columns "
            f"are: {_listed(found)}"
        )
    return next(iter(matches), None)


def _open_file(config: CorpusConfig) -> Source:
    """Open a file or folder as ``corpus.format`` says, or as its ending and columns tell."""
    path = _located(config.source)
    try:
        source = _read(path, config.format, config.split)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not source.columns:
        first = next(iter(source.records), None)
        why = f": {first.location}: {first.reason}" if first and first.reason else ""
        raise InputError(f"{path}: there is nothing in it that can be read as a row{why}")
    name = _layout(config, source.columns, path)
    if name is None:
        _check_columns(config.columns, source.columns, str(path))
        return replace(source, fields=config.columns, name=shown(Path(unpacked_name(path).stem)))
    layout = LAYOUTS[name]
    fields = layout.match(source.columns)
    if fields is None:
        raise InputError(
            f"{path}: not {name}, which has the columns {layout.needs}: set corpus.format. Its "
            f"columns are: {_listed(source.columns)}"
        )
    fields = fields.model_copy(update={"event": config.columns.event})
    if fields.event is not None:
        _check_columns(fields, source.columns, str(path))
    read = {"columns": source.columns, "records": source.records, "note": source.note}
    return replace(layout.source, fields=fields, **read)


def _checked_text(value: object, field: str, longest: int) -> str:
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
    if isinstance(value, (bool, int, float)) and field not in ("body", "title"):
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


def _texts(
    record: Record,
    columns: Mapping[str, str | None],
    number: str,
    longest: Mapping[str, int],
    otherwise: int,
) -> dict[str, str]:
    """Take a row's fields as text; those without a column are empty, but for the id.

    Raises
    ------
    BadRowError
        If one cannot be taken, or there is no id or no body.
    """
    if record.fields is None:
        raise BadRowError(record.reason)
    article = {
        field: _checked_text(record.fields.get(column), field, longest.get(field, otherwise))
        if column is not None
        else ""
        for field, column in columns.items()
    }
    if columns["article_id"] is None:
        article["article_id"] = number
    elif not article["article_id"].strip():
        raise BadRowError("no id")
    if not article["body"].strip():
        raise BadRowError("empty body")
    return article


def _article(
    record: Record,
    number: int,
    columns: Mapping[str, str | None],
    config: CorpusConfig,
    label_map: Mapping[str, str],
    asked: Mapping[str, str],
) -> dict[str, str]:
    for name in (columns["body"], columns["label"]):
        if record.fields is not None and name not in record.fields:
            raise BadRowError(f"no column '{name}'")
    longest = dict.fromkeys(("body", "title"), config.max_body_characters)
    article = _texts(record, columns, f"row-{number:07d}", longest, _MAX_NAME)
    for name in article.keys() & {"article_id", "label", "source", "event"}:
        article[name] = article[name].strip()
    label = article["label"]
    if not label:
        raise BadRowError("no label")
    # 1.0 is 1: a whole number in a column in which some are missing.
    whole = _one_spelling(label) if "." in label and not label.endswith(".") else label
    label = asked.get(label) or asked.get(_one_spelling(label)) or whole
    article["label"] = label_map.get(label, label)
    if config.labels is not None and article["label"] not in config.labels:
        raise BadRowError(f"unknown label {article['label'][:40]!r}")
    return article


def _check(source: Source, config: CorpusConfig) -> tuple[list[dict[str, str]], list[Any]]:
    """Sort a source's records into articles and bad rows.

    The config's label map goes before the source's own.

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
    articles: dict[str, dict[str, str]] = {}
    bad: list[tuple[str, str]] = []
    columns = source.fields.model_dump()
    label_map = {**source.label_map, **config.label_map}
    named = [*(config.labels or ()), *label_map]
    asked = {_one_spelling(label): label for label in named} | {label: label for label in named}
    rows = 0
    for rows, record in enumerate(source.records, start=1):
        try:
            article = _article(record, rows, columns, config, label_map, asked)
            if article["article_id"] in articles:
                raise BadRowError("duplicate id")
            articles[article["article_id"]] = article
        except BadRowError as error:
            bad.append((record.location, str(error)))
    if bad and config.on_bad_row == "error":
        raise _complain(bad, rows, config)
    return [*articles.values()], bad


def _complain(bad: Sequence[tuple[str, str]], rows: int, config: CorpusConfig) -> InputError:
    reasons = Counter(reason for _, reason in bad).most_common()
    lines = [f"{config.source}: {len(bad):,} of {rows:,} rows are bad:"]
    lines += [f"  {count:,} x {reason}" for reason, count in reasons[: 2 * _SHOWN]]
    if len(reasons) > 2 * _SHOWN:
        lines.append(f"  and {len(reasons) - 2 * _SHOWN} more reasons")
    places = ", ".join(f"{location} ({reason})" for location, reason in bad[:_SHOWN])
    lines.append(f"first: {places}")
    unknown = any(reason.startswith("unknown label") for reason, _ in reasons)
    if config.labels is not None and unknown:
        wanted = ", ".join(label[:40] for label in config.labels[:10])
        lines.append(f"corpus.labels has {wanted}: corpus.label_map says which of them a label is")
    lines.append("Correct them, or leave them out and count them with corpus.on_bad_row: skip")
    return InputError("\n".join(lines))


def _label_set(config: CorpusConfig, source: Source, found: Counter[str]) -> tuple[str, ...]:
    if config.labels is not None:
        twice = [label for label in config.labels if config.labels.count(label) > 1]
        if twice:
            raise InputError(f"corpus.labels: '{twice[0]}' stands twice")
        return config.labels
    first = [label for label in source.labels if label in found]
    return (*first, *sorted(set(found) - set(first)))


def read_unlabelled(path: Path, body: str = "body") -> pl.DataFrame:
    """Read a Parquet, CSV or JSONL file of articles that need no label as `tables.ARTICLES`.

    ``article_id`` (or ``id``), ``title``, ``label`` and ``source`` are taken where the file has
    them; ids are row numbers elsewhere. Of a chat data set (`CONVERSATIONS`, where there is no
    column ``body``, or it is named) the body is what the assistant says.

    Raises
    ------
    InputError
        If the file is missing, is of another kind, has no column ``body``, or has a row without
        text there, a damaged one or an id twice.
    """
    path = _located(str(path), "articles", "Give a Parquet, CSV or JSONL file")
    if path.is_dir():
        raise InputError(f"{path}: a folder: name a file in it")
    kind = _format_of(path)
    if kind is None:
        raise InputError(f"{path}: give a file that ends in .parquet, .csv, .tsv, .jsonl or .json")
    try:
        table = _FORMATS[kind](path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if body not in table.columns and body == "body":
        body = next((name for name in CONVERSATIONS if name in table.columns), body)
    if body not in table.columns:
        found = _listed(table.columns)
        raise InputError(f"{path}: no column '{body[:60]}'; it has: {found}; set --body")
    columns = {name: name if name in table.columns else None for name in ARTICLES} | {"body": body}
    if "id" in table.columns and columns["article_id"] is None:
        columns["article_id"] = "id"
    articles: list[dict[str, str]] = []
    bad: list[tuple[str, str]] = []
    for number, record in enumerate(table.records, start=1):
        try:
            own = record
            if body in CONVERSATIONS and record.fields is not None:
                said = _assistant_text(record.fields.get(body))
                own = replace(record, fields={**record.fields, body: said})
            articles.append(_texts(own, columns, f"row-{number}", {}, MAX_RECORD))
        except BadRowError as error:
            bad.append((record.location, str(error)))
    if bad:
        reasons = Counter(reason for _, reason in bad).most_common(5)
        shown = ", ".join(f"{count:,} x {reason}" for reason, count in reasons)
        raise InputError(f"{path}: {len(bad):,} rows are bad: {shown}; first: {bad[0][0]}")
    if len({article["article_id"] for article in articles}) < len(articles):
        raise InputError(f"{path}: an article id stands twice")
    return pl.DataFrame(articles, schema=ARTICLES)


def _assistant_text(value: object) -> str:
    """Join the assistant's turns of a conversation, an empty line between them.

    A conversation is a list of turns, each with who speaks and what (a text, or a list of parts of
    which those of the type ``text`` count); or the same as JSON, as a CSV file has it and a
    Parquet file is read.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise BadRowError("a conversation that is no list of turns") from error
    if not isinstance(value, Sequence) or not all(isinstance(turn, Mapping) for turn in value):
        raise BadRowError("a conversation that is no list of turns")

    def first(turn: Mapping[str, Any], names: Sequence[str]) -> Any:  # noqa: ANN401 - JSON
        return next((turn[name] for name in names if turn.get(name) is not None), "")

    def text(content: Any) -> str:  # noqa: ANN401 - JSON
        if isinstance(content, str):
            return content
        return "".join(
            str(part.get("text") or "")
            for part in (content if isinstance(content, Sequence) else ())
            if isinstance(part, Mapping) and part.get("type", "text") == "text"
        )

    turns = [t for t in value if str(first(t, _SPEAKER)).strip().lower() in _ASSISTANTS]
    said = "\n\n".join(part for turn in turns if (part := text(first(turn, _SAID))).strip())
    if not said:
        raise BadRowError("a conversation in which the assistant says nothing")
    return said
