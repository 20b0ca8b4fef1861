from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from analysis_tables import leaning_rows, make_tables, score_rows
from scipy import stats

from biasloop.analysis import (
    Change,
    Measure,
    Tables,
    Verdict,
    followed_leaning,
    missing_sets,
    moved_answer,
    summarise,
    validity,
    verdicts,
    worsened,
)
from biasloop.config import parse_config
from biasloop.errors import InputError
from biasloop.loop.results import Results

LABELS = ("left", "right")


def _one_hot(right: int, articles: int = 200) -> np.ndarray:
    hits = np.arange(articles) < right
    return np.where(hits[:, None], [[0.1, 0.9]], [[0.8, 0.2]])


def _tables(
    shares: list[int],
    quality: list[float] | None = None,
    gone: tuple[int, ...] = (),
    regime: str = "s",
    seed: int = 0,
) -> Tables:
    random = np.random.default_rng(1)
    noise = random.normal(0, 0.2, 200)
    scores, leanings = [], []
    for generation, right in enumerate(shares):
        key = (regime, seed, generation)
        leanings += leaning_rows(key, _one_hot(right), LABELS)
        scores += score_rows(key, "outside_domain", np.full(200, float(generation in gone)))
        if quality:
            own = random.normal(0, 0.05, 200)
            scores += score_rows(key, "quality", quality[generation] + noise + own)
    return make_tables(scores=scores, leanings=leanings, outside_share=0.25)


def _judge(*tables: Tables) -> tuple[Verdict, ...]:
    whole = make_tables(outside_share=0.25)
    whole = Tables(
        LABELS,
        pl.concat([whole.scores, *(t.scores for t in tables)]),
        pl.concat([whole.leaning_scores, *(t.leaning_scores for t in tables)]),
        whole.set_scores,
        {},
        0.25,
    )
    return verdicts(summarise(whole, 500, 0), "right")


def test_a_rise_and_a_fall_are_shown_with_their_intervals() -> None:
    (verdict,) = _judge(_tables([80, 100, 140], [2.3, 2.0, 1.6]))
    assert (verdict.moved, verdict.collapsed, verdict.withheld) == ("yes", "yes", False)
    assert (verdict.last, verdict.chains, verdict.articles) == (2, 1, 200)
    change = verdict.leaning_change
    assert change is not None
    assert (change.before, change.after, change.value) == pytest.approx((0.4, 0.7, 0.3))
    # Sixty of 200 articles changed, all the same way: a binomial of 0.3.
    error = np.sqrt(0.3 * 0.7 / 200)
    assert (change.low, change.high) == pytest.approx(
        (0.3 - 1.96 * error, 0.3 + 1.96 * error), abs=0.01
    )
    (sign,) = verdict.signs
    assert sign.quantity == "quality"
    assert sign.change is not None
    assert sign.change.value == pytest.approx(-0.7, abs=0.02)


def test_no_change_at_all_is_no() -> None:
    (verdict,) = _judge(_tables([80, 80], [2.3, 2.3]))
    assert (verdict.moved, verdict.collapsed) == ("no", "no")


def test_a_withheld_last_generation_has_no_number_but_the_last_readable_one() -> None:
    (verdict,) = _judge(_tables([80, 120, 10, 5], [2.3, 2.2, 0.5, 0.2], gone=(2, 3)))
    assert (verdict.moved, verdict.withheld, verdict.collapsed) == ("withheld", True, "yes")
    assert verdict.leaning_change is None
    assert "100 % of its articles" in verdict.reason
    assert verdict.readable is not None
    assert (verdict.readable.end, verdict.readable.value) == (1, pytest.approx(0.2))


def test_a_withheld_generation_0_leaves_nothing_readable() -> None:
    (verdict,) = _judge(_tables([80, 120], gone=(0,)))
    assert verdict.withheld
    assert verdict.readable is None
    assert verdict.reason.startswith("Generation 0")


