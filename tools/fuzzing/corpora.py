"""Hostile corpus files of every format, good ones spoilt, and settings to read them with."""

from __future__ import annotations

import bz2
import csv
import datetime
import decimal
import gzip
import io
import json
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import datasets
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from fuzzing.places import KINDS, put
from fuzzing.texts import nasty, scalar, spoil, tree, utf8

FIELDS = ("id", "title", "body", "label", "source")
WEBIS = ("ID", "original_title", "original_body", "bias", "source")
PREDICTION = ("ID", "title", "content", "bias_text", "source")
LABELS = ("left", "right", "From the Left", "center")

Row = dict[Any, Any]


def _rows(random: Random, fields: tuple[str, ...]) -> list[Row]:
    """Draw rows that are mostly good, some of them hostile in one field or in all."""
    bad = random.choice((0.0, 0.0, 0.1, 0.3, 1.0))
    rows: list[Row] = []
    for number in range(random.choice((0, 8, 12, 20, 20, 30, 30, 30))):
        good = (f"a{number}", f"On {number}", f"Body of {number}.", LABELS[number % 2], "s")
        row: Row = dict(zip(fields, good, strict=True))
        if random.random() < bad:
            for name in random.sample(fields, random.randrange(1, 6)):
                row[name] = nasty(random)
        if random.random() < 0.05:
            row[fields[2]] = random.choice(("x " * 100_000, "y" * 300_000, " \n" * 9, ""))
        if random.random() < 0.05 and rows:
            row[fields[0]] = rows[-1][fields[0]]
        rows.append(row)
    return rows


def _object(row: Row, random: Random) -> bytes:
    if random.random() < 0.1:
        row = {**row, random.choice((*row, nasty(random))): tree(random)}
    if random.random() < 0.05:
        row = {name: value for name, value in row.items() if random.random() < 0.7}
    text = json.dumps(row, ensure_ascii=random.random() < 0.7)
    kind = random.randrange(60)
    if kind == 0:
        text = text[:-1] + ', "more": ' + "[" * 100_000
    elif kind == 1:
        text = text[:-1] + ', "more": ' + "9" * 5000 + "}"
    elif kind == 2:
        text = '{"body": NaN, "label": Infinity, "id": -Infinity}'
    elif kind == 3:
        text = text[:-1] + ', "id": "twice"}'
    elif kind == 4:
        text = random.choice(("[]", "null", "1", '"x"', "{}", "{}{}", "  "))
    return text.encode("utf-8", "surrogatepass")


def _jsonl(path: Path, random: Random, fields: tuple[str, ...]) -> None:
    content = b"\n".join(_object(row, random) for row in _rows(random, fields))
    path.write_bytes(_maybe_spoilt(content, random))


def _maybe_spoilt(content: bytes, random: Random) -> bytes:
    return spoil(content, random) if random.random() < 0.4 else content


