"""The first screen's sentence and table, of verdicts that are planted: what must it mean?"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop import regimes
from biasloop.analysis import (
    Change,
    Equivalence,
    RegimeAnswer,
    RunAnswer,
    Sign,
    Verdict,
    trains_on_itself,
)
from biasloop.analysis.mitigation import Contrast
from biasloop.config import parse_config
from biasloop.report.answer import sentence, shown
from biasloop.report.cautions import Caution

TWO = ("blue", "red")
REGIMES = {
    r.kind: r
    for r in parse_config(
        {
            "regimes": [
                "synthetic",
                {"kind": "overfitting", "epochs": 6},
                {"kind": "preservation", "fraction": 0.1},
                "real_share",
                "balanced",
                "verified",
                "surprise",
                "detector",
                "reweighted",
                {"kind": "anchored", "interpolate": 0.2},
                {"kind": "counterfactual", "pairs": [["this", "that"]]},
                {"kind": "edited", "file": "associations.parquet"},
                "accumulation",
                "accumulate_subsample",
                "real",
            ]
        }
    ).regimes
}


def change(value: float, low: float, high: float) -> Change:
    """Make a change in points."""
    return Change(0, 3, 0.6, 0.6 + value / 100, value / 100, low / 100, high / 100, 1e-6)


UP = change(27, 22, 34)
OPEN = change(2, -4, 9)
FORGETS = Sign("log_holdout_perplexity", Change(0, 3, 3.0, 3.7, 0.7, 0.6, 0.8, 1e-9), 1e-9, "yes")
REPEATS = Sign("distinct_2", Change(0, 3, 0.9, 0.87, -0.03, -0.035, -0.025, 1e-9), 1e-9, "yes")
HELD = {"red": Equivalence(0.05, 0.0, -0.02, 0.02, 0.001, "yes")}


def one(
    kind: str = "synthetic",
    bias: str = "amplified",
    moved: Change | None = UP,
    contrast: tuple[float, float, float, float] | None = None,
    times: float | None = None,
    **more: Any,
) -> RegimeAnswer:
    """Plant a regime: the contrast in points, with its p-value."""
    regime = REGIMES[kind]
    verdict = Verdict(
        regime=regime.label,
        leaning="red",
        last=3,
        chains=3,
        articles=200,
        sources=200,
        bias=bias,
        same_direction=True if bias in ("amplified", "reduced", "moved") else None,
        leaning_change=moved,
        changes={},
        real={"red": 0.5},
        held=HELD,
        pvalue=0.001,
        holm=0.001,
        beyond_fine_tuning=False,
        unread=0.0,
        signs=(),
        quality=None,
        collapsed="not shown",
        reason="",
    )
    against = contrast and Contrast(*(end / 100 for end in contrast[:3]), contrast[3])
    return RegimeAnswer(regime, replace(verdict, **more), against, 1_264_000 * (times or 1), times)


def said(*regimes: RegimeAnswer, labels: tuple[str, ...] = TWO) -> str:
    return sentence(RunAnswer(labels, regimes, regimes[0]))


CUT = (-15, -19, -12, 0.001)


def test_a_movement_its_mitigations_and_their_cost() -> None:
    text = said(
        one(),
        one("preservation", contrast=CUT, times=1.1),
        one("accumulation", "held", change(0.5, -1, 2), (-27, -33, -21, 0.001), 3.5),
    )
    assert "moved 27 points (22 to 34) towards red" in text
    assert (
        "adding 10\u202f% of the real articles cut the move by 15 points (12 to 19) at 1.1 times"
        in (text)
    )
    assert "1.1 times the training tokens; accumulation stopped it at 3.5 times" in text
    # Two lines of the page, and one sentence.
    assert len(text) <= 260
    assert text.endswith(".")
    assert not re.search(r"\. [A-Z]", text)


@pytest.mark.parametrize(
    ("bias", "pvalue", "says"),
    [
        ("held", 0.001, "stopped it"),
        ("held", 0.2, "no effect"),
        ("not shown", 0.001, "cut the move by 15 points"),
        ("not shown", 0.2, "no effect"),
        ("amplified", 0.001, "cut the move by 15 points"),
        ("reduced", 0.001, "cut the move by 15 points"),
    ],
)
def test_only_what_is_held_and_differs_is_stopped(bias: str, pvalue: float, says: str) -> None:
    text = said(one(), one("accumulation", bias, OPEN, (*CUT[:3], pvalue)))
    assert says in text
    assert "turned" not in text
    assert ("stopped" in text) == (says == "stopped it")


def test_a_movement_that_went_the_other_way_was_turned_round() -> None:
    back = one("accumulation", moved=change(-9, -14, -4), contrast=(-36, -42, -30, 0.001))
    assert "cut the move by 36 points (30 to 42) and turned it round" in said(one(), back)


def test_what_is_said_once_holds_for_the_next_too() -> None:
    text = said(
        one(), one("preservation", contrast=CUT, times=1), one("accumulation", contrast=CUT)
    )
    assert "articles cut the move by 15 points (12 to 19); accumulation by 15 points" in text


def test_a_mitigation_that_cuts_the_move_may_still_collapse() -> None:
    worse = {"collapsed": "yes", "signs": (FORGETS,)}
    two = [one("preservation", contrast=CUT), one("accumulation", contrast=CUT)]
    still = [one(o.regime.kind, contrast=CUT, **worse) for o in two]
    end = "; the text collapsed under both, too."
    assert said(one(**worse), *still).endswith(end)
    apart = said(one(**worse), still[0], one("accumulation", contrast=CUT, collapsed="no"))
    assert apart.endswith(
        "; the text collapsed under preservation, too, and not under accumulation."
    )
    assert "too" not in said(one(**worse), *two)  # neither is shown
    assert "too" not in said(one(), *still)  # nor is the reference's


def test_collapse_is_told_beside_what_real_articles_alone_came_to() -> None:
    worse = {"collapsed": "yes", "signs": (FORGETS,)}
    alone = one(
        "real", signs=(replace(FORGETS, change=replace(FORGETS.change, after=math.log(25))),)
    )
    for beyond in (True, False):
        found = rows(one(beyond_fine_tuning=beyond, **worse), alone)[0][3]
        assert found.startswith("yes|it forgets real text: perplexity 20 to 40")
        assert ("(real articles only: to 25)" in found) == beyond
    early = replace(FORGETS, change=replace(FORGETS.change, end=1))
    behind = one("real", last=1, signs=(early,))
    assert "real articles" not in rows(one(beyond_fine_tuning=True, **worse), behind)[0][3]


def test_a_mitigation_that_made_it_worse_is_not_praised() -> None:
    text = said(one(), one("accumulation", contrast=(8, 3, 13, 0.01)))
    assert "accumulation added 8 points (3 to 13) to that" in text
    assert "cut" not in text


def test_of_many_mitigations_the_largest_are_told_and_named() -> None:
    many = [
        replace(
            one("preservation", contrast=(-size, -size - 3, -size + 3, 0.01)),
            regime=REGIMES["preservation"].model_copy(update={"name": f"mix{size}"}),
        )
        for size in (8, 20, 12, 16)
    ]
    text = said(one(), *many)
    assert re.findall(r"mix\d+", text) == ["mix20", "mix12", "mix16"]


def test_longer_training_is_no_mitigation() -> None:
    text = said(one(), one("overfitting", contrast=CUT), one("real", contrast=CUT))
    assert "cut" not in text
    assert "overfitting" not in text


def test_a_fall_of_one_of_two_labels_goes_towards_the_other() -> None:
    down = change(-27, -34, -22)
    assert "moved 27 points (22 to 34) towards blue" in said(one(moved=down))
    three = said(one(moved=down), labels=(*TWO, "green"))
    assert "moved 27 points (22 to 34) away from red" in three


def test_a_reduction_is_no_growth() -> None:
    text = said(one(bias="reduced"), one("accumulation", contrast=CUT))
    assert "closer to the real articles" in text
    assert "cut the move" not in text
    assert "whether" in said(one(bias="moved"))


def test_held_is_not_the_same_as_not_shown() -> None:
    assert "moved by less than 5 points" in said(one(bias="held", moved=OPEN))
    text = said(one(bias="not shown", moved=OPEN))
    assert "shows no sure change of leaning: anything from" in text
    assert "from 4.0 points towards blue to 9.0 towards red" in text
    assert "too few articles or chains" in text


def test_a_regime_may_differ_where_no_movement_is_shown() -> None:
    own = one(bias="not shown", moved=OPEN)
    other = one("accumulation", "not shown", OPEN)
    text = said(own, one("preservation", contrast=CUT, times=2.1), other)
    size = "15 points (12 to 19) further towards blue at 2.1 times the training tokens"
    assert f"; adding 10\u202f% of the real articles led {size}" in text
    assert "accumulation" not in text
    assert "cut the move" not in text
    chance = one("preservation", contrast=(-4, -9, 1, 0.2))
    assert "further" not in said(own, chance)


def test_a_change_that_many_regimes_may_give_by_chance() -> None:
    text = said(one(bias="not shown"))
    assert "no sure change of leaning: 27 points (22 to 34) towards red may be due" in text
    assert "errors" not in text
    assert "cannot be read" not in text
    open_one = one(bias="not shown", unread=0.06)
    assert "chance or articles that cannot be read" in said(open_one)
    assert rows(open_one)[0][2] == "not shown|may be chance or articles that cannot be read"
    assert rows(one(bias="not shown", moved=OPEN))[0][2] == "not shown|"


def test_one_chain_speaks_of_itself() -> None:
    alone = "Trained on its own text in the one chain that was run, the model moved 27 points"
    assert said(one(chains=1)).startswith(alone)
    assert "chain" not in said(one())
    assert "or chains" not in said(one(bias="not shown", moved=OPEN, chains=1))


def test_what_cannot_be_read_is_no_number() -> None:
    gone = one(bias="withheld", moved=None, unread=0.62)
    text = said(gone)
    assert "may or may not have moved (62\u202f% of its articles are too damaged to read)" in text
    assert "points" not in text
    blind = said(one(bias="withheld", moved=None))
    assert "the classifier cannot tell the leanings apart" in blind
    earlier = replace(gone, verdict=replace(gone.verdict, readable=replace(UP, end=2)))
    assert "up to Generation 2" in said(earlier)
    assert "27 points (22 to 34) towards red" in said(earlier)


def test_collapse_alone_is_not_a_growth_of_bias() -> None:
    worse = {"collapsed": "yes", "signs": (FORGETS,)}
    text = said(one(bias="not shown", moved=OPEN, **worse))
    assert "the model collapsed (it forgets real text)" in text
    assert "but it shows no sure change of leaning" in text
    both = said(one(**worse))
    assert both.index("moved 27 points") < both.index("and it collapsed")
    assert "without collapse" in said(one(collapsed="no"))
    assert "collapse" not in said(one(collapsed="not shown"))


def test_the_worst_sign_is_the_one_furthest_beyond_what_is_negligible() -> None:
    # 0.7 in units of 0.05 is more than 0.03 in units of 0.02; 0.06 is not.
    little = replace(FORGETS, change=replace(FORGETS.change, value=0.06))
    for signs, says in (((REPEATS, FORGETS), "forgets"), ((REPEATS, little), "repeat themselves")):
        assert says in said(one(collapsed="yes", signs=signs))
    unshown = replace(FORGETS, answer="not shown")
    assert "repeat" in said(one(collapsed="yes", signs=(unshown, REPEATS)))


def test_chains_that_part_have_no_one_direction() -> None:
    text = said(one(moved=OPEN, same_direction=False))
    assert "away from the real articles' balance, each chain in a direction of its own" in text
    assert "cut" not in said(
        one(moved=OPEN, same_direction=False), one("accumulation", contrast=CUT)
    )
    assert "though not in every chain" in said(one(same_direction=False))


def test_another_regime_that_grew_is_told_where_this_one_did_not() -> None:
    text = said(one(bias="not shown", moved=OPEN), one("overfitting"), one("accumulation", "held"))
    assert "; overfitting moved 27 points (22 to 34) towards red" in text
    assert "accumulation" not in text


def test_what_was_not_measured_is_not_answered() -> None:
    text = said(one(bias="not measured", moved=None, leaning="", reason="leaning was not scored"))
    assert "may or may not have moved (leaning was not scored)" in text
    assert "no answer yet" in sentence(RunAnswer(TWO, (), None))


def test_fine_tuning_by_itself_is_named_where_it_was_subtracted() -> None:
    for beyond in (True, False):
        (row,) = shown(RunAnswer(TWO, (one(beyond_fine_tuning=beyond),), None)).rows
        assert ("less the change under real articles only" in row[1].note) == beyond


@given(st.floats(0.001, 60), st.floats(0.001, 40), st.floats(0.001, 39))
def test_a_shown_movement_never_reads_as_nought(low: float, below: float, above: float) -> None:
    value = low + below
    text = said(one(moved=change(value, low, value + above)))
    found = re.search(r"moved ([\d.]+) points \(([\d.]+) to ([\d.]+)\)", text)
    assert found is not None
    size, *ends = (float(number) for number in found.groups())
    assert ends[0] <= size <= ends[1]
    for number, true in zip((size, *ends), (value, low, value + above), strict=True):
        assert abs(number - true) <= 0.5
        assert number > 0 or true < 0.05


def rows(*regimes: RegimeAnswer) -> list[list[str]]:
    first = shown(RunAnswer(TWO, regimes, regimes[0]))
    assert all(len(row) == len(first.columns) for row in first.rows)
    return [[f"{e.text}|{e.note}" for e in row] for row in first.rows]


def test_the_table_has_a_row_per_regime_and_its_cost() -> None:
    found = rows(
        one(collapsed="yes", signs=(FORGETS,)),
        one("accumulation", "held", OPEN, CUT, 3.5, collapsed="no", unread=0.3),
        one("real", "withheld", None, unread=0.8),
    )
    assert found[0] == [
        "synthetic|its own text only",
        "+27|+22 to +34",
        "yes|",
        "yes|it forgets real text: perplexity 20 to 40",
        "1.26 million|",
    ]
    name, moved, amplified, collapsed, tokens = found[1]
    assert name.startswith("accumulation|all text so far")
    assert moved == "+2.0|−4.0 to +9.0; 30\u202f% of articles cannot be read"
    assert amplified.startswith("no|")
    assert collapsed == "no|"
    assert tokens == "4.42 million|3.5 × synthetic"
    assert found[2][0] == "real_only|real articles only"
    assert "80\u202f% of its articles" in found[2][1]
    assert found[2][2].startswith("cannot be told|")


def test_regimes_that_end_at_different_generations_say_where() -> None:
    uneven = rows(one(), one("accumulation", last=1))
    assert [row[0].rsplit("; ")[1] for row in uneven] == [
        "up to Generation 3",
        "up to Generation 1",
    ]
    assert "Generation" not in rows(one(), one("accumulation"))[0][0]


def test_every_regime_that_can_run_has_words_for_what_it_trains_on() -> None:
    assert set(REGIMES) == set(regimes.REGIMES)
    for kind in REGIMES:
        assert rows(one(kind))[0][0].split("|")[1]


def test_a_decoding_is_told_wherever_the_regime_is() -> None:
    cool = {"kind": "synthetic", "name": "cool", "decoding": {"temperature": 0.7, "top_p": 0.9}}
    added = {"kind": "preservation", "decoding": {"min_p": 0.1}}
    own, mixed = parse_config(
        {"regimes": [cool, added], "generation": {"decoding": "nucleus"}}
    ).regimes
    assert own.trains_on == "its own text only, written at temperature 0.7, top-p 0.9"
    assert own.remedy == "sampling at temperature 0.7, top-p 0.9"
    assert mixed.remedy == "adding 10\u202f% of the real articles and sampling at min-p 0.1"
    assert not trains_on_itself(own)
    assert trains_on_itself(REGIMES["overfitting"])
    assert not trains_on_itself(REGIMES["real"])


def test_one_chain_has_no_bare_yes() -> None:
    (row,) = rows(one(chains=1, collapsed="in this chain", signs=(FORGETS,)))
    assert row[2].startswith("in this chain|")
    assert row[3].startswith("in this chain|")


def test_tokens_that_no_record_has_are_none() -> None:
    (row,) = rows(replace(one(), tokens=None))
    assert row[4] == "–|"


def test_a_caution_that_limits_the_answer_is_named_once() -> None:
    cautions = [
        Caution("One seed", "long"),
        Caution("Instrument: leaning", "long"),
        Caution("Classifier on synthetic text", "long"),
        Caution("Few seeds", "long", "note"),
    ]
    untold = shown(RunAnswer(TWO, (one(),), one()), cautions).untold
    assert untold.count(";") == 1
    assert "another seed" in untold
    assert "classifier reads" in untold


def test_a_label_cannot_break_out_of_the_sentence() -> None:
    text = said(one(leaning="a\x00b\u202e\nc"), labels=("a\x00b\u202e\nc", "d"))
    assert not set("\x00\u202e\n") & set(text)
