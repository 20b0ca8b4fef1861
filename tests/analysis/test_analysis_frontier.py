"""The frontier and its recommendation, of verdicts that are planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop.analysis import (
    Change,
    Outcomes,
    RegimeAnswer,
    RunAnswer,
    Verdict,
    articles_to_hold,
    design_of,
    frontier,
)
from biasloop.config import parse_config
from biasloop.report.frontier import _sentence

KINDS = ("synthetic", "preservation", "accumulation", "real")
SETTINGS = {one.kind: one for one in parse_config({"regimes": KINDS}).regimes}


def one(kind, bias="held", collapsed="no", tokens=100.0, real=0.0, value=0.0) -> RegimeAnswer:
    moved = Change(0, 1, 0.4, 0.4 + value, value, value - 0.02, value + 0.02, 0.5)
    verdict = Verdict(
        kind, "b", 1, 3, 80, 80, bias, None, moved, {"b": moved}, {}, {}, 0.5, 0.5, False, 0.0, (),
        None, collapsed, "",
    )  # fmt: skip
    return RegimeAnswer(SETTINGS[kind], verdict, None, tokens, None, real)


def outcomes_of(*regimes: str) -> Outcomes:
    random = np.random.default_rng(0)
    keys = [(name, seed, g) for name in regimes for seed in range(3) for g in (0, 1)]
    rows = (random.random((len(keys), 80)) < 0.4).astype(float)
    return Outcomes(tuple(keys), {"share:b": rows}, ("a", "b"), {"share:b": np.arange(80)})


def best(*answers: RegimeAnswer):
    run = RunAnswer(("a", "b"), answers, answers[0])
    return frontier(run, outcomes_of(*(a.verdict.regime for a in answers)), 0.05)


def said(*answers: RegimeAnswer) -> str:
    return _sentence(best(*answers), {a.verdict.regime: a.verdict for a in answers}, 0.05)


answers = st.tuples(
    st.sampled_from(["held", "not shown", "amplified"]),
    st.sampled_from(["no", "not shown", "yes"]),
    st.sampled_from([None, 1.0, 2.0]),
    st.sampled_from([0.0, 5.0, 9.0]),
)


@given(st.lists(answers, min_size=4, max_size=4))
def test_what_no_other_beats_is_marked_as_by_brute_force(rows):
    order = {"held": 0, "no": 0, "not shown": 1, "amplified": 2, "yes": 2}
    run = tuple(one(kind, *row) for kind, row in zip(KINDS, rows, strict=True))
    found = frontier(RunAnswer(("a", "b"), run, run[0]), Outcomes((), {}, ("a", "b"), {}), 0.05)
    values = [(order[b], order[t], np.inf if n is None else n, r) for b, t, n, r in rows]
    for place, choice in enumerate(found.choices):
        beaten = False
        for other in values:
            no_worse = [other[k] <= values[place][k] for k in range(4)]
            better = [other[k] < values[place][k] for k in range(4)]
            beaten |= all(no_worse) and any(better)
        assert choice.best is not beaten
    held = [c for c in found.choices if (c.bias, c.text) == ("held", "held") and c.regime != "real"]
    assert (found.recommended is None) is (not held)
    if held:
        chosen = next(c for c in held if c.regime == found.recommended)
        assert chosen.real_articles == min(c.real_articles for c in held)


def test_the_cheapest_that_holds_both_is_recommended_and_never_the_control():
    text = said(
        one("synthetic", "amplified"),
        one("preservation", real=20.0),
        one("accumulation", real=80.0),
        one("real", real=0.0),
    )
    assert text.startswith("Take preservation: ")
    assert "−2.0 to +2.0 points" in text
    assert "20 real articles" in text


def test_what_is_open_is_planned_for_as_power_plans_it():
    found = best(one("synthetic", "amplified"), one("preservation", "not shown", value=-0.01))
    design = design_of(outcomes_of("synthetic", "preservation"), "b", "preservation")
    assert found.nearest == "preservation"
    assert found.needed.articles == articles_to_hold(design, 0.04, seeds=found.needed.seeds)
    text = said(one("synthetic", "amplified"), one("preservation", "not shown", value=-0.01))
    assert text.startswith("These runs cannot tell")
    assert f"{found.needed.articles:,} articles and" in text
    assert "by any number of articles" in said(
        one("synthetic", "amplified"), one("preservation", "not shown", value=0.07)
    )


@pytest.mark.parametrize(
    ("bias", "text", "words"),
    [
        ("amplified", "no", "Take none"),
        ("held", "yes", "Take none"),
        ("held", "not shown", "what is not held of preservation is not shown"),
    ],
)
def test_where_no_size_of_run_would_tell_it_is_said_why(bias, text, words):
    assert words in said(one("synthetic", "amplified"), one("preservation", bias, text))


def test_one_chain_speaks_of_itself():
    chain = one("preservation")
    verdict = replace(chain.verdict, chains=1, collapsed="not in this chain")
    assert "of one chain each" in said(one("synthetic"), replace(chain, verdict=verdict))
