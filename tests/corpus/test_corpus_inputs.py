"""Files as other programs write them: read right, or refused in words (docs/inputs.md)."""

import csv
import gzip
import io
import json
import zipfile

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biasloop.config import Columns, CorpusConfig
from biasloop.corpus.load import load_corpus
from biasloop.corpus.split import repeated_texts
from biasloop.errors import InputError

ROWS = [
    {
        "id": f"a{n}",
        "title": f"On; taxes | {n}",
        "body": f'Number {n}: they said, "roads first"; it\'s\nwhat | we\twant.',
        "label": ["left", "right"][n % 2],
        "source": f"s{n % 3}",
    }
    for n in range(30)
]


def read(path, **settings):
    return load_corpus(CorpusConfig(source=str(path), **settings), 0)


def bodies(path, **settings):
    return read(path, **settings).articles["body"].to_list()


EXPECTED = [row["body"] for row in ROWS]
DIALECTS = {
    "semicolons": {"delimiter": ";"},
    "tabs": {"delimiter": "\t"},
    "bars": {"delimiter": "|"},
    "semicolons, all quoted": {"delimiter": ";", "quoting": csv.QUOTE_ALL},
    "semicolons, escaped": {"delimiter": ";", "doublequote": False, "escapechar": "\\"},
    "single quotes": {"quotechar": "'", "quoting": csv.QUOTE_ALL},
    "single quotes, escaped": {
        "quotechar": "'", "quoting": csv.QUOTE_ALL, "doublequote": False, "escapechar": "\\",
    },
    "single quotes and semicolons": {"delimiter": ";", "quotechar": "'", "quoting": csv.QUOTE_ALL},
}  # fmt: skip


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_is_told_from_the_first_rows_and_said(tmp_path, name, ending):
    path = tmp_path / f"articles.{ending}"
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, ROWS[0], **DIALECTS[name])
        writer.writeheader()
        writer.writerows(ROWS)
    corpus = read(path)
    assert corpus.articles["body"].to_list() == EXPECTED
    assert corpus.articles["title"].to_list() == [row["title"] for row in ROWS]
    words = {
        "single quotes": "single quotes around",
        "escaped": "escaped by a backslash",
        "semicolons": "semicolons between fields",
        "bars": "bars between fields",
    }
    for word, said in words.items():
        assert (said in corpus.note) == (word in name)
    assert ("tabs between" in corpus.note) == (name == "tabs" and ending == "csv")


def test_delimiters_escaped_without_any_quotes(tmp_path):
    path = tmp_path / "articles.csv"
    lines = [
        rf"a{n},On {n},one\, two \"three\" {n},{['left', 'right'][n % 2]},s" for n in range(30)
    ]
    path.write_text("id,title,body,label,source\n" + "\n".join(lines))
    assert bodies(path) == [f'one, two "three" {n}' for n in range(30)]


def test_a_line_that_names_the_delimiter_counts_as_a_row(tmp_path):
    path = tmp_path / "articles.csv"
    lines = [f"a{n};T;body {n};{['left', 'right'][n % 2]};s" for n in range(30)]
    path.write_text("sep=;\r\nid;title;body;label;source\r\n" + "\r\n".join([*lines, "bad;row"]))
    corpus = read(path, on_bad_row="skip")
    assert corpus.articles.height == 30
    assert corpus.bad_rows["location"].to_list() == ["articles.csv:33"]


@pytest.mark.parametrize(
    "body", ["a; b; c; d", "a | b | c", "a\tb\tc", "'Twas so, 'twas so", "'a'"]
)
def test_what_is_usual_stays_usual(tmp_path, body):
    path = tmp_path / "articles.csv"
    rows = [row | {"body": f"{body} {row['id']}"} for row in ROWS]
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, ROWS[0])
        writer.writeheader()
        writer.writerows(rows)
    corpus = read(path)
    assert corpus.articles["body"].to_list() == [row["body"] for row in rows]
    assert corpus.note == ""


@pytest.mark.parametrize("opened", [0, 1, 15, 28, 29])
def test_a_quote_that_never_closes_makes_no_other_dialect_of_a_file(tmp_path, opened):
    lines = [
        f"a{n},T,{'~' if n == opened else ''}body {n} of it,{['left', 'right'][n % 2]},s"
        for n in range(30)
    ]
    text = "id,title,body,label,source\n" + "\n".join(lines)
    path = tmp_path / "x.csv"
    path.write_text(text.replace("~", '"'))
    with pytest.raises(InputError, match=rf"x\.csv:{opened + 2} \(a quote that opens here never"):
        read(path)


def test_classes_beside_missing_ones_are_floats_and_have_names(tmp_path):
    names = {"_type": "ClassLabel", "names": ["left", "right"]}
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": names}}})}
    labels = pa.array([0.0, 1.0, None, float("nan"), 0.0, 1.0, 2.0, 0.5])
    table = pa.table({"body": [f"b {n}" for n in range(8)], "label": labels})
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "x.parquet")
    columns = Columns(article_id=None, title=None, source=None)
    corpus = read(tmp_path / "x.parquet", columns=columns, on_bad_row="skip")
    assert corpus.articles["label"].to_list() == ["left", "right"] * 2
    assert set(corpus.bad_rows["reason"]) == {"no label"}


