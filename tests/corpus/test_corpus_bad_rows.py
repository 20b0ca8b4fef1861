import csv
import io
import json
import os
import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biasloop.config import CorpusConfig
from biasloop.corpus.load import BAD_ROWS, load_corpus
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
        ("x.csv:6", "a quote that opens here never closes"),
        ("x.csv:7", "swallowed by the quote that opens in row 6"),
    ]


def news(number: int) -> list[str]:
    body = f"Report {number}: it cost 1,000, and more."
    return [f"a{number}", f"On {number}", body, ["left", "right"][number % 2], "s"]


SWALLOWED = {
    "never closed": ({6: '"Open text'}, 6, 30),
    "closed by an opening one": ({3: '"Open text', 8: '"Other text'}, 3, 8),
    "closed at an end": ({3: '"Open text', 8: 'Other text"'}, 3, 8),
    "closed in the next row": ({3: '"Open text', 4: 'Other text"'}, 3, 4),
    "closed within a text": ({3: '"Open text', 8: 'he said "yes" today'}, 3, 8),
    "from the first row": ({0: '"Open text', 1: 'Other text"'}, 0, 1),
}


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_NONE])
@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("name", SWALLOWED)
def test_lines_that_a_quote_swallows_are_bad_rows_and_all_others_articles(
    tmp_path, name, ending, quoting
):
    bodies, first, last = SWALLOWED[name]
    tab = ending == "tsv"
    if quoting == csv.QUOTE_NONE and not tab:
        pytest.skip("a comma in a text has to be quoted")
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t" if tab else ",", quoting=quoting, lineterminator="\n")
    writer.writerow(GOOD[0])
    for number in range(30):
        row = news(number)
        if number in bodies:
            text.write(("\t" if tab else ",").join([*row[:2], bodies[number], *row[3:]]) + "\n")
        elif first < number < last:  # without what would end the quoted text
            writer.writerow([*row[:2], "Plain text", *row[3:]])
        else:
            writer.writerow(row)
    path = tmp_path / f"x.{ending}"
    path.write_text(text.getvalue())
    corpus = load(path, on_bad_row="skip")
    lost = range(first, min(last, 29) + 1)
    assert corpus.bad_rows["location"].to_list() == [f"x.{ending}:{n + 2}" for n in lost]
    assert "quote that opens" in corpus.bad_rows["reason"][0]
    swallowed = {f"swallowed by the quote that opens in row {first + 2}"}
    assert set(corpus.bad_rows["reason"][1:]) == swallowed
    kept = [news(number) for number in range(30) if number not in lost]
    assert corpus.articles["body"].to_list() == [row[2] for row in kept]
    with pytest.raises(InputError, match=f"{len(lost)} of 30 rows are bad"):
        load(path)


@pytest.mark.parametrize("labels", [("left", "right"), ("0", "1")])
def test_a_text_of_several_lines_that_looks_like_a_table_is_read_whole(tmp_path, labels):
    """Lines with as many commas as a row, or with numbers as labels are, are prose still."""
    bodies = [
        "In Paris, Rome, Oslo, and Bern\nthey went, it is said, left, right,\n1,000 came.",
        "1,000 people came\n1, 2, 3, 4\n\n0,5 percent",
        'It is "quoted", said\nthe "Post", which, as ever, is right',
        "one\rtwo\r\nthree, four",
    ]
    rows = [
        {"label": labels[i % 2], "body": body, "id": str(i), "title": "T", "source": "s"}
        for i, body in enumerate(bodies * 3)
    ]
    path = tmp_path / "x.csv"
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    read = load(path, labels=labels).articles["body"].to_list()
    assert read == [body.replace("\r\n", "\n").replace("\r", "\n") for body in bodies * 3]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_quotes_escaped_by_a_backslash_are_quotes(tmp_path, quoting):
    bodies = [
        'The mayor said "roads first" today',
        'The mayor, at last, said "roads, first", and left',
        "A path C:\\new\\table, with one at its end\\",
        '"Yes", he said, "no"',
        'It is 5", or 6"\nand a line more',
        "Nothing to escape",
    ]
    path = tmp_path / "x.csv"
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle, doublequote=False, escapechar="\\", quoting=quoting)
        writer.writerow(GOOD[0])
        for i, body in enumerate(bodies * 2):
            writer.writerow([i, "t", body, ["left", "right"][i % 2], "s"])
    assert '\\"' in path.read_text()
    assert load(path).articles["body"].to_list() == bodies * 2


def test_a_backslash_before_a_closing_quote_is_one_where_quotes_are_doubled(tmp_path):
    bodies = ["C:\\temp, C:\\", 'say ""yes\\"" now', "\\\\server\\new, too"] * 2
    path = tmp_path / "x.csv"
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(GOOD[0])
        writer.writerows([i, "t", b, ["left", "right"][i % 2], "s"] for i, b in enumerate(bodies))
    assert load(path).articles["body"].to_list() == bodies


def test_a_quote_that_is_not_doubled_is_a_bad_row_and_no_garbled_text(tmp_path):
    path = tmp_path / "x.csv"
    rows = "".join(f'"g{i}","t","b","{["left", "right"][i % 2]}","s"\n' for i in range(4))
    path.write_text(f'id,title,body,label,source\n"x","t","He said "no" now","left","s"\n{rows}')
    with pytest.raises(InputError, match=r"1 x text after a closing quote: .* written twice"):
        load(path)
    assert load(path, on_bad_row="skip").articles.height == 4


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
