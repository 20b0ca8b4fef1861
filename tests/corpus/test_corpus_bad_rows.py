import json
import os
import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biasloop.config import CorpusConfig
from biasloop.corpus import BAD_ROWS, load_corpus
from biasloop.corpus.parquet import read_parquet
from biasloop.errors import InputError

GOOD = [
    {"id": f"g{i}", "title": "t", "body": "b", "label": ["left", "right"][i % 2], "source": "s"}
    for i in range(4)
]


def line(**changes) -> bytes:
    return json.dumps({**GOOD[0], "id": "bad", **changes}).encode()


BAD_LINES = {
    "empty body": line(body=" \n"),
    "no label": line(label=None),
    "unknown label 'far left'": line(label="far left"),
    "duplicate id": line(id="g1"),
    "not UTF-8": line().replace(b'"t"', b'"\xff"'),
    "body over 500 characters": line(body="x" * 501),
    "title over 500 characters": line(title="x" * 501),
    "label over 1,000 characters": line(label="x" * 1001),
    "broken JSON": b'{"id": "bad", ',
    "not a JSON object": b"[1]",
    "no column 'body'": json.dumps({"id": "bad", "label": "left"}).encode(),
    "no id": line(id=""),
    "body is not text": line(body=["a"]),
    "label is not text": line(label={"a": 1}),
    "NUL characters": line(body="a\0b"),
    "lone surrogates": line(body="\ud800"),
}


def write_jsonl(path, lines):
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def load(path, **changes):
    config = {"max_body_characters": 500, "labels": ("left", "right"), **changes}
    return load_corpus(CorpusConfig(source=str(path), **config), 0)


@pytest.mark.parametrize("reason", BAD_LINES)
def test_each_kind_is_an_error_with_its_place_or_counted(tmp_path, reason):
    lines = [json.dumps(row).encode() for row in GOOD]
    lines.insert(2, BAD_LINES[reason])
    path = write_jsonl(tmp_path / "x.jsonl", lines)
    with pytest.raises(InputError) as caught:
        load(path)
    text = str(caught.value)
    assert "1 of 5 rows are bad" in text
    assert f"1 x {reason}" in text
    assert f"x.jsonl:3 ({reason})" in text
    assert "corpus.on_bad_row: skip" in text
    corpus = load(path, on_bad_row="skip")
    assert corpus.bad_rows.to_dicts() == [{"location": "x.jsonl:3", "reason": reason}]
    assert corpus.bad_rows.schema == BAD_ROWS
    assert corpus.articles["article_id"].to_list() == ["g0", "g1", "g2", "g3"]


def test_the_error_counts_all_and_shows_the_first_five(tmp_path):
    lines = [json.dumps(row).encode() for row in GOOD]
    lines += [line(body="", id=str(i)) for i in range(7)] + [b"{"] * 2
    path = write_jsonl(tmp_path / "x.jsonl", lines)
    with pytest.raises(InputError) as caught:
        load(path)
    text = str(caught.value)
    assert "9 of 13 rows" in text
    assert "7 x empty body" in text
    assert "2 x broken JSON" in text
    assert re.findall(r"x\.jsonl:(\d+)", text) == ["5", "6", "7", "8", "9"]
    corpus = load(path, on_bad_row="skip")
    assert corpus.bad_rows["location"].to_list() == [f"x.jsonl:{i}" for i in range(5, 14)]


def test_csv_places_and_reasons(tmp_path):
    path = tmp_path / "x.csv"
    good = b"".join(b"g%d,t,b,%s,s\n" % (i, (b"left", b"right")[i % 2]) for i in range(4))
    path.write_bytes(
        b"id,title,body,label,source\n" + good + b"\nx,t,caf\xe9,left,s\nonly,two\n"
        b'y,t,"two\nlines",left,s,extra\nz,t,  ,left,s\nn,t,a\x00b,left,s\n'
    )
    with pytest.raises(InputError, match=r"5 of 9 rows"):
        load(path)
    assert load(path, on_bad_row="skip").bad_rows.rows() == [
        ("x.csv:7", "not UTF-8"),
        ("x.csv:8", "fewer fields than the header"),
        ("x.csv:9", "more fields than the header"),
        ("x.csv:10", "empty body"),
        ("x.csv:11", "NUL characters"),
    ]


def test_an_unclosed_quote_is_no_silent_loss(tmp_path):
    path = tmp_path / "x.csv"
    rows = "".join(f"g{i},t,b,{['left', 'right'][i % 2]},s\n" for i in range(4))
    path.write_text(f'id,title,body,label,source\n{rows}x,t,"open,left,s\ny,t,b,left,s\n')
    assert load(path, on_bad_row="skip").bad_rows.rows() == [
        ("x.csv:6", "fewer fields than the header")
    ]


def test_parquet_places_and_reasons(tmp_path):
    path = tmp_path / "x.parquet"
    frame = pl.DataFrame([*GOOD, {**GOOD[0], "id": None}, {**GOOD[0], "id": "e", "body": None}])
    frame.write_parquet(path)
    assert load(path, on_bad_row="skip").bad_rows.rows() == [
        ("x.parquet:5", "no id"),
        ("x.parquet:6", "empty body"),
    ]
    frame.with_columns(body=pl.lit([1, 2])).write_parquet(path)
    with pytest.raises(InputError, match="6 x body is not text"):
        load(path)
    frame.with_columns(body=pl.lit(b"caf\xe9")).write_parquet(path)
    with pytest.raises(InputError, match="6 x not UTF-8"):
        load(path)


