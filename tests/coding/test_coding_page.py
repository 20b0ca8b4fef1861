"""The sheet's page in headless Chromium: its keys, its CSV file, and that no text of it runs."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_made_up import HOSTILE, MARKER

from biasloop.coding.sheets import sheet_page

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in _NAMES if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
    *("--virtual-time-budget=4000", "--enable-logging=stderr", "--v=0", "--dump-dom"),
)
OPTIONS = ("left", "<b>center</b>", 'right, "far"', "unclear")
TEXTS = [(f"id{place}", text) for place, text in enumerate(HOSTILE[:5])]

#: Presses keys, and notes what each did; the file that a download would write is kept.
PRESS = """
var saved = null, said = [];
URL.createObjectURL = function (blob) { saved = blob; return 'blob:none'; };
HTMLAnchorElement.prototype.click = function () { said.push(this.download); };
function press(key) {
  document.dispatchEvent(new KeyboardEvent('keydown', { key: key, cancelable: true }));
  said.push(document.getElementById('place').textContent + ', ' +
            document.getElementById('done').textContent);
}
KEYS.forEach(press);
document.getElementById('download').click = HTMLElement.prototype.click;
document.getElementById('download').click();
saved.text().then(function (csv) {
  document.documentElement.setAttribute('data-said', JSON.stringify({ said: said, csv: csv }));
});
"""


def browse(page: str, folder: Path) -> tuple[str, list[str]]:
    path = folder / "sheet.html"
    path.write_text(page, "utf-8")
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", path.as_uri()],
        capture_output=True,
        timeout=120,
        check=True,
    )
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    return done.stdout.decode("utf-8"), [line for line in lines if "CONSOLE" in line]


def press(keys: list[str], folder: Path) -> dict[str, object]:
    page = sheet_page("coder-1", OPTIONS, TEXTS)
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    script = PRESS.replace("KEYS", json.dumps(keys))
    dom, console = browse(page.replace("</body>", f"<script>{script}</script></body>"), folder)
    assert console == []
    found = re.search(r'data-said="([^"]*)"', dom)
    assert found is not None
    return json.loads(html.unescape(found[1]))


def rows(found: dict[str, object]) -> list[dict[str, str]]:
    return list(csv.DictReader(str(found["csv"]).splitlines()))


def test_keys_code_move_and_take_back(tmp_path: Path) -> None:
    keys = ["1", "ArrowRight", "3", "ArrowLeft", "Backspace", "2", "n", "9", "4", "ArrowLeft"]
    found = press(keys, tmp_path)
    assert found["said"] == [
        "2 of 5, 1 coded",  # 1: the first is left; on to the second
        "3 of 5, 1 coded",  # past the second
        "4 of 5, 2 coded",  # 3: the third is right
        "3 of 5, 2 coded",  # back
        "3 of 5, 1 coded",  # and taken back
        "4 of 5, 2 coded",  # 2: the third is center
        "5 of 5, 2 coded",  # n: the next that is not coded
        "5 of 5, 2 coded",  # there is no ninth label
        "2 of 5, 3 coded",  # 4: the fifth is unclear; on to what was left open
        "1 of 5, 3 coded",
        "coder-1-coded.csv",
    ]
    assert [(row["id"], row["label"]) for row in rows(found)] == [
        ("id0", "left"),
        ("id2", "<b>center</b>"),
        ("id4", "unclear"),
    ]
    assert {row["coder"] for row in rows(found)} == {"coder-1"}
    # The browser keeps it: the page opens again where it was left.
    again = press(["3"], tmp_path)
    assert again["said"] == ["4 of 5, 4 coded", "coder-1-coded.csv"]
    assert rows(again)[1] == {"coder": "coder-1", "id": "id1", "label": 'right, "far"'}


def test_no_text_of_a_model_runs_or_is_markup(tmp_path: Path) -> None:
    evil = f"<script>document.title='{MARKER}'</script>"
    page = sheet_page("coder-1", OPTIONS, TEXTS).replace("<footer>", evil + "<footer>")
    dom, console = browse(page, tmp_path)
    assert "<title>Articles to read: coder-1</title>" in dom
    assert any("Content Security Policy" in line for line in console)
    assert re.search(r"<article[^>]*>&lt;script&gt;document.title=", dom)
    assert "&lt;b&gt;center&lt;/b&gt;" in dom


def test_the_page_as_written_has_no_complaint(tmp_path: Path) -> None:
    dom, console = browse(sheet_page("coder-1", OPTIONS, TEXTS), tmp_path)
    assert console == []
    assert "1 of 5" in dom