def test_whole_numbers_beside_missing_ones_need_not_be_asked_for(tmp_path):
    text = "id,title,body,label,source\n" + "".join(
        f"a{n},T,b {n},{'' if n == 3 else float(n % 2)},s\n" for n in range(20)
    )
    (tmp_path / "x.csv").write_text(text)
    assert read(tmp_path / "x.csv", on_bad_row="skip").labels == ("0", "1")
    with pytest.raises(InputError, match=r"corpus\.labels has yes, no: corpus\.label_map says"):
        read(tmp_path / "x.csv", labels=("yes", "no"))


LINES = [json.dumps(row) for row in ROWS]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", f"[{','.join(LINES)}]"),
        ("x.json", f'{{"data": [{",".join(LINES)}], "version": 1}}'),
        ("x.json", "\n".join(LINES)),
        ("x.ndjson", "\n\n".join(LINES)),
    ],
)
def test_json_in_whatever_wrapping(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert bodies(tmp_path / name) == EXPECTED


@pytest.mark.parametrize("orient", ["columns", "index", "list", "records"])
def test_json_as_pandas_orients_it(tmp_path, orient):
    frame = pl.DataFrame(ROWS).to_pandas()
    if orient == "list":
        (tmp_path / "x.json").write_text(json.dumps(frame.to_dict("list")))
    else:
        frame.to_json(tmp_path / "x.json", orient=orient)
    assert bodies(tmp_path / "x.json") == EXPECTED


def test_several_lists_of_rows_are_no_set(tmp_path):
    rows = ",".join(LINES)
    (tmp_path / "x.json").write_text(f'{{"train": [{rows}], "test": [{rows}]}}')
    with pytest.raises(InputError, match=r"several lists of rows \(train, test\): write one"):
        read(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (LINES[0].replace('"On; taxes | 0"', "Infinity"), "Infinity is no value of JSON"),
        (LINES[0].replace('"On; taxes | 0"', "-Infinity"), "-Infinity is no value of JSON"),
        (LINES[0].replace('"On; taxes | 0"', "None"), "written as Python writes a value"),
        (str(ROWS[0]), "written as Python writes a value"),
        (LINES[0] + ",", "a comma after the object"),
    ],
)
def test_what_is_no_json_is_named(tmp_path, line, why):
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join([line, *LINES[1:]]))
    corpus = read(path, on_bad_row="skip")
    assert corpus.bad_rows.rows() == [("x.jsonl:1", f"broken JSON ({why})")] or (
        why in corpus.bad_rows["reason"][0]
    )
    path.write_text("\n".join([line] * 3))
    with pytest.raises(InputError, match=rf"read as a row: x\.jsonl:1: broken JSON \({why}"):
        read(path)


def test_packed_without_saying_so_and_with_what_a_mac_adds(tmp_path):
    text = "\n".join(LINES).encode()
    (tmp_path / "x.jsonl").write_bytes(gzip.compress(text))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("in/", b"")
        archive.writestr("__MACOSX/in/._x.jsonl", b"\0")
        archive.writestr("in/x.jsonl", text)
    (tmp_path / "y.jsonl.zip").write_bytes(out.getvalue())
    assert bodies(tmp_path / "x.jsonl") == bodies(tmp_path / "y.jsonl.zip") == EXPECTED
    (tmp_path / "z.zip").write_bytes(out.getvalue())  # what is in it says what it is
    assert bodies(tmp_path / "z.zip") == EXPECTED


def test_zstandard_needs_a_library_that_notices_damage(tmp_path, monkeypatch):
    from biasloop.corpus import records

    path = tmp_path / "x.jsonl.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd")
    monkeypatch.delitem(records.compr, "zstd", raising=False)
    monkeypatch.setattr(records, "infer_compression", lambda name: None)
    with pytest.raises(InputError, match=r"pip install backports\.zstd, or unpack it"):
        read(path)
    monkeypatch.setattr(records, "infer_compression", lambda name: "zstd")
    monkeypatch.setitem(records.compr, "zstd", lambda infile, mode: infile)
    with pytest.raises(InputError, match=r"pip install backports\.zstd, or unpack it"):
        read(path)


def test_what_has_to_be_unpacked_or_named_is_told(tmp_path):
    folder = tmp_path / "shards"
    (folder / "data").mkdir(parents=True)
    pl.DataFrame(ROWS).write_parquet(folder / "data/train-0.parquet")
    (tmp_path / "x.parquet.gz").write_bytes(gzip.compress(b"PAR1"))
    with pytest.raises(InputError, match=r"a folder of data/train-0\.parquet: name one file in it"):
        read(folder)
    with pytest.raises(InputError, match="packed in itself and read as it is: unpack this file"):
        read(tmp_path / "x.parquet.gz")


@pytest.mark.parametrize(
    "other",
    [
        "IT'S A CAFÉ, TRULY.",
        "it’s a café – truly",
        " It's a\n\ncafe\u0301, truly!",
        "It's a café truly",
    ],
)
def test_texts_of_the_same_words_are_equal(other):
    texts = pl.DataFrame(
        {"body": ["It's a café, truly.", other, "It's a café, barely.", "?!", "!?"]}
    )
    assert repeated_texts(texts) == 2


def test_a_saved_folder_that_is_damaged_further_on_is_refused(tmp_path):
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "saved"))
    file = next((tmp_path / "saved").glob("*.arrow"))
    file.write_bytes(file.read_bytes().replace(b"Number 7", b"N\xc6mber 7"))
    with pytest.raises(InputError, match=r"saved: cannot be read after row \d+: 'utf-8' codec"):
        read(tmp_path / "saved", on_bad_row="skip")