def _csv(path: Path, random: Random, fields: tuple[str, ...]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(
        text,
        delimiter="\t" if path.suffix == ".tsv" else random.choice(",,,,;"),
        quoting=random.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
        lineterminator=random.choice(("\n", "\r\n", "\r")),
    )
    header = list(fields)
    if random.random() < 0.1:
        header[random.randrange(len(header))] = random.choice((nasty(random), header[0], ""))
    if random.random() < 0.01:
        header += random.choice((["x"] * 60_000, [f"c{i}" for i in range(60_000)]))
    writer.writerow(header)
    for row in _rows(random, fields):
        values = list(row.values())
        if random.random() < 0.05:
            values = random.choice((values[:-1], [*values, "more"], []))
        writer.writerow(values)
    content = text.getvalue().encode("utf-8", "surrogatepass")
    if random.random() < 0.1:
        content = content.replace(b'"', b"", 1) + b'"open'
    path.write_bytes(_maybe_spoilt(content, random))


def _odd_column(random: Random, height: int) -> pl.Series | pa.Array:
    made: tuple[Callable[[], Any], ...] = (
        lambda: pl.Series([[1, None]] * height, dtype=pl.List(pl.Int64)),
        lambda: pl.Series([{"a": 1, "b": [None]}] * height),
        lambda: pl.Series([b"caf\xe9"] * height, dtype=pl.Binary),
        lambda: pl.Series([None] * height, dtype=pl.Null),
        lambda: pl.Series([decimal.Decimal("1.5")] * height),
        lambda: pl.Series([datetime.date(1, 1, 1)] * height),
        lambda: pl.Series([datetime.timedelta(days=1)] * height),
        lambda: pl.Series([datetime.time(1)] * height),
        lambda: pl.Series([2**64 - 1] * height, dtype=pl.UInt64),
        lambda: pl.Series([float("nan")] * height),
        lambda: pl.Series([True] * height),
        lambda: pl.Series(["left"] * height, dtype=pl.Categorical),
        lambda: pl.Series(["left"] * height, dtype=pl.Enum(["left"])),
        lambda: pl.Series([[1.0] * 3] * height, dtype=pl.Array(pl.Float32, 3)),
        lambda: pa.array([-(2**62)] * height, pa.timestamp("s")),
        lambda: pa.array([2**62] * height, pa.timestamp("us", tz="+99:99")),
        lambda: pa.array([2**62] * height, pa.timestamp("us", tz="Nowhere/Nothing")),
        lambda: pa.array([2**31 - 1] * height, pa.date32()),
        lambda: pa.array([2**62] * height, pa.duration("s")),
        lambda: pa.array([[("k", 1)]] * height, pa.map_(pa.string(), pa.int64())),
        lambda: pa.array([b"1234"] * height, pa.binary(4)),
        lambda: pa.array(["x"] * height).dictionary_encode(),
        lambda: pa.array([1.5] * height, pa.float16()),
        lambda: pa.array([decimal.Decimal("1e30")] * height, pa.decimal256(60, 2)),
        lambda: pa.array([[[[[1]]]]] * height),
        lambda: pa.array([{}] * height, pa.struct([])),
    )
    return random.choice(made)()


def _parquet(path: Path, random: Random, fields: tuple[str, ...]) -> None:
    rows = _rows(random, fields)
    columns: dict[str, Any] = {
        name: pa.array([utf8(row[name]) for row in rows], pa.string()) for name in fields
    }
    for _ in range(random.choice((0, 0, 1, 2))):
        name = random.choice((*fields, "other", utf8(nasty(random))))
        made = _odd_column(random, len(rows))
        columns[name] = made.to_arrow() if isinstance(made, pl.Series) else made
    names, arrays = list(columns), list(columns.values())
    if random.random() < 0.05:
        names.append(random.choice(names))
        arrays.append(arrays[0])
    if random.random() < 0.02:
        names, arrays = [], []
    sink = io.BytesIO()
    try:
        table = pa.Table.from_arrays(arrays, names)
        pq.write_table(
            table,
            sink,
            compression=random.choice(("zstd", "none", "snappy", "gzip")),
            row_group_size=random.choice((1, 3, 1000)),
            use_dictionary=random.choice((True, False)),
        )
    except (pa.ArrowException, OverflowError, ValueError):  # a type that Parquet does not have
        sink = io.BytesIO(b"PAR1")
    content = sink.getvalue()
    if random.random() < 0.5:
        content = spoil(content, random)
        if random.random() < 0.5 and len(content) > 8:  # what is between the marks counts
            content = b"PAR1" + content[4:-4] + b"PAR1"
    path.write_bytes(content)


def _class_labels(random: Random, names: list[str]) -> dict[bytes, bytes]:
    """Draw what `datasets` writes beside a table: features, mostly of classes, mostly right."""
    feature: dict[str, Any] = {"_type": "ClassLabel", "names": ["left", "right"]}
    if random.random() < 0.5:
        feature[random.choice(("_type", "names", "x"))] = random.choice(
            (None, [], ["left"], [1, None], "ab", {"left": 0}, tree(random))
        )
    features: Any = {random.choice((*names, "gone")): feature}
    if random.random() < 0.2:
        features = tree(random)
    text = json.dumps({"info": {"features": features}}).encode("utf-8", "surrogatepass")
    return {b"huggingface": spoil(text, random) if random.random() < 0.2 else text}


def _classes(path: Path, random: Random, fields: tuple[str, ...]) -> None:
    """Write Parquet with a column of numbers that stand for classes."""
    rows = _rows(random, fields)
    kind = random.choice((pa.int64(), pa.int8(), pa.uint64(), pa.float64(), pa.float16()))
    drawn = [random.choice((0, 1, 0, 1, 0, 1, None, 2, 77)) for _ in rows]
    values = np.array([float("nan") if d is None else d for d in drawn], dtype=np.float64)
    numbers = pa.array([None if d is None else d for d in drawn], pa.float64())
    columns: dict[str, Any] = {
        name: pa.array([utf8(row[name]) for row in rows], pa.string()) for name in fields
    }
    columns[fields[3]] = (
        pa.array(values) if random.random() < 0.1 else numbers.cast(kind, safe=False)
    )
    table = pa.table(columns)
    if random.random() < 0.9:
        table = table.replace_schema_metadata(_class_labels(random, list(fields)))
    pq.write_table(table, path)


def _json(path: Path, random: Random, fields: tuple[str, ...]) -> None:
    """Write an array of objects, or an object that holds one; a third of them undamaged."""
    rows = _rows(random, fields)
    if random.random() < 0.33:
        path.write_bytes(json.dumps(rows).encode("utf-8", "surrogatepass"))
        return
    content = b",\n".join(_object(row, random) for row in rows)
    start, end = random.choice((
        *[(b"[", b"]")] * 5, *[(b'{"data": [', b"]}")] * 3, (b"\xef\xbb\xbf [", b"]\n"),
        (b'{"a": 1, "rows": [', b'], "more": []}'), (b'{"x": [{}], "y": [', b"]}"), (b"[", b",]"),
        (b"[[", b"]]"), (b"", b""),
    ))  # fmt: skip
    path.write_bytes(_maybe_spoilt(start + content + end, random))


def _dialect(path: Path, random: Random, fields: tuple[str, ...]) -> None:
    """Write CSV in any dialect, mostly one of those that programs write."""
    text = io.StringIO(newline="")
    delimiter = random.choice(";\t|,;\t|:^ ")
    writer = csv.writer(
        text,
        delimiter=delimiter,
        quotechar=random.choice("\"\"''"),
        quoting=random.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE)),
        doublequote=random.choice((True, False)),
        escapechar="\\",
        lineterminator=random.choice(("\n", "\r\n", "\r")),
    )
    writer.writerow(fields)
    for row in _rows(random, fields):
        values = list(row.values())
        if random.random() < 0.3:
            values[2] = random.choice(("one, two; three", "a | b", 'he said "no"', "it's\n'so'"))
        writer.writerow(values)
    content = text.getvalue().encode("utf-8", "surrogatepass")
    if random.random() < 0.2:
        content = b"sep=" + delimiter.encode() + random.choice((b"\n", b"\r\n", b"")) + content
    path.write_bytes(_maybe_spoilt(content, random))