def test_generation_0_alone_measures_no_change() -> None:
    (verdict,) = _judge(_tables([80], [2.0]))
    assert (verdict.moved, verdict.collapsed, verdict.last) == ("not measured", "not measured", 0)
    assert "only Generation 0" in verdict.reason
    (verdict,) = _judge(_tables([80], gone=(0,)))
    assert verdict.moved == "withheld"


def test_the_last_generation_is_the_last_that_every_chain_reached() -> None:
    (verdict,) = _judge(_tables([80, 90, 100, 190]), _tables([80, 90, 100], seed=1))
    assert (verdict.last, verdict.chains, verdict.articles) == (2, 2, 200)
    assert verdict.leaning_change is not None
    assert verdict.leaning_change.after == pytest.approx(0.5)


def test_regimes_come_in_the_order_asked_for() -> None:
    tables = [_tables([80, 90], regime=name) for name in ("b", "a", "real")]
    whole = make_tables(
        leanings=[row for t in tables for row in t.leaning_scores.rows()], outside_share=1.0
    )
    summary = summarise(whole, 100, 0)
    assert [v.regime for v in verdicts(summary, "right")] == ["a", "b"]
    assert [v.regime for v in verdicts(summary, "right", ("b", "x", "a"))] == ["b", "a"]


def test_quality_alone_and_leaning_alone() -> None:
    quality = make_tables(
        scores=[
            row
            for g in range(2)
            for row in score_rows(("s", 0, g), "quality", np.linspace(1, 3, 50) - g)
        ]
    )
    (verdict,) = verdicts(summarise(quality, 100, 0), "right")
    assert (verdict.moved, verdict.collapsed) == ("not measured", "yes")
    assert verdict.reason == "leaning was not scored"
    (verdict,) = _judge(_tables([80, 90]))
    assert verdict.collapsed == "not measured"


@pytest.mark.parametrize(
    ("low", "high", "moved", "collapsed"),
    [
        (0.01, 0.3, "yes", "no"),
        (-0.3, -0.01, "yes", "yes"),
        (-0.01, 0.01, "no", "no"),
        (-0.3, 0.2, "not shown", "not shown"),
        (-0.01, 0.2, "not shown", "no"),
        (None, None, "not shown", "not shown"),
    ],
)
def test_answers(low: float | None, high: float | None, moved: str, collapsed: str) -> None:
    middle = 0.0 if low is None or high is None else (low + high) / 2
    change = Change(0, 1, 0.5, 0.5, middle, low, high)
    assert moved_answer(change, 0.02) == moved
    assert worsened(change, Measure("quality", -1, 0.02)) == collapsed
    mirrored = Change(0, 1, 0.5, 0.5, -change.value, *_mirrored(low, high))
    assert worsened(mirrored, Measure("self_bleu", 1, 0.02)) == collapsed


def test_the_followed_leaning() -> None:
    mix = {"model": "scratch", "scratch": {"pretraining": {"mix": {"left": 0.8, "right": 0.2}}}}
    assert followed_leaning(parse_config({}), LABELS) == "right"
    assert followed_leaning(parse_config({"base": mix}), LABELS) == "left"
    even = {"model": "scratch", "scratch": {"pretraining": {"mix": {"left": 0.5, "right": 0.5}}}}
    assert followed_leaning(parse_config({"base": even}), LABELS) == "right"
    asked = parse_config({"base": mix, "report": {"leaning": "right"}})
    assert followed_leaning(asked, LABELS) == "right"
    with pytest.raises(InputError, match="did you mean 'right'"):
        followed_leaning(parse_config({"report": {"leaning": "rihgt"}}), LABELS)
    with pytest.raises(InputError, match="empty"):
        followed_leaning(parse_config({}), ())


