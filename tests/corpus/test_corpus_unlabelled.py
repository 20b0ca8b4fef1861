"""Articles that are only scored: ids where there are none, and what is refused."""

import json

import polars as pl
import pytest

from biasloop.corpus.load import read_unlabelled
from biasloop.errors import InputError
from biasloop.tables import ARTICLES

FRAME = pl.DataFrame({"body": ["one two", "three"], "title": ["T", None], "other": [1, 2]})


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_each_kind_of_file_reads_the_same(tmp_path, ending):
    path = tmp_path / f"articles.{ending}"
    {"parquet": FRAME.write_parquet, "csv": FRAME.write_csv, "jsonl": FRAME.write_ndjson}[ending](
        path
    )
    articles = read_unlabelled(path)
    assert articles.schema == ARTICLES
    assert articles.rows() == [("row-1", "T", "one two", "", ""), ("row-2", "", "three", "", "")]


def test_ids_and_another_column_are_taken(tmp_path):
    path = tmp_path / "articles.csv"
    path.write_text("id,text,label\n7,hello there,left\n")
    assert read_unlabelled(path, "text").rows() == [("7", "", "hello there", "left", "")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "x", "ends in .parquet, .csv, .tsv, .jsonl"),
        ("a.parquet", "no Parquet", "cannot be read"),
        ("a.csv", "text\nhello\n", "no column 'body'"),
        ("a.csv", "id,body\n1,hello\n2,  \n", r"1 x empty body; first: a\.csv:3"),
        ("a.csv", "id,body\n1,hello\n1,there\n", "stands twice"),
    ],
)
def test_what_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_unlabelled(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.jsonl: no such file"):
        read_unlabelled(tmp_path / "none.jsonl")


TURNS = {
    "openai": (
        "messages",
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Write."},
            {"role": "assistant", "content": "First article."},
            {"role": "user", "content": "More."},
            {"role": "assistant", "content": [{"type": "text", "text": "Second."}]},
        ],
    ),
    "sharegpt": (
        "conversations",
        [
            {"from": "human", "value": "Write."},
            {"from": "gpt", "value": "First article."},
            {"from": "gpt", "value": "Second."},
        ],
    ),
}


@pytest.mark.parametrize("form", TURNS)
@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_of_a_conversation_the_assistant_s_turns_are_read(tmp_path, form, ending):
    column, turns = TURNS[form]
    path = tmp_path / f"chat.{ending}"
    if ending == "jsonl":
        path.write_text(json.dumps({column: turns}) + "\n")
    elif ending == "csv":
        pl.DataFrame({column: [json.dumps(turns)]}).write_csv(path)
    else:
        plain = [
            {key: "Second." if isinstance(value, list) else value for key, value in turn.items()}
            for turn in turns
        ]
        pl.DataFrame({column: [plain]}).write_parquet(path)
    for body in ("body", column):
        assert read_unlabelled(path, body)["body"].to_list() == ["First article.\n\nSecond."]


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([{"role": "user", "content": "Hi"}], "the assistant says nothing"),
        ([{"role": "assistant", "content": " "}], "the assistant says nothing"),
        ("hello", "no list of turns"),
        ([1, 2], "no list of turns"),
    ],
)
def test_a_conversation_without_an_answer_is_a_bad_row(tmp_path, turns, reason):
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"messages": turns}) + "\n")
    with pytest.raises(InputError, match=reason):
        read_unlabelled(path)


def test_a_body_stands_before_a_conversation(tmp_path):
    path = tmp_path / "both.jsonl"
    path.write_text(json.dumps({"body": "The text.", "messages": TURNS["openai"][1]}) + "\n")
    assert read_unlabelled(path)["body"].to_list() == ["The text."]
