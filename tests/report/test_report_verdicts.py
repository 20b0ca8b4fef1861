from __future__ import annotations

from dataclasses import replace

from biasloop.analysis import Change, Verdict
from biasloop.report.verdicts import speak

RISE = Change(0, 10, 0.544, 0.637, 0.093, 0.061, 0.124)
FALL = Change(0, 10, 2.322, 1.665, -0.657, -0.72, -0.6)
FLAT = Change(0, 10, 0.5, 0.49, -0.01, -0.05, 0.03)
VERDICT = Verdict("synthetic", "right", 10, 1, 1518, RISE, FALL, "yes", "yes", False, "")


def test_a_rise_and_a_fall() -> None:
    spoken = speak(VERDICT)
    assert spoken.bias == (
        "The share of “right” rose by 9.3 points (95\u202f% interval 6.1 to 12.4) from Generation "
        "0 to 10: 54.4\u202f% to 63.7\u202f%."
    )
    assert spoken.quality == "Quality fell by 0.66 (95\u202f% interval 0.60 to 0.72): 2.32 to 1.67."


def test_a_change_that_is_not_shown_keeps_its_signs() -> None:
    spoken = speak(replace(VERDICT, leaning_change=FLAT, moved="not shown"))
    assert "changed by −1.0 points (95\u202f% interval −5.0 to +3.0)" in spoken.bias
    assert spoken.moved == "not shown"


def test_a_withheld_share_is_no_number() -> None:
    verdict = replace(
        VERDICT,
        leaning_change=None,
        moved="withheld",
        withheld=True,
        reason="62 % of its articles lie outside what the classifier was validated on (x 60 %)",
    )
    bias = speak(verdict).bias
    assert bias == (
        "The share of “right” at Generation 10 is withheld: 62 % of its articles lie outside what "
        "the classifier was validated on."
    )
    readable = replace(verdict, readable=replace(RISE, end=3))
    assert "Up to Generation 3, the last that can be read, it rose by 9.3 points" in (
        speak(readable).bias
    )


def test_what_was_not_measured() -> None:
    verdict = replace(
        VERDICT, leaning_change=None, quality_change=None, moved="not measured", reason="only one"
    )
    assert speak(verdict).bias == "Whether the share of “right” moved was not measured: only one."
    assert speak(verdict).quality == ""
    assert speak(replace(verdict, leaning="")).bias == ""


def test_one_article_has_no_interval() -> None:
    alone = replace(RISE, low=None, high=None)
    assert "no interval from one article" in speak(replace(VERDICT, leaning_change=alone)).bias