def _turns(random: Random) -> object:
    speaker, said = random.choice((("role", "content"), ("from", "value"), ("role", "value")))
    turns: list[Any] = [
        {
            speaker: random.choice(("user", "assistant", "assistant", "gpt", "system", "")),
            said: random.choice(("Said this.", [{"type": "text", "text": "Part."}], nasty(random))),
        }
        for _ in range(random.choice((0, 1, 2, 2, 3, 5)))
    ]
    if random.random() < 0.1:
        turns.insert(0, tree(random))
    return tree(random) if random.random() < 0.05 else turns


def chat(folder: Path, random: Random) -> str:
    """Make a file of conversations and return its path."""
    ending = random.choice(("jsonl", "csv", "parquet", "json"))
    path = folder / f"chat.{ending}"
    column = random.choice(("messages", "conversations", "messages", "other"))
    whole = random.random() < 0.7
    drawn: list[Any] = [
        [{"role": "assistant", "content": f"Said {n}."}] if whole else _turns(random)
        for n in range(random.choice((0, 1, 8, 20)))
    ]
    if ending == "parquet":
        try:
            pq.write_table(pa.table({column: pa.array(drawn)}), path)
        except (pa.ArrowException, OverflowError, ValueError, UnicodeEncodeError):
            path.write_bytes(b"PAR1")
    elif ending == "csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerows([[column], *([json.dumps(turns)] for turns in drawn)])
        path.write_bytes(_maybe_spoilt(text.getvalue().encode("utf-8", "surrogatepass"), random))
    else:
        lines = [json.dumps({column: turns}) for turns in drawn]
        text_ = "\n".join(lines) if ending == "jsonl" else f"[{','.join(lines)}]"
        path.write_bytes(_maybe_spoilt(text_.encode("utf-8", "surrogatepass"), random))
    return str(path)


