from __future__ import annotations

import base64
import csv
import hashlib
import json
import re

import pytest

from biasloop.coding import write_sheets
from biasloop.coding.sheets import sheet_csv, sheet_page
from biasloop.errors import InputError
from biasloop.untrusted import visible


def test_a_sheet_says_nothing_but_id_and_text(folder, drawn, results):
    for coder, ids in drawn.coders.items():
        sheet = folder / "sheets" / f"{coder}.csv"
        with sheet.open(encoding="utf-8-sig", newline="") as handle:
            rows = list(csv.DictReader(handle))
        assert [row["id"] for row in rows] == ids
        assert all(set(row) == {"coder", "id", "label", "text"} for row in rows)
        assert {row["label"] for row in rows} == {""}
        page = (folder / "sheets" / f"{coder}.html").read_text("utf-8")
        data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
        assert set(data) == {"articles", "coder", "options", "store"}
        assert [one["id"] for one in data["articles"]] == ids
        for one, row in zip(data["articles"], rows, strict=True):
            assert set(one) == {"id", "text"}
            assert one["text"] == visible(drawn.texts[one["id"]]).strip()
            assert row["text"].lstrip("'") == one["text"].lstrip("'")
        outside = page.replace(json.dumps(data), "")
        for told in ("preservation", "Generation", "a0001", "source 3"):
            assert told not in re.sub(r'id="data">.*?</script>', "", outside)
            assert told not in json.dumps(data)


def test_the_key_says_which_id_is_what_and_lies_apart(folder, drawn):
    assert sorted(path.name for path in folder.iterdir()) == ["key.json", "sheets"]
    key = json.loads((folder / "key.json").read_text("utf-8"))
    found = {name: [tuple(m) for m in row["sets"]] for name, row in key["articles"].items()}
    assert found == drawn.members


def test_equal_draws_give_equal_bytes(folder, drawn, tmp_path):
    write_sheets(drawn, tmp_path / "again")
    for path in (p for p in folder.rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(folder)).read_bytes()


def test_what_was_coded_is_never_overwritten(folder, drawn):
    with pytest.raises(InputError, match="give another --out"):
        write_sheets(drawn, folder)


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t"])
def test_no_cell_begins_a_formula(begin):
    text = sheet_csv("c", [("x", f'{begin}cmd|" /C calc"!A0')])
    rows = list(csv.reader(text.removeprefix("\ufeff").splitlines(keepends=True)))
    assert rows[1][3] == f'\'{begin}cmd|" /C calc"!A0'


def test_no_text_leaves_its_script_element_and_only_our_script_may_run():
    hostile = "</script><script>alert(1)</script><!-- <script>"
    page = sheet_page("coder-1", ["left", hostile], [("x", hostile)])
    assert "alert(1)</script>" not in page
    scripts = re.findall(r"<script(?: [^>]*)?>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 2
    digest = base64.b64encode(hashlib.sha256(scripts[1].encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in page
    assert "default-src &#39;none&#39;" in page
    assert not re.search(r"(?:src|href)=", page)
