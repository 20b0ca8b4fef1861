"""Open a file or folder of articles: its format, then its columns. Does not look at any article."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from biasloop.config import Columns, CorpusConfig
from biasloop.corpus.delimited import read_delimited
from biasloop.corpus.jsonl import read_json, read_json_folder, read_jsonl
from biasloop.corpus.layouts import LAYOUTS
from biasloop.corpus.packed import unpacked_name
from biasloop.corpus.parquet import read_parquet
from biasloop.corpus.saved import is_saved, read_saved
from biasloop.corpus.source import RecordTable, Source, shown
from biasloop.errors import InputError

#: What reads a format that is only a format.
FORMATS: dict[str, Callable[[Path], RecordTable]] = {
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": read_delimited,
    "parquet": read_parquet,
}
#: What to do about a source that is not there.
ADVICE = "Write 'conventions', the path of a JSONL, JSON, CSV or Parquet file, or hub:OWNER/NAME"
#: A file larger than this is not read: articles are held in memory.
MAX_BYTES = 16 * 2**30
#: Which format a file's ending means.
ENDINGS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def located(source: str, setting: str = "corpus.source", advice: str = ADVICE) -> Path:
    """Return the path of a file or folder of articles.

    Parameters
    ----------
    source
        As in ``corpus.source``.
    setting, advice
        What a message calls it, and what it says where nothing is there.

    Raises
    ------
    InputError
        If it is not there, is neither a file nor a folder (a pipe or device may never end), or is
        a file of more than `MAX_BYTES`.
    """
    try:
        path = Path(source).expanduser()
        usable = path.is_dir() or path.is_file()
        exists = path.exists()
        size = path.stat().st_size if path.is_file() else 0
    except (OSError, ValueError, RuntimeError) as error:
        shown_source = repr(source if len(source) < 200 else source[:200] + "…")
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{setting}: {shown_source} is no path: {reason}") from error
    if not exists:
        raise InputError(f"{setting}: {path}: no such file or folder. {advice}")
    if not usable:
        raise InputError(f"{setting}: {path}: neither a file nor a folder")
    if size > MAX_BYTES:
        raise InputError(
            f"{setting}: {path}: {size:,} bytes, but articles are held in memory: at most "
            f"{MAX_BYTES:,}"
        )
    return path


def _readable(folder: Path) -> str:
    """Name some files of a folder, or of those in it, that can be read one by one."""
    found = sorted(
        shown(path.relative_to(folder))
        for path in folder.rglob("*")
        if ENDINGS.get(unpacked_name(path).suffix.lower(), "json") != "json" and path.is_file()
    )
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more files" if len(found) > 3 else "")


def _table(path: Path, asked: str, split: str) -> RecordTable:
    if path.is_dir():
        if asked in FORMATS:
            raise InputError(f"{path}: a folder, but corpus.format is {asked}: name a file in it")
        if is_saved(path):
            return read_saved(path, split)
        found = read_json_folder(path)
        if not found.columns and (inside := _readable(path)):
            raise InputError(f"{path}: a folder of {inside}: name one file in it")
        return found
    kind = asked if asked in FORMATS else ENDINGS.get(unpacked_name(path).suffix.lower())
    if kind is None:
        raise InputError(
            f"{path}: the ending {path.suffix or '(none)'!r} does not say what it is: set "
            f"corpus.format to jsonl, json, csv or parquet, or rename the file "
            f"({', '.join(ENDINGS)}; also packed as .gz, .bz2, .xz or .zip)"
        )
    if kind == "parquet" and unpacked_name(path) != path:
        raise InputError(f"{path}: Parquet is packed in itself and read as it is: unpack this file")
    return FORMATS[kind](path)


def _columns(columns: Sequence[str]) -> str:
    first = ", ".join(name.encode("utf-8", "replace").decode()[:60] for name in columns[:30])
    return (first or "none") + (f" and {len(columns) - 30} more" if len(columns) > 30 else "")


def missing_columns(wanted: Columns, found: Sequence[str], *, optional: bool) -> list[str]:
    """Say which configured columns are not there, each with what to do about it.

    Parameters
    ----------
    wanted
        The column map.
    found
        The columns that the source has.
    optional
        Whether to look for the ones that may be null too.
    """
    fields = ["body", "label", *(["article_id", "title", "source", "event"] if optional else [])]
    advice = {
        "article_id": " or null to number the rows",
        "title": " or null",
        "source": " or null",
        "event": " or null",
    }
    return [
        f"no column '{name}': set corpus.columns.{key} to the right one{advice.get(key, '')}"
        for key in fields
        if (name := getattr(wanted, key)) is not None and name not in found
    ]


def check_columns(wanted: Columns, found: Sequence[str], where: str) -> None:
    """Refuse a source that lacks a configured column.

    Raises
    ------
    InputError
        Naming the columns found and the setting to change.
    """
    missing = missing_columns(wanted, found, optional=True)
    if missing:
        raise InputError(f"{where}: {'; '.join(missing)}. Its columns are: {_columns(found)}")


def _layout(config: CorpusConfig, table: RecordTable, path: Path) -> str | None:
    """Decide which published layout a table has; null if it goes by ``corpus.columns``."""
    if config.format != "auto":
        return config.format if config.format in LAYOUTS else None
    plain = config.columns.model_copy(update={"event": None})
    if plain != Columns():
        return None
    matches = {
        name: columns
        for name, layout in LAYOUTS.items()
        if (columns := layout.match(table.columns)) is not None
    }
    by_columns = not missing_columns(config.columns, table.columns, optional=False)
    # A layout that reads the same columns is no other reading: it only adds order and citation.
    readings = set(matches.values()) | ({plain} if by_columns else set())
    if len(readings) > 1:
        names = [*matches, *(["the columns of corpus.columns"] if by_columns else [])]
        raise InputError(
            f"{path}: could be read as {' or as '.join(names)}: set corpus.format. Its columns "
            f"are: {_columns(table.columns)}"
        )
    return next(iter(matches), None)


def _why(table: RecordTable) -> str:
    """Say of a table without columns what its first row is."""
    first = next(iter(table.records), None)
    return f": {first.location}: {first.reason}" if first and first.reason else ""


def open_file(config: CorpusConfig) -> Source:
    """Open a file or folder as ``corpus.format`` says, or as its ending and columns tell.

    Raises
    ------
    InputError
        If it is not there or cannot be read, if the format does not follow from ending and
        columns or is ambiguous, or if a column is missing: with the columns found.
    """
    path = located(config.source)
    try:
        table = _table(path, config.format, config.split)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not table.columns:
        raise InputError(f"{path}: there is nothing in it that can be read as a row{_why(table)}")
    name = _layout(config, table, path)
    if name is None:
        check_columns(config.columns, table.columns, str(path))
        stem = shown(Path(unpacked_name(path).stem))
        return Source(table.records, config.columns, name=stem, note=table.note)
    layout = LAYOUTS[name]
    columns = layout.match(table.columns)
    if columns is None:
        raise InputError(
            f"{path}: not {name}, which has the columns {layout.needs}: set corpus.format. Its "
            f"columns are: {_columns(table.columns)}"
        )
    columns = columns.model_copy(update={"event": config.columns.event})
    if columns.event is not None:
        check_columns(columns, table.columns, str(path))
    return Source(
        records=table.records,
        columns=columns,
        name=layout.name,
        citation=layout.citation,
        licence=layout.licence,
        labels=layout.labels,
        label_map=layout.label_map,
        note=table.note,
    )
