"""Sheets for coders: a CSV file and a page each, and the key that they do not get.

What a model wrote is untrusted: it is data in the page, never markup, and no cell of the CSV file
begins as a formula does.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from biasloop.coding.draw import Drawn
from biasloop.errors import InputError
from biasloop.files import canonical_json, new_folder, sha256_text, write_json, write_text
from biasloop.untrusted import content_policy, script_json, templates, visible

KEY = "key.json"
SHEETS = "sheets"
COLUMNS = ("coder", "id", "label", "text")

#: A spreadsheet's cell holds no more than 32,767 characters.
_LONGEST = 32_000
_FORMULA = ("=", "+", "-", "@", "\t")


def write_sheets(drawn: Drawn, folder: Path) -> Path:
    """Write ``key.json`` and ``sheets/CODER.csv`` and ``.html`` into a new folder.

    Returns
    -------
    Path
        The folder of the sheets.

    Raises
    ------
    InputError
        If the folder is there already, since it may hold what people coded.
    """
    if folder.exists():
        raise InputError(
            f"{folder}: is there already, perhaps with what people coded; give another --out"
        )
    with new_folder(folder) as building:
        write_json(building / KEY, drawn.key())
        (building / SHEETS).mkdir()
        for coder, names in drawn.coders.items():
            stem = building / SHEETS / coder
            texts = [(name, _shown(drawn.texts[name])) for name in names]
            write_text(stem.with_suffix(".csv"), sheet_csv(coder, texts))
            write_text(stem.with_suffix(".html"), sheet_page(coder, drawn.options, texts))
    return folder / SHEETS


def sheet_csv(coder: str, texts: Sequence[tuple[str, str]]) -> str:
    """Write the sheet of (id, text) as CSV, with a byte order mark, so that Excel reads UTF-8."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    for name, text in texts:
        rows.writerow((coder, name, "", f"'{text}" if text.startswith(_FORMULA) else text))
    return "\ufeff" + buffer.getvalue()


def sheet_page(coder: str, options: Sequence[str], texts: Sequence[tuple[str, str]]) -> str:
    """Write the sheet as one page that asks no network; equal input gives equal text."""
    from markupsafe import Markup

    environment = templates("biasloop.coding")
    folder = resources.files("biasloop.coding") / "templates"
    script = (folder / "sheet.js").read_text(encoding="utf-8").strip()
    data = {
        "coder": coder,
        "options": [{"label": label, "shown": visible(label)} for label in options],
        "articles": [{"id": name, "text": text} for name, text in texts],
        # Where the browser keeps what was coded so far: that of no other sheet.
        "store": f"biasloop-{sha256_text(canonical_json([coder, texts]))[:16]}",
    }
    return environment.get_template("sheet.html").render(
        coder=coder,
        policy=content_policy(script),
        style=Markup((folder / "sheet.css").read_text(encoding="utf-8").strip()),  # noqa: S704
        script=Markup(script),  # noqa: S704
        data=Markup(script_json(data)),  # noqa: S704
    )


def _shown(text: str) -> str:
    shown = visible(text).strip() or "(there is no text)"
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]} […]"
