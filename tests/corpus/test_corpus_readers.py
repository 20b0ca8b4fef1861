import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import datasets
import polars as pl
import pyarrow.parquet as pq
import pytest

from biasloop.config import Columns, CorpusConfig, parse_config, read_yaml
from biasloop.corpus.load import fingerprint, load_corpus, read_unlabelled
from biasloop.errors import InputError
from biasloop.tables import ARTICLES

ROWS = [
    {
        "id": f"a{i}",
        "title": f"Title {i}",
        "body": f'Body "{i}", ünïcode — and\na second line.',
        "label": ("left", "right", "center")[i % 3],
        "source": f"Outlet {i % 2}",
    }
    for i in range(6)
]
SHARED = Path(__file__).parents[3] / "shared/data/allsides/articles.parquet"


def as_csv(rows, delimiter=",", end="\n") -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def as_jsonl(rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(path: Path, rows) -> Path:
    if path.suffix in (".parquet", ".pq"):
        pl.DataFrame(rows).write_parquet(path)
    elif path.suffix in (".csv", ".tsv"):
        delimiter = "\t" if path.suffix == ".tsv" else ","
        path.write_text(as_csv(rows, delimiter), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        path.write_text(as_jsonl(rows), encoding="utf-8")
    return path


def load(path, **settings):
    return load_corpus(CorpusConfig(source=str(path), **settings), 0)


ENDINGS = [".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".pq"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_gives_the_same_articles(tmp_path, ending):
    corpus = load(write(tmp_path / f"news{ending}", ROWS))
    expected = pl.DataFrame(ROWS).rename({"id": "article_id"}).select(ARTICLES.names())
    assert corpus.articles.equals(expected)
    assert corpus.articles.schema == ARTICLES
    assert corpus.labels == ("center", "left", "right")
    assert corpus.name == "news"
    assert corpus.bad_rows.height == 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_column_map_and_a_label_map(tmp_path, ending):
    names = {"id": "nr", "title": "head", "body": "text", "label": "bias", "source": "paper"}
    rows = [{names[key]: value for key, value in row.items()} for row in ROWS]
    corpus = load(
        write(tmp_path / f"x{ending}", rows),
        columns=Columns(article_id="nr", title=None, body="text", label="bias", source="paper"),
        label_map={"left": "L", "right": "R"},
        labels=("R", "center", "L"),
    )
    assert corpus.labels == ("R", "center", "L")
    assert corpus.articles["label"].to_list() == ["L", "R", "center"] * 2
    assert set(corpus.articles["title"]) == {""}
    assert corpus.articles["source"].to_list() == ["Outlet 0", "Outlet 1"] * 3


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_event_of_an_article_is_read_where_its_column_is_named(tmp_path, ending):
    rows = [{**row, "story": ("flood", "vote", "")[i // 2]} for i, row in enumerate(ROWS)]
    path = write(tmp_path / f"x{ending}", rows)
    corpus = load(path, columns=Columns(event="story"))
    assert corpus.events == {"a0": "flood", "a1": "flood", "a2": "vote", "a3": "vote"}
    assert corpus.articles.equals(load(path).articles)
    assert load(path).events == {}
    with pytest.raises(InputError, match=r"no column 'strory': set corpus\.columns\.event"):
        load(path, columns=Columns(event="strory"))


def test_the_event_of_a_published_layout_and_of_text_that_has_none(tmp_path):
    path = write(tmp_path / "data_public.csv", [{**row, "story": "flood"} for row in WEBIS])
    corpus = load(path, columns=Columns(event="story"))
    assert set(corpus.events.values()) == {"flood"}
    assert corpus.articles.equals(load(path).articles)
    with pytest.raises(InputError, match=r"no column 'tale': set corpus\.columns\.event"):
        load(path, columns=Columns(event="tale"))
    with pytest.raises(InputError, match="control has no events: set it to null"):
        load("control", columns=Columns(event="story"))


def test_rows_are_numbered_where_there_are_no_ids(tmp_path):
    rows = [{key: row[key] for key in ("body", "label")} for row in ROWS]
    path = write(tmp_path / "x.csv", rows)
    corpus = load(path, columns=Columns(article_id=None, title=None, source=None))
    assert corpus.articles["article_id"].to_list() == [f"row-{i:07d}" for i in range(1, 7)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_mark_and_line_ends(tmp_path, end):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xef\xbb\xbf" + as_csv(ROWS, end=end).encode())
    assert load(path).articles["body"].to_list() == [row["body"] for row in ROWS]
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + as_jsonl(ROWS).encode())
    assert load(path).articles.height == 6


def test_a_very_long_field_is_read_whole_and_the_csv_module_left_alone(tmp_path):
    # The limit is the process's: an earlier test may have left another one.
    before = 131_072
    csv.field_size_limit(before)
    body = "word " * 36_000
    path = write(tmp_path / "x.csv", [{**row, "body": body} for row in ROWS])
    assert set(load(path).articles["body"]) == {body}
    assert csv.field_size_limit() == before


def test_numbers_and_missing_titles_in_json(tmp_path):
    rows = [{"id": i, "body": "b", "label": i % 2, "title": None} for i in range(4)]
    del rows[0]["title"]
    corpus = load(write(tmp_path / "x.jsonl", rows), columns=Columns(source=None))
    assert corpus.articles["article_id"].to_list() == ["0", "1", "2", "3"]
    assert corpus.labels == ("0", "1")
    assert set(corpus.articles["title"]) == {""}


@pytest.mark.parametrize("names", [["left", "center", "right"], ["no", "yes", "0"]])
def test_classes_that_datasets_writes_to_parquet_have_their_names(tmp_path, names):
    features = datasets.Features(
        {
            **{key: datasets.Value("string") for key in ("id", "title", "body", "source")},
            "label": datasets.ClassLabel(names=names),
        }
    )
    rows = [{**row, "label": i % 3} for i, row in enumerate(ROWS)]
    path = tmp_path / "x.parquet"
    datasets.Dataset.from_list(rows, features=features).to_parquet(path)
    corpus = load(path, labels=names)
    assert corpus.labels == tuple(names)
    assert corpus.articles["label"].to_list() == names * 2
    assert load(path, label_map={names[0]: "other"}).articles["label"][0] == "other"
    assert set(read_unlabelled(path)["label"]) == set(names)
    rows[3]["label"] = -1  # as datasets marks a row without a class
    datasets.Dataset.from_list(rows, features=features).to_parquet(path)
    with pytest.raises(InputError, match=r"x\.parquet:4 \(no label\)"):
        load(path)


@pytest.mark.parametrize(
    "metadata",
    [b"{", b"[]", b'{"info": {"features": {"label": 3, "id": {"_type": "ClassLabel"}}}}',
     b'{"info": {"features": {"gone": {"_type": "ClassLabel", "names": ["a"]}}}}',
     b"[" * 100_000],
)  # fmt: skip
def test_metadata_that_names_no_classes_is_passed_over(tmp_path, metadata):
    table = pl.DataFrame(ROWS).to_arrow().replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "x.parquet")
    assert load(tmp_path / "x.parquet").articles.height == 6


def yaml_corpus(text: str) -> CorpusConfig:
    return parse_config(read_yaml(text, "x")).corpus


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize(
    ("written", "values", "labels"),
    [
        ("[0, 1]", [0, 1], ("0", "1")),
        ("[0, 1]", [0.0, 1.0], ("0", "1")),
        ("[0.0, 1.0]", [0, 1], ("0", "1")),
        ("['0', '1']", [0.0, 1.0], ("0", "1")),
        ("['0.0', '1.0']", [0, 1], ("0.0", "1.0")),
        ("[0.5, 1.5]", [0.5, 1.5], ("0.5", "1.5")),
        ("[no, yes]", ["no", "yes"], ("no", "yes")),
        ("[NO, On]", ["NO", "On"], ("NO", "On")),
        ("[false, true]", [False, True], ("false", "true")),
        ("[false, true]", ["FALSE", "TRUE"], ("false", "true")),
        ("['False', 'True']", [False, True], ("False", "True")),
    ],
)
def test_numbers_and_truth_values_are_the_labels_that_they_are(
    tmp_path, ending, written, values, labels
):
    rows = [{**row, "label": values[i % 2]} for i, row in enumerate(ROWS)]
    path = write(tmp_path / f"x{ending}", rows)
    config = yaml_corpus(f"corpus: {{source: {path}, labels: {written}}}")
    assert config.labels == labels
    corpus = load_corpus(config, 0)
    assert corpus.labels == labels
    assert corpus.articles["label"].to_list() == list(labels) * 3
    first, second = written[1:-1].split(", ")
    config = yaml_corpus(
        f"corpus: {{source: {path}, label_map: {{{first}: up, {second}: 7}}, real_labels: [7]}}"
    )
    corpus = load_corpus(config, 0)
    assert corpus.articles["label"].to_list() == ["up", "7"] * 3
    assert config.real_labels == ("7",)


def test_whole_numbers_beside_missing_ones_are_no_other_labels(tmp_path):
    """As pandas writes a column of whole numbers in which one is missing."""
    rows = [{**row, "label": [0, 1][i % 2]} for i, row in enumerate(ROWS)]
    rows.append({**ROWS[0], "id": "none", "label": None})
    frame = pl.DataFrame(rows).with_columns(pl.col("label").cast(pl.Float64))
    frame.write_parquet(tmp_path / "x.parquet")
    frame.write_csv(tmp_path / "x.csv")
    for name in ("x.parquet", "x.csv"):
        corpus = load(tmp_path / name, labels=["0", "1"], on_bad_row="skip")
        assert corpus.articles["label"].to_list() == ["0", "1"] * 3
        assert corpus.bad_rows["reason"].to_list() == ["no label"]
    assert load(tmp_path / "x.parquet", on_bad_row="skip").labels == ("0", "1")


PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".GZ": gzip.compress}


def packed(path: Path, ending: str) -> Path:
    target = path.with_name(path.name + ending)
    if ending == ".zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, path.name)
    else:
        target.write_bytes(PACKERS[ending](path.read_bytes()))
    return target


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n \n"])
def test_an_array_of_objects_in_a_json_file(tmp_path, start, indent):
    path = tmp_path / "news.json"
    path.write_bytes(start + json.dumps(ROWS, indent=indent).encode())
    expected = load(write(tmp_path / "news.csv", ROWS)).articles
    assert load(path).articles.equals(expected)
    assert read_unlabelled(path).equals(expected)
    path.write_bytes(start + as_jsonl(ROWS).encode())
    assert load(path).articles.equals(expected)
    items = json.dumps([*ROWS, 3, {**ROWS[0], "id": "bad", "body": "caf?"}]).encode()
    path.write_bytes(start + items.replace(b"caf?", b"caf\xe9"))
    assert load(path, on_bad_row="skip").bad_rows.rows() == [
        ("news.json:7", "not a JSON object"),
        ("news.json:8", "not UTF-8"),
    ]
    path.write_bytes(start + json.dumps(ROWS).encode()[:-9])
    with pytest.raises(InputError, match=r"news\.json: broken JSON .*one object a line"):
        load(path)


@pytest.mark.parametrize("ending", [*PACKERS, ".zip"])
@pytest.mark.parametrize("inner", [".jsonl", ".csv", ".tsv", ".json"])
def test_packed_files_are_read_as_what_is_in_them(tmp_path, inner, ending):
    path = write(tmp_path / f"news{inner}", ROWS)
    corpus = load(packed(path, ending))
    assert corpus.articles.equals(load(path).articles)
    assert corpus.name == "news"
    assert read_unlabelled(packed(path, ending)).equals(read_unlabelled(path))


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zip"])
def test_packed_files_that_are_cut_or_are_something_else(tmp_path, ending):
    path = packed(write(tmp_path / "news.jsonl", ROWS * 50), ending)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"garbage", b"PK\x03\x04garbage"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"news\.jsonl\.\w+: "):
            load(path)


def test_several_files_in_a_zip_and_text_that_unpacks_to_far_more(tmp_path, monkeypatch):
    path = write(tmp_path / "news.jsonl", ROWS)
    with zipfile.ZipFile(tmp_path / "news.jsonl.zip", "w") as archive:
        archive.write(path, "a.jsonl")
        archive.write(path, "b.jsonl")
    with pytest.raises(InputError, match="2 files are packed in it"):
        load(tmp_path / "news.jsonl.zip")
    monkeypatch.setattr("biasloop.corpus.records.MOST", 2**20)
    path.write_text("{}\n" * 2**20)
    with pytest.raises(InputError, match=r"holds more than 1,048,576 bytes"):
        load(packed(path, ".gz"))


def test_a_missing_value_as_python_and_pandas_write_it(tmp_path):
    rows = [{**row, "title": float("nan") if i % 2 else "t"} for i, row in enumerate(ROWS)]
    (tmp_path / "x.jsonl").write_text(as_jsonl(rows))
    (tmp_path / "x.json").write_text(json.dumps(rows))
    assert "NaN" in (tmp_path / "x.json").read_text()
    for name in ("x.jsonl", "x.json"):
        assert load(tmp_path / name).articles["title"].to_list() == ["t", ""] * 3
    rows[2]["body"] = float("nan")
    with pytest.raises(InputError, match=r"x\.jsonl:3 \(empty body\)"):
        load(write(tmp_path / "x.jsonl", rows))


def saved() -> datasets.Dataset:
    dataset = datasets.Dataset.from_list(ROWS)
    return dataset.cast_column("label", datasets.ClassLabel(names=["left", "right", "center"]))


def test_a_folder_of_save_to_disk(tmp_path):
    expected = load(write(tmp_path / "x.csv", ROWS)).articles
    saved().save_to_disk(tmp_path / "one")
    corpus = load(tmp_path / "one")
    assert corpus.articles.equals(expected)
    assert corpus.name == "one"
    splits = datasets.DatasetDict({"train": saved(), "test": saved().select(range(3, 6))})
    splits.save_to_disk(tmp_path / "some")
    assert load(tmp_path / "some").articles.equals(expected)
    with pytest.raises(InputError, match=r"corpus\.split is 'x', and it has: train, test"):
        load(tmp_path / "some", split="x")
    assert load(tmp_path / "some/train").articles.equals(expected)


def test_a_folder_of_save_to_disk_is_known_by_its_data(tmp_path):
    saved().save_to_disk(tmp_path / "x")
    config = CorpusConfig(source=str(tmp_path / "x"))
    before = fingerprint(config)
    (data,) = (tmp_path / "x").glob("*.arrow")
    content = data.read_bytes()
    data.write_bytes(content.replace(b"Title 3", b"Title 9"))
    assert fingerprint(config) != before
    data.write_bytes(content[:100])
    with pytest.raises(InputError, match=r"cannot be read as what save_to_disk"):
        load(tmp_path / "x")


WEBIS = [
    {
        "story_id": "s1",
        "original_title": f"T{i}",
        "original_body": f"B{i}",
        "bias": f"From the {('Left', 'Center', 'Right')[i % 3]}",
    }
    for i in range(6)
]


@pytest.mark.parametrize("format_", ["auto", "webis"])
def test_webis_as_published(tmp_path, format_):
    corpus = load(write(tmp_path / "data_public.csv", WEBIS), format=format_)
    assert corpus.labels == ("left", "center", "right")
    assert corpus.articles.row(1, named=True) == {
        "article_id": "row-0000002",
        "title": "T1",
        "body": "B1",
        "label": "center",
        "source": "",
    }
    assert corpus.name == "webis"
    assert "INLG" in corpus.citation
    mapped = load(tmp_path / "data_public.csv", label_map={"From the Left": "liberal"})
    assert mapped.labels == ("center", "right", "liberal")


PUBLISHED = [
    {
        "topic": "t",
        "source": f"S{i % 2}",
        "bias": i % 3,
        "title": f"T{i}",
        "content": f"B{i}",
        "content_original": f"O{i}",
        "bias_text": ("left", "center", "right")[i % 3],
        "ID": f"x{i}",
    }
    for i in range(6)
]


@pytest.mark.parametrize("format_", ["auto", "article-bias-prediction"])
@pytest.mark.parametrize("below", [".", "data/jsons"])
def test_article_bias_prediction_as_published(tmp_path, format_, below):
    folder = tmp_path / below
    folder.mkdir(parents=True, exist_ok=True)
    for row in PUBLISHED:
        (folder / f"{row['ID']}.json").write_text(json.dumps(row))
    (tmp_path / "train.tsv").write_text("ID\tbias\n")
    corpus = load(tmp_path, format=format_)
    assert corpus.labels == ("left", "center", "right")
    assert corpus.articles.row(4, named=True) == {
        "article_id": "x4",
        "title": "T4",
        "body": "B4",
        "label": "center",
        "source": "S0",
    }
    assert "EMNLP" in corpus.citation


def test_article_bias_prediction_as_one_table(tmp_path):
    rows = [{**row, "random_split": "train", "media_split": "test"} for row in ROWS]
    path = write(tmp_path / "articles.parquet", rows)
    corpus = load(path)
    assert corpus.labels == ("left", "center", "right")
    assert corpus.name == "article-bias-prediction"
    assert corpus.articles.equals(load(path, format="parquet").articles)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="no ../shared")
def test_the_shared_news():
    corpus = load(SHARED)
    counts = corpus.articles["label"].value_counts()
    assert corpus.labels == ("left", "center", "right")
    assert counts["count"].to_list() == [3000] * 3
    assert corpus.articles["source"].n_unique() > 50


def test_two_readings_are_ambiguous(tmp_path):
    rows = [{**row, **webis} for row, webis in zip(ROWS, WEBIS, strict=True)]
    path = write(tmp_path / "both.csv", rows)
    with pytest.raises(InputError, match=r"webis or as the columns.*set corpus\.format.*original_"):
        load(path)
    assert load(path, format="webis").articles["body"][0] == "B0"
    assert load(path, format="csv").articles["body"][0] == ROWS[0]["body"]
    # Columns that the user chose are no guess.
    chosen = Columns(article_id="id", body="original_body")
    assert load(path, columns=chosen).articles["body"][0] == "B0"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("x.csv", {}, r"no column 'body'.*corpus\.columns\.body.*columns are: foo, label"),
        ("x.csv", {"format": "webis"}, r"not webis.*original_title.*columns are: foo, label"),
        ("x.jsonl", {}, r"no column 'body'.*no column 'id'.*null to number the rows"),
        ("x.txt", {}, r"ending '\.txt'.*corpus\.format"),
        ("x.json", {}, r"no column 'body'.*corpus\.columns\.body.*columns are: foo, label"),
        ("x", {}, r"\(none\).*corpus\.format"),
    ],
)
def test_what_does_not_match_names_columns_and_setting(tmp_path, name, settings, message):
    path = tmp_path / name
    write(path, [{"foo": "b", "label": "left"}] * 4)
    with pytest.raises(InputError, match=message):
        load(path, **settings)


