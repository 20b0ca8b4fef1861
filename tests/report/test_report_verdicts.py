from __future__ import annotations

import math
from dataclasses import replace

import polars as pl

from biasloop.analysis import Change, Equivalence, Evidence, Sign, Verdict
from biasloop.analysis.changes import COMPARISONS, CONTRASTS
from biasloop.analysis.evidence import CLASSIFIER_SHIFTS, CORRELATIONS
from biasloop.analysis.prevalence import PREVALENCE
from biasloop.analysis.trends import TRENDS
from biasloop.report.statistics import verdict_table

RISE = Change(0, 10, 0.544, 0.637, 0.093, 0.061, 0.124, 1e-6)
FALL = Change(0, 10, 2.322, 1.665, -0.657, -0.72, -0.6, 1e-9)
FLAT = Change(0, 10, 0.5, 0.49, -0.01, -0.05, 0.03, 0.6)
SIGN = Sign("quality", FALL, 1e-9, "yes")
VERDICT = Verdict(
    regime="synthetic",
    leaning="right",
    last=10,
    chains=3,
    articles=1518,
    sources=24,
    bias="amplified",
    same_direction=True,
    leaning_change=RISE,
    changes={"right": RISE},
    real={"right": 0.333},
    held={"right": Equivalence(0.05, 0.093, 0.066, 0.119, 1.0, "no")},
    pvalue=1e-6,
    holm=1e-6,
    beyond_fine_tuning=False,
    unread=0.0,
    signs=(SIGN,),
    quality=FALL,
    collapsed="yes",
    reason="",
)


NO_TESTS = Evidence(
    *(
        pl.DataFrame(schema=s)
        for s in (CONTRASTS, TRENDS, COMPARISONS, PREVALENCE, CLASSIFIER_SHIFTS)
    ),
    pl.DataFrame(schema=CORRELATIONS),
    None,
)


def cells(verdict: Verdict) -> dict[str, list[str]]:
    """Row -> its figures, each with its interval."""
    return {
        row: [f"{cell.value} {cell.interval}".strip() for cell in own]
        for part in verdict_table(verdict, NO_TESTS).parts
        for row, own in part.rows
    }


LEANS = "Did it lean further away from the real articles? Share of “right”"


def test_a_verdict_in_full_has_a_row_for_every_question() -> None:
    twice = Change(0, 10, math.log(40), math.log(80), math.log(2), math.log(1.5), math.log(3), 0)
    verdict = replace(
        VERDICT,
        signs=(SIGN, Sign("log_holdout_perplexity", twice, 1e-6, "yes")),
        unread=0.12,
        holm=0.03,
    )
    assert cells(verdict) == {
        f"{LEANS}, %": [
            "yes", "+9.3 +6.1 to +12.4", "54.4", "63.7", "33.3",
            "away from the real articles; no movement: p < 0.001, the unreadable articles taken at "
            "their worst; p 0.030 corrected for the number of regimes (Holm)",
        ],
        "Did it stay within ±5 points? 90\u202f% interval": [
            "no", "+9.3 +6.6 to +11.9", "–", "–", "–", "",
        ],
        "How many articles of Generation 10 are too damaged to read?": [
            "12\u202f%", "–", "–", "–", "–", "the answer holds whatever they lean to",
        ],
        "Are its sentences less well formed? Quality index, 0 to 3": [
            "yes", "−0.66 −0.72 to −0.60", "2.32", "1.67", "–", "up to 0.05 is negligible",
        ],
        "Does it forget real text? Perplexity of held-out real articles (change in %)": [
            "yes", "+100 +50 to +200", "40.0", "80.0", "–", "up to 5\u202f% is negligible",
        ],
    }  # fmt: skip
    title = verdict_table(replace(verdict, beyond_fine_tuning=True), NO_TESTS).title
    assert title.endswith("; changes less those under real articles only")


def test_the_real_share_stands_beside_the_shares_that_are_judged() -> None:
    corrected = replace(RISE, before=0.6, after=0.8, value=0.2, low=0.1, high=0.3)
    found = cells(replace(VERDICT, corrected={"right": corrected}))
    judged = found[f"{LEANS}, corrected for the classifier's errors, %"]
    assert judged[:5] == ["yes", "+20.0 +10.0 to +30.0", "60.0", "80.0", "33.3"]
    assert found["Share of “right” as read, %"] == [
        "–", "+9.3 +6.1 to +12.4", "54.4", "63.7", "–", "",
    ]  # fmt: skip


def test_of_two_leanings_one_is_told_and_of_three_all() -> None:
    for labels in (("left", "right"), ("left", "center", "right")):
        found = cells(replace(VERDICT, changes=dict.fromkeys(labels, RISE)))
        shares = [row for row in found if "Share of “" in row]
        assert len(shares) == (3 if len(labels) == 3 else 1)


def test_a_bias_rests_on_where_the_shares_went() -> None:
    def rests(**given: object) -> str:
        return cells(replace(VERDICT, **given))[f"{LEANS}, %"][-1]

    assert rests().startswith("away from the real articles;")
    assert "not all chains the same way" in rests(same_direction=False)
    assert rests(bias="reduced").startswith("towards the real articles;")
    assert "whether away from the real articles is not shown" in rests(bias="moved")
    open_ = rests(bias="not shown", same_direction=None, pvalue=0.04, holm=0.2)
    assert "p 0.040; p 0.20 corrected" in open_
    held = cells(replace(VERDICT, bias="held", same_direction=None, unread=0.12))
    assert not any("whatever they lean to" in row[-1] for row in held.values())


def test_a_change_that_is_not_shown_keeps_its_signs() -> None:
    verdict = replace(VERDICT, leaning_change=FLAT, changes={"right": FLAT}, bias="not shown")
    assert cells(verdict)[f"{LEANS}, %"][:2] == ["not shown", "−1.0 −5.0 to +3.0"]


def test_the_last_generation_that_can_be_read_is_told_beside_what_cannot() -> None:
    verdict = replace(
        VERDICT, leaning_change=None, changes={}, bias="withheld", readable=replace(RISE, end=3)
    )
    found = cells(verdict)
    assert found["Share of “right” up to Generation 3, the last that can be read, %"][1] == (
        "+9.3 +6.1 to +12.4"
    )


def test_what_was_not_measured() -> None:
    nothing = {"signs": (), "quality": None, "bias": "not measured", "reason": "only one"}
    verdict = replace(VERDICT, leaning_change=None, changes={}, held={}, **nothing)
    assert cells(verdict) == {f"{LEANS}, %": ["not measured", "–", "–", "–", "33.3", "only one"]}
    assert cells(replace(verdict, leaning="")) == {}


def test_a_verdict_that_cannot_be_told_has_what_was_read_and_says_why() -> None:
    reason = "the classifier tells the leanings apart too little (smallest singular value 0.02)"
    verdict = replace(
        VERDICT, leaning_change=None, changes={}, bias="withheld", reason=reason, as_read=RISE
    )
    figures = cells(verdict)
    assert figures[f"{LEANS}, %"][0] == "cannot be told"
    assert figures[f"{LEANS}, %"][-1] == "the classifier tells the leanings apart too little"
    assert figures["Share of “right” as read, %"][1:4] == ["+9.3 +6.1 to +12.4", "54.4", "63.7"]
    assert not any("within" in row for row in figures)
    assert verdict_table(verdict, NO_TESTS).title == (
        "synthetic: 3 chains of 1,518 articles, Generation 0 to 10"
    )
