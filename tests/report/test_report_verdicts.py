from __future__ import annotations

import math
from dataclasses import replace

from biasloop.analysis import Change, Sign, Verdict
from biasloop.report.verdicts import speak

RISE = Change(0, 10, 0.544, 0.637, 0.093, 0.061, 0.124)
FALL = Change(0, 10, 2.322, 1.665, -0.657, -0.72, -0.6)
FLAT = Change(0, 10, 0.5, 0.49, -0.01, -0.05, 0.03)
SIGN = Sign("quality", FALL, "yes")
VERDICT = Verdict("synthetic", "right", 10, 1, 1518, RISE, (SIGN,), "yes", "yes", False, "")


def test_a_rise_and_a_fall() -> None:
    spoken = speak(VERDICT)
    assert spoken.bias == (
        "The share of “right” rose by 9.3 points (95\u202f% interval 6.1 to 12.4) from Generation "
        "0 to 10: 54.4\u202f% to 63.7\u202f%."
    )
    assert spoken.collapse == (
        "Collapse shows: text quality fell by 0.66 (95\u202f% interval 0.60 to 0.72), 2.32 to 1.67."
    )


def test_each_sign_of_collapse_is_told_in_its_own_units() -> None:
    twice = Change(0, 10, 40.0, 80.0, math.log(2), math.log(1.5), math.log(3))
    signs = (
        Sign("quality", replace(FALL, value=0.2, low=0.1, high=0.3), "no"),
        Sign("holdout_perplexity:geometric", twice, "yes"),
    )
    assert speak(replace(VERDICT, signs=signs)).collapse == (
        "Collapse shows: perplexity on held-out real text rose by 100 % (95\u202f% interval 50 to "
        "200), 40.0 to 80.0. Not shown to be worse: text quality. Text quality rose by 0.20 "
        "(95\u202f% interval 0.10 to 0.30), 2.32 to 1.67."
    )
    open_one = replace(signs[1], change=replace(twice, low=-0.1), answer="not shown")
    told = speak(replace(VERDICT, signs=(signs[0], open_one), collapsed="not shown")).collapse
    assert told.startswith("Collapse is not shown, and not ruled out: perplexity on held-out real")
    assert "Text quality rose by 0.20" in told
    no = speak(replace(VERDICT, signs=signs[:1], collapsed="no")).collapse
    assert no.startswith("No worse than negligibly: text quality. Text quality rose by 0.20")


def test_a_change_that_is_not_shown_keeps_its_signs() -> None:
    spoken = speak(replace(VERDICT, leaning_change=FLAT, moved="not shown"))
    assert "changed by −1.0 points (95\u202f% interval −5.0 to +3.0)" in spoken.bias
    assert spoken.amplified == "not shown"


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
        VERDICT, leaning_change=None, signs=(), moved="not measured", reason="only one"
    )
    assert speak(verdict).bias == "Whether the share of “right” moved was not measured: only one."
    assert speak(verdict).collapse == ""
    assert speak(replace(verdict, leaning="")).bias == ""


def test_one_article_has_no_interval() -> None:
    alone = replace(RISE, low=None, high=None)
    assert "no interval from one article" in speak(replace(VERDICT, leaning_change=alone)).bias