@pytest.mark.parametrize("row_group_size", [3, 1000])
def test_parquet_rows_are_what_polars_reads(tmp_path, row_group_size):
    path = tmp_path / "x.parquet"
    frame = pl.DataFrame(
        {
            "text": [None if i % 7 == 0 else f"é{i % 5}" * i for i in range(50)],
            "kind": pl.Series([["a", "b", None][i % 3] for i in range(50)], dtype=pl.Categorical),
            "bytes": [b"x" * i for i in range(50)],
            "count": list(range(50)),
            "share": [None, 0.5] * 25,
            "true": [True, False] * 25,
            "none": pl.Series([None] * 50, dtype=pl.Null),
        }
    )
    frame.write_parquet(path, row_group_size=row_group_size)
    rows = [dict(record.fields) for record in read_parquet(path).records]
    assert rows == [{**row, "bytes": row["bytes"].decode()} for row in frame.iter_rows(named=True)]


def test_a_folder_with_bad_files_links_and_pipes(tmp_path):
    for i in range(6):
        row = {"ID": f"x{i}", "title": "t", "content": "b", "source": "s",
               "bias_text": ("left", "right")[i % 2]}  # fmt: skip
        (tmp_path / f"good{i}.json").write_text(json.dumps(row))
    (tmp_path / "z").mkdir()
    (tmp_path / "z/broken.json").write_text("{")
    (tmp_path / "z/other.json").write_text('{"a": 1}')
    (tmp_path / "z/dangling.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "z/loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "z/pipe.json")
    if Path("/etc/passwd").exists():
        (tmp_path / "z/secret.json").symlink_to("/etc/passwd")
    corpus = load(tmp_path, on_bad_row="skip")
    assert corpus.articles.height == 6
    found = dict(corpus.bad_rows.rows())
    assert found.pop("z/secret.json", "broken JSON") == "broken JSON"
    assert found == {
        "z/broken.json": "broken JSON",
        "z/other.json": "no column 'content'",
        "z/dangling.json": "not a readable file",
        "z/pipe.json": "not a readable file",
    }


def test_an_id_is_only_data(tmp_path):
    ids = ["../../x", "/etc/passwd", "a\nb", "<script>alert(1)</script>", "=1+1", "x" * 1000]
    rows = [{**GOOD[i % 4], "id": identity} for i, identity in enumerate(ids)]
    folder = tmp_path / "in"
    folder.mkdir()
    path = write_jsonl(folder / "x.jsonl", [json.dumps(row).encode() for row in rows])
    assert load(path).articles["article_id"].to_list() == ids
    assert [found.name for found in tmp_path.rglob("*")] == ["in", "x.jsonl"]


def test_a_link_to_a_file_is_read_as_the_file(tmp_path):
    path = write_jsonl(tmp_path / "x.jsonl", [json.dumps(row).encode() for row in GOOD])
    (tmp_path / "link.jsonl").symlink_to(path)
    assert load(tmp_path / "link.jsonl").articles.height == 4


def test_a_file_name_that_is_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9.jsonl")
    try:
        path = write_jsonl(tmp_path / name, [json.dumps(r).encode() for r in GOOD] + [b"{"])
    except (OSError, UnicodeError):
        pytest.skip("no such names on this file system")
    corpus = load(path, on_bad_row="skip")
    assert corpus.bad_rows["location"].to_list() == ["caf?.jsonl:5"]
    assert corpus.name == "caf?"


def test_an_empty_corpus_and_one_of_bad_rows_only(tmp_path):
    path = write_jsonl(tmp_path / "x.jsonl", [line(body="")] * 3)
    with pytest.raises(InputError, match=r"no article in it \(all 3 rows are bad: 3 x empty body"):
        load(path, on_bad_row="skip")


def test_too_few_articles_of_a_label_says_the_counts(tmp_path):
    rows = [*GOOD, {**GOOD[0], "id": "one", "label": "center"}]
    path = write_jsonl(tmp_path / "x.jsonl", [json.dumps(row).encode() for row in rows])
    with pytest.raises(InputError, match=r"too few.*center.*center 1, left 2, right 2"):
        load(path, labels=None)
    with pytest.raises(InputError, match=r"too few.*far.*left 2, right 2, center 1, far 0"):
        load(path, labels=("left", "right", "center", "far"))
    with pytest.raises(InputError, match="'left' stands twice"):
        load(path, labels=("left", "left"), on_bad_row="skip")


ANY_TEXT = st.text(st.characters(), max_size=8)
VALUE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT,
                  st.lists(st.integers(), max_size=1))  # fmt: skip


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(GOOD[0], VALUE)), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
def test_any_json_is_articles_or_bad_rows_and_never_a_crash(tmp_path, rows):
    lines = [json.dumps(row).encode() for row in [*GOOD, *rows]]
    path = write_jsonl(tmp_path / "x.jsonl", lines)
    corpus = load(path, on_bad_row="skip", label_map={"0": "left", "True": "right"})
    assert corpus.articles.height + corpus.bad_rows.height == len(lines)
    assert corpus.articles["article_id"].n_unique() == corpus.articles.height
    assert set(corpus.articles["label"]) == {"left", "right"}


@given(st.binary(max_size=120))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_any_bytes_never_crash(tmp_path, ending, content):
    path = tmp_path / f"x.{ending}"
    path.write_bytes(b"id,title,body,label,source\n" * (ending == "csv") + content)
    with pytest.raises(InputError):
        load(path, labels=("one", "two"))
