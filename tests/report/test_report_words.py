from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop.report import formatting as fmt
from biasloop.report.charts import escape
from biasloop.report.summary_json import strict
from biasloop.untrusted import script_json

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)


@given(ANY_TEXT)
def test_visible_text_has_nothing_that_reorders_or_controls(text: str) -> None:
    shown = fmt.visible(text)
    shown.encode("utf-8")
    for character in shown:
        assert character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs")
        assert unicodedata.bidirectional(character) not in (
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        )
    assert fmt.visible(shown) == shown


@given(ANY_TEXT)
def test_names_fit_on_one_line(text: str) -> None:
    shown = fmt.name(text)
    assert 0 < len(shown) <= 60
    assert "\n" not in shown


@given(ANY_TEXT)
def test_plotly_gets_no_markup(text: str) -> None:
    assert "<" not in escape(text)
    assert ">" not in escape(text)


@given(st.recursive(ANY_TEXT, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner)))
def test_json_in_a_script_cannot_end_it_and_reads_back(value: object) -> None:
    text = script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


@given(st.floats() | st.lists(st.floats()) | st.dictionaries(st.text(), st.floats()))
def test_strict_values_are_strict_json(value: object) -> None:
    json.dumps(strict(value), allow_nan=False)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.04, "0.0"), (-0.04, "0.0"), (0.05, "+0.1"), (-1.25, "−1.2"), (1234.56, "+1,234.6")],
)
def test_signed(value: float, written: str) -> None:
    assert fmt.signed(value) == written


def test_numbers() -> None:
    assert fmt.percent(0.5437) == "54.4\u202f%"
    assert fmt.percent(None) == "–"
    assert fmt.number(-1234.5, 1) == "−1,234.5"
    assert [fmt.scaled(x) for x in (0.12345, 2.345, 123.45, 12345.6)] == [
        "0.123",
        "2.35",
        "123.5",
        "12,346",
    ]
    assert fmt.duration(12.34) == "12.3\u202fs"
    assert fmt.duration(125) == "2\u202fmin 05\u202fs"
    assert fmt.duration(3725) == "1\u202fh 02\u202fmin"
    assert fmt.generations([5, 1, 2, 3, 7, 8]) == "1 to 3, 5, 7, 8"
    assert fmt.counted(1, "row") == "1 row"
    assert fmt.counted(1200, "row") == "1,200 rows"
    assert fmt.file_stem("../../etc/passwd\x00") == "_etc_passwd_"