def test_the_format_overrides_the_ending(tmp_path):
    path = tmp_path / "news.txt"
    path.write_text(as_jsonl(ROWS))
    assert load(path, format="jsonl").articles.height == 6


def test_a_missing_file_and_other_kinds_of_path(tmp_path):
    with pytest.raises(InputError, match=r"no such file or folder"):
        load(tmp_path / "nothing.csv")
    with pytest.raises(InputError, match=r"no such file|no path"):
        load("a\0b.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing in it"):
        load(tmp_path / "empty")
    with pytest.raises(InputError, match=r"a folder, but corpus.format is csv"):
        load(tmp_path / "empty", format="csv")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe garbage \x80\n\x81", b"PAR1PAR1"])
def test_files_that_are_something_else(tmp_path, ending, content):
    path = tmp_path / f"x{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError):
        load(path)


def test_a_header_that_names_a_column_twice(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,title,body,body,label,source\n1,t,b,c,left,s\n")
    with pytest.raises(InputError, match="names a column twice: body"):
        load(path)


def test_a_header_only_is_an_empty_corpus(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,title,body,label,source\n")
    with pytest.raises(InputError, match="no article in it"):
        load(path)


def test_a_format_is_for_files():
    with pytest.raises(InputError, match=r"is for files"):
        load_corpus(CorpusConfig(format="csv"), 0)
