from __future__ import annotations

import csv
import json
from dataclasses import replace

import polars as pl
import pytest
from filled import fill

from biasloop.coding import find_sheets, read_codes, read_key
from biasloop.errors import InputError


@pytest.fixture
def key(folder, results):
    return read_key(folder / "key.json", results)


def write(path, rows, header=("id", "label")):
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])
    return path


def test_every_label_comes_back_with_its_coder(folder, drawn, key):
    truth = {name: key.options[i % len(key.options)] for i, name in enumerate(drawn.texts)}
    for sheet in (folder / "sheets").glob("*.csv"):
        fill(sheet, truth.__getitem__)
    sheets, found = find_sheets([folder])
    assert found == folder / "key.json"
    codes = read_codes(sheets, key)
    assert {(c, i) for c, i, _ in codes.rows()} == {
        (coder, name) for coder, own in drawn.coders.items() for name in own
    }
    assert all(truth[name] == label for _, name, label in codes.rows())


def test_any_subset_will_do_and_case_does_not_matter(tmp_path, drawn, key):
    one, two, three, *_ = drawn.texts
    sheet = write(tmp_path / "anna.csv", [(one, " Left"), (two, ""), (three, "RIGHT ")])
    assert read_codes([sheet], key).rows() == sorted(
        [("anna", one, "left"), ("anna", three, "right")], key=lambda row: row[1]
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("{0}", "left"), ("{1}", "lft")], r"anna.csv, row 3: unknown label 'lft'; did you mean"),
        ([("{0}", "left"), ("zzz", "left")], r"anna.csv, row 3: unknown id 'zzz'"),
        ([("{0}", "left"), ("{0}", "left")], r"anna.csv, row 3: 'anna' coded .* in .*row 2"),
        ([("{0}", "left"), ("{1}",)], r"anna.csv, row 3: cannot be read: fewer fields"),
        ([("{0}", ""), ("{1}", " ")], r"anna.csv: no row has a label"),
    ],
)
def test_a_bad_row_is_one_error_with_file_and_row(tmp_path, drawn, key, rows, message):
    names = list(drawn.texts)
    given = [tuple(cell.format(*names) for cell in row) for row in rows]
    with pytest.raises(InputError, match=message):
        read_codes([write(tmp_path / "anna.csv", given)], key)


def test_a_row_that_one_coder_coded_in_two_files_is_refused(tmp_path, drawn, key):
    one = next(iter(drawn.texts))
    files = [
        write(tmp_path / name, [("eva", one, "left")], ("coder", "id", "label"))
        for name in ("first.csv", "second.csv")
    ]
    with pytest.raises(InputError, match=r"second.csv, row 2: 'eva' coded .*first.csv, row 2"):
        read_codes(files, key)


def test_a_file_with_semicolons_is_read(tmp_path, drawn, key):
    one = next(iter(drawn.texts))
    path = tmp_path / "anna.csv"
    path.write_text(f"id;label;text\n{one};left;a, b\n")
    assert read_codes([path], key).rows() == [("anna", one, "left")]


def test_the_key_of_another_run_is_refused(folder, results):
    other = replace(results, config=results.config.model_copy(update={"seed": 1}))
    with pytest.raises(InputError, match="key of another run"):
        read_key(folder / "key.json", other)


def test_a_run_whose_texts_have_changed_since_is_refused(folder, results):
    changed = replace(results, articles=results.articles.with_columns(body=pl.lit("new")))
    with pytest.raises(InputError, match="another text in this run"):
        read_key(folder / "key.json", changed)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"run": 1, "options": 3}', "\0"])
def test_what_is_no_key_is_refused(tmp_path, results, content):
    (tmp_path / "key.json").write_text(content)
    with pytest.raises(InputError, match="is no key"):
        read_key(tmp_path / "key.json", results)


def test_a_member_of_the_key_that_is_no_article_is_refused(folder, results):
    path = folder / "key.json"
    content = json.loads(path.read_text())
    next(iter(content["articles"].values()))["sets"][0][3] = "../../etc/passwd"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="another text"):
        read_key(path, results)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        find_sheets([tmp_path / "none"])
    with pytest.raises(InputError, match="no CSV file"):
        find_sheets([tmp_path])
    (tmp_path / "a.csv").write_text("id,label\n")
    with pytest.raises(InputError, match=r"no key\.json"):
        find_sheets([tmp_path / "a.csv"])