def _pack(path: Path, random: Random, fields: tuple[str, ...]) -> None:
    """Pack a file of text; the name says so, or says another thing."""
    inner = random.choice((_jsonl, _csv, _json))
    inner(path, random, fields)
    content = path.read_bytes()
    kinds = (".gz", ".bz2", ".xz", ".zip")
    kind = path.suffix if path.suffix in kinds and random.random() < 0.95 else random.choice(kinds)
    if kind == ".zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in random.choice((
                ["a"], ["a"], ["a/b.csv"], ["__MACOSX/._a", "a"], ["../a"], ["/etc/a"], ["a", "b"],
                ["d/", "d/a"], [],
            )):  # fmt: skip
                archive.writestr(name, content)
        packed = out.getvalue()
    else:
        packer = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[kind]
        packed = packer(content)
        packed = random.choice((*[packed] * 8, packed + packed, packed + b"x"))
    path.write_bytes(spoil(packed, random) if random.random() < 0.2 else packed)


def _saved(path: Path, random: Random, fields: tuple[str, ...]) -> None:
    """Save a data set of `datasets` to a folder, and spoil some of its files."""
    rows = _rows(random, fields)
    columns = {name: [utf8(row[name]) for row in rows] for name in fields}
    saved: Any = datasets.Dataset.from_dict(columns)
    if random.random() < 0.3:
        label = datasets.ClassLabel(names=["left", "right"])
        drawn = [random.choice((0, 1)) for _ in rows]
        saved = datasets.Dataset.from_dict(
            columns | {fields[3]: drawn},
            features=datasets.Features(
                {name: datasets.Value("string") for name in fields} | {fields[3]: label}
            ),
        )
    if random.random() < 0.3:
        saved = datasets.DatasetDict({random.choice(("train", "test")): saved})
    saved.save_to_disk(str(path))
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        chance = random.random()
        if chance < 0.1:
            file.write_bytes(spoil(file.read_bytes(), random))
        elif chance < 0.15:
            file.unlink()
        elif chance < 0.2 and file.suffix == ".json":
            value = json.loads(file.read_text())
            if isinstance(value, dict) and value:
                value[random.choice(list(value))] = tree(random)
            text = json.dumps(value).encode("utf-8", "surrogatepass")
            file.write_bytes(text)


def _folder(path: Path, random: Random, fields: tuple[str, ...]) -> None:
    path.mkdir()
    for number, row in enumerate(_rows(random, fields)):
        inner = path / random.choice((".", "in", "in/deeper"))
        inner.mkdir(parents=True, exist_ok=True)
        (inner / f"{number}.json").write_bytes(_maybe_spoilt(_object(row, random), random))
    for number in range(random.choice((0, 0, 1, 3))):
        place = path / random.choice((f"x{number}.json", f"x{number}", f"x{number}.json.d"))
        if not place.exists() and not place.is_symlink():
            put(random.choice(KINDS[:-3]), place, random)
    if random.random() < 0.1:
        with open(os.fsencode(path / "caf") + b"\xe9.json", "wb") as handle:  # noqa: PTH123
            handle.write(b"{}")


_MAKERS: dict[str, Callable[[Path, Random, tuple[str, ...]], None]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "tsv": _csv,
    "parquet": _parquet,
    "folder": _folder,
    "json": _json,
    "classes": _classes,
    "dialect": _dialect,
    "packed": _pack,
    "saved": _saved,
}
#: What a file of a kind ends in, where the kind is no ending.
_ENDINGS = {
    "folder": ("",),
    "saved": ("",),
    "classes": (".parquet", ".pq"),
    "dialect": (".csv", ".tsv"),
    "packed": (
        ".jsonl.gz",
        ".csv.bz2",
        ".jsonl.xz",
        ".json.zip",
        ".csv.gz",
        ".jsonl.zip",
        ".jsonl",
    ),
}
_NAMES = (
    "articles",
    "a b",
    "*",
    "[x]",
    "a?",
    "é",
    ".hidden",
    "-x",
    "a\nb",
    "{x}",
    "%20",
    "x" * 200,
)


def make(kind: str, folder: Path, random: Random) -> str:
    """Make a corpus file or folder and return how a config names it.

    Parameters
    ----------
    kind
        A key of `_MAKERS`; or ``place``: no plain file at all.
    folder
        Where to make it.
    random
        Draws its name and content.
    """
    made = random.choice((*_MAKERS, "txt")) if kind == "place" else kind
    name = random.choice(_NAMES) if random.random() < 0.3 else "articles"
    path = folder / f"{name}{random.choice(_ENDINGS.get(made, (f'.{made}',)))}"
    if kind == "place":
        return put(random.choice(KINDS), path, random)
    fields = random.choice((FIELDS, FIELDS, FIELDS, WEBIS, PREDICTION))
    _MAKERS[kind](path, random, fields)
    if random.random() < 0.05:
        link = folder / f"link-{path.name}"
        link.symlink_to(path)
        return str(link)
    return str(path)