def test_validity_measures_a_missing_value_as_outside() -> None:
    rows = score_rows(("s", 0, 0), "outside_domain", np.array([1.0, 0.0, 1.0, 0.0]))
    rows += score_rows(("s", 0, 0), "domain_distinct_3", np.array([np.nan, 0.9, 0.2, 0.9]))
    rows += score_rows(("s", 0, 0), "leaning_confidence", np.full(4, 0.9))
    rows += score_rows(("s", 0, 1), "quality", np.full(4, 2.0))
    domain = {
        "distinct_3": {"low": 0.5, "high": None},
        "confidence": {"low": 0.5, "high": None},
    }
    found = validity(make_tables(scores=rows, domain=domain, outside_share=0.4))
    assert found["withheld"].to_list() == [True, False]
    assert found["outside"].to_list() == [0.5, None]
    assert found["reason"][0].endswith("(too few different trigrams 50 %)")
    # Exactly at the limit is not above it.
    at_limit = validity(make_tables(scores=rows, domain=domain, outside_share=0.5))
    assert not at_limit["withheld"].any()


def test_missing_sets_are_named_by_metric(tmp_path) -> None:
    tables = _tables([80, 90], [2.0, 2.0])
    empty = pl.DataFrame()
    results = Results(
        folder=tmp_path,
        config=parse_config(
            {
                "regimes": ["s"],
                "loop": {"generations": 2},
                "metrics": {"names": ["leaning", "quality", "perplexity"]},
            }
            | {"regimes": [{"kind": "synthetic", "name": "s"}]}
        ),
        labels=LABELS,
        corpus={},
        real=empty,
        articles=empty,
        scores=tables.scores.filter(
            ~((pl.col("generation") == 1) & (pl.col("metric") == "quality"))
        ),
        leaning_scores=tables.leaning_scores,
        set_scores=tables.set_scores,
        cards=(),
        stages=empty,
        bad_rows=empty,
        provenance={},
    )
    assert missing_sets(results).rows() == [
        ("s", 0, 0, "perplexity"),
        ("s", 0, 1, "quality"),
        ("s", 0, 1, "perplexity"),
        ("s", 0, 2, "leaning"),
        ("s", 0, 2, "quality"),
        ("s", 0, 2, "perplexity"),
    ]


def _mirrored(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    return (None, None) if low is None or high is None else (-high, -low)


def test_more_signs_ask_more_of_each_and_a_negligible_one_is_none() -> None:
    measure = Measure("quality", -1, 0.02)
    change = Change(0, 1, 2.0, 1.9, -0.1, -0.198, -0.002)
    assert [worsened(change, measure, k) for k in (1, 2)] == ["yes", "not shown"]
    tiny = Change(0, 1, 2.0, 1.99, -0.01, -0.011, -0.009)
    assert worsened(tiny, measure) == "no"


@pytest.mark.parametrize("signs", [1, 2, 3, 4])
def test_the_widening_is_that_of_bonferroni(signs: int) -> None:
    wider = stats.norm.ppf(1 - 0.025 / signs) / stats.norm.ppf(0.975)
    half = 0.1 / wider
    measure = Measure("quality", -1, 0.0)
    for factor, answer in ((0.999, "yes"), (1.001, "not shown")):
        change = Change(0, 1, 2.0, 1.9, -0.1, -0.1 - factor * half, -0.1 + factor * half)
        assert worsened(change, measure, signs) == answer


def test_clean_text_of_a_model_that_forgot_the_real_one_is_collapse() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 40)
    whole = make_tables(
        scores=[
            row
            for g in range(3)
            for metric, values in (
                ("quality", 2.0 + 0.1 * g + noise),
                ("distinct_2", 0.9 + 0 * noise),
                ("holdout_perplexity", np.exp(4 + 0.3 * g + noise)),
                ("perplexity", np.exp(3 - 0.2 * g + noise)),
            )
            for row in score_rows(("s", 0, g), metric, values)
        ]
    )
    (verdict,) = verdicts(summarise(whole, 200, 0), "right")
    assert verdict.collapsed == "yes"
    assert {sign.quantity: sign.answer for sign in verdict.signs} == {
        "quality": "no",
        "distinct_2": "no",
        "holdout_perplexity:geometric": "yes",
    }
    change = verdict.signs[-1].change
    assert change is not None
    assert change.value == pytest.approx(0.6)
    assert (change.before, change.after) == pytest.approx(
        (np.exp(4 + noise.mean()), np.exp(4.6 + noise.mean()))
    )