def settings(source: str, random: Random) -> dict[str, Any]:
    """Draw the settings of a corpus; not all of them can be had."""
    found: dict[str, Any] = {
        "source": source,
        "articles_per_label": random.choice((*(None,) * 9, 1, 2, 506, 10**30)),
        "holdout_per_label": random.choice((0, 0, 0, 0, 0, 1, 20)),
        "on_bad_row": random.choice(("error", "skip", "skip", "skip")),
        "instrument_fraction": random.choice((0.5, 0.5, 0.1, 0.99, 1e-300)),
    }
    if random.random() < 0.1:
        found["format"] = random.choice(
            ("jsonl", "csv", "parquet", "webis", "article-bias-prediction")
        )
    if random.random() < 0.6:
        found["labels"] = LABELS[:2]
    elif random.random() < 0.2:
        found["labels"] = random.choice(
            (LABELS[:2], ("left",), (), ("left", "left"), (utf8(nasty(random)),))
        )
    if random.random() < 0.1:
        found["label_map"] = {utf8(nasty(random)): "left", "right": utf8(nasty(random))}
    if random.random() < 0.1:
        found["real_labels"] = random.choice((["left"], ["nowhere"], ["left", "left"]))
    if random.random() < 0.1:
        found["keep_apart"] = "source"
    if random.random() < 0.1:
        found["max_body_characters"] = random.choice((100, 10**30))
    if random.random() < 0.15:
        columns: dict[str, Any] = {
            name: random.choice((None, "id", "title", "other", utf8(nasty(random))))
            for name in random.sample(("article_id", "title", "source"), 2)
        }
        found["columns"] = columns | {"label": random.choice(("label", "source", "other"))}
    return found


def bombs(folder: Path) -> dict[str, Path]:
    """Make small files that would take a naive reader's time or memory, by name."""
    found: dict[str, Path] = {}

    def parquet(name: str, rows: int, groups: int = 1, **columns: pa.Array) -> None:
        path = folder / f"{name}.parquet"
        table = pa.table(columns)
        with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
            for _ in range(groups):
                writer.write_table(table, row_group_size=rows)
        found[name] = path

    def same(value: str, rows: int) -> pa.Array:
        places = pa.array(np.zeros(rows, dtype=np.int32))
        return pa.DictionaryArray.from_arrays(places, pa.array([value]))

    def distinct(rows: int) -> pa.Array:
        return pa.array([f"a{number}" for number in range(rows)])

    one = pa.array(["a"])
    few = same("left", 2_000_000)
    parquet("many-rows", 2_000_000, 4, id=few, title=few, body=few, label=few, source=few)
    long = pa.array(["x" * 100_000_000])
    parquet("long-value", 1, 2, id=one, title=one, body=long, label=one, source=one)
    ids = distinct(20_000)
    long = same("y" * 5_000_000, 20_000)
    label = pa.array(["left", "right"] * 10_000)
    parquet("one-value-often", 20_000, id=ids, title=ids, body=long, label=label, source=ids)
    long = same("y" * 199_999, 20_000)
    parquet("one-body-often", 20_000, id=ids, title=ids, body=long, label=label, source=ids)
    nested = pa.ListArray.from_arrays(
        pa.array([0, 10_000_000], pa.int32()), pa.nulls(10_000_000, pa.int8())
    )
    parquet("long-list", 1, 2, id=one, title=one, body=one, label=one, source=nested)
    header = folder / "wide-header.csv"
    header.write_text(",".join(["x"] * 400_000) + "\n")
    found["wide-header"] = header
    for ending in ("jsonl", "csv", "parquet"):
        path = folder / f"holes.{ending}"
        with path.open("wb") as handle:
            handle.write(b"id,title,body,label,source\n" if ending == "csv" else b"")
            handle.truncate(1 << 42)
        found[f"holes-{ending}"] = path
    return found


datasets.disable_progress_bars()

__all__ = ["bombs", "chat", "make", "scalar", "settings"]
