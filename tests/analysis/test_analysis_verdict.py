from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from analysis_tables import leaning_rows, make_tables, score_rows

from biasloop.analysis import (
    Tables,
    Verdict,
    followed_leaning,
    judge,
    missing_sets,
    outcomes,
    paired_mean,
    validity,
)
from biasloop.analysis.collapse import collapse_signs
from biasloop.analysis.inference import sign_flip_pvalue
from biasloop.config import ReportConfig, parse_config
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


def _real(right: int) -> Tables:
    return make_tables(leanings=leaning_rows(("real", 0, -1), _one_hot(right), LABELS))


def _judge(
    *tables: Tables, regimes: tuple[str, ...] = ("s",), real: int | None = 100, **more: object
) -> tuple[Verdict, ...]:
    given = [*tables, *([_real(real)] if real is not None else [])]
    whole = make_tables(
        leanings=[row for t in given for row in t.leaning_scores.rows()],
        scores=[row for t in given for row in t.scores.rows()],
        outside_share=0.25,
        **more,
    )
    return judge(whole, "right", regimes, ReportConfig())


def test_a_rise_and_a_fall_are_shown_with_their_intervals() -> None:
    (verdict,) = _judge(_tables([80, 100, 140], [2.3, 2.0, 1.6]))
    assert (verdict.bias, verdict.collapsed, verdict.withheld) == (
        "amplified",
        "in this chain",
        False,
    )
    assert (verdict.last, verdict.chains, verdict.articles) == (2, 1, 200)
    change = verdict.leaning_change
    assert change is not None
    assert (change.before, change.after, change.value) == pytest.approx((0.4, 0.7, 0.3))
    # Sixty of 200 articles changed, all the same way.
    moved = paired_mean(np.repeat([1.0, 0.0], [60, 140]), shares=True)
    assert (change.low, change.high) == pytest.approx(moved.interval())
    (sign,) = verdict.signs
    assert sign.quantity == "quality"
    assert sign.change.value == pytest.approx(-0.7, abs=0.02)


@pytest.mark.parametrize(
    ("shares", "real", "bias", "answer"),
    [
        ((100, 140), 100, "amplified", "yes"),
        ((100, 60), 100, "amplified", "yes"),  # whichever leaning grows
        ((40, 90), 100, "reduced", "no"),
        ((170, 110), 100, "reduced", "no"),
        ((80, 125), 100, "moved", "not shown"),  # past the real shares, hardly further off
        ((80, 140), None, "moved", "not shown"),
        ((100, 100), 100, "held", "no"),
        ((100, 103), 100, "not shown", "not shown"),
    ],
)
def test_amplification_is_movement_away_from_the_real_shares(
    shares: tuple[int, int], real: int | None, bias: str, answer: str
) -> None:
    chains = [_tables(_jittered(shares, seed), seed=seed) for seed in range(4)]
    (verdict,) = _judge(*chains, real=real)
    assert (verdict.bias, verdict.amplified) == (bias, answer)
    assert verdict.same_direction is (True if bias in ("amplified", "reduced", "moved") else None)


def _jittered(shares: tuple[int, ...], seed: int) -> list[int]:
    """Chains that differ by a few articles, as much either way."""
    moves = (0, 0) if len(set(shares)) == 1 else ((-8, 8, -4, 4)[seed], (6, -6, 12, -12)[seed])
    return [share + moves[g] * (g > 0) for g, share in enumerate(shares)]


def test_one_chain_never_gets_a_bare_answer() -> None:
    for shares, bias, answer in (
        ([100, 180], "amplified", "in this chain"),
        ([20, 90], "reduced", "not in this chain"),
        ([100, 100], "held", "not in this chain"),
    ):
        (verdict,) = _judge(_tables(shares, [2.0, 1.0]))
        assert (verdict.bias, verdict.amplified) == (bias, answer)
        assert verdict.collapsed == "in this chain"


def test_one_chain_s_luck_is_not_taken_for_the_regime_s() -> None:
    """Chains that wander: each has moved, and the regime has not been shown to."""
    ends = (150, 60, 140)
    each = [_judge(_tables([100, end], seed=seed))[0] for seed, end in enumerate(ends)]
    assert {verdict.amplified for verdict in each} == {"in this chain"}
    (verdict,) = _judge(*(_tables([100, end], seed=s) for s, end in enumerate(ends)))
    assert (verdict.bias, verdict.amplified) == ("not shown", "not shown")


def test_chains_that_each_go_their_own_way_amplify() -> None:
    """Their mean share stays where the real one is; each is carried on where it began to go."""
    paths = ([100, 115, 135, 160, 185], [100, 86, 66, 40, 14], [100, 112, 131, 155, 182])
    (verdict,) = _judge(*(_tables(path, seed=s) for s, path in enumerate(paths)))
    assert (verdict.bias, verdict.same_direction, verdict.amplified) == ("amplified", False, "yes")
    wandering = ([100, 120, 95, 110, 90], [100, 85, 100, 80, 105], [100, 110, 90, 112, 101])
    (verdict,) = _judge(*(_tables(path, seed=s) for s, path in enumerate(wandering)))
    assert verdict.bias == "not shown"


def test_steps_of_chance_keep_the_walk_test_s_level(random: np.random.Generator) -> None:
    paths = random.standard_t(3, size=(1000, 3, 6, 2)).cumsum(axis=2)
    pvalues = np.array([sign_flip_pvalue(path, random) for path in paths])
    assert 0.03 < (pvalues <= 0.05).mean() < 0.07
    growing = 1.5 ** np.arange(6)[:, None] * np.array([1.0, -1.0])
    assert sign_flip_pvalue(np.stack([growing, -growing, growing]), random) < 0.001
    assert sign_flip_pvalue(random.normal(size=(3, 2, 1)), random) is None


def test_the_whole_distribution_is_judged_and_the_leaning_that_moved_most_is_told(
    random: np.random.Generator,
) -> None:
    """Center grows from 30 to 80 %; the followed leaning, right, hardly moves."""
    labels = ("left", "center", "right")

    def rows(key: tuple, shares: tuple[int, ...]) -> list[tuple]:
        index = random.permutation(np.repeat(np.arange(3), shares))
        return leaning_rows(key, np.eye(3)[index] * 0.8 + 0.1, labels)

    leanings = rows(("real", 0, -1), (80, 80, 80))
    for seed in range(3):
        leanings += rows(("s", seed, 0), (120, 72, 48)) + rows(("s", seed, 1), (8, 192, 40))
    tables = make_tables(labels, leanings=leanings)
    (verdict,) = judge(tables, "right", ["s"], ReportConfig())
    assert (verdict.bias, verdict.leaning) == ("amplified", "center")
    assert set(verdict.changes) == set(labels)
    assert verdict.changes["center"].value == pytest.approx(0.5, abs=0.01)


def test_regimes_are_corrected_for_their_number() -> None:
    """One regime alone is shown; the same among six is not."""
    moving = [_tables([100, 100 + d], regime="m", seed=s) for s, d in enumerate((10, 22, 16))]
    (alone,) = _judge(*moving, regimes=("m",))
    assert alone.bias == "amplified"
    others = [
        _tables([100, 100 + d], regime=name, seed=s)
        for name in "abcde"
        for s, d in enumerate((9, -7, 2))
    ]
    found = _judge(*moving, *others, regimes=("m", *"abcde"))
    assert {verdict.bias for verdict in found} == {"not shown"}
    assert found[0].pvalue == alone.pvalue
    assert found[0].holm == pytest.approx(6 * alone.pvalue)


def test_fine_tuning_alone_is_subtracted() -> None:
    moving = [[100, 140 + d, 160 - d] for d in (0, 3, -4)]
    alone = [[100, 141 - d, 159 + d] for d in (2, -3, 0)]
    tables = [_tables(p, [2.0, 1.8, 1.6], seed=s) for s, p in enumerate(moving)]
    tables += [_tables(p, [2.0, 1.8, 1.6], regime="r", seed=s) for s, p in enumerate(alone)]
    loop, real = _judge(*tables, regimes=("s", "r"), fine_tuned="r")
    assert loop.beyond_fine_tuning
    assert not real.beyond_fine_tuning
    assert (real.bias, real.collapsed) == ("amplified", "yes")
    assert loop.bias in ("held", "not shown")
    assert loop.collapsed != "yes"
    assert abs(loop.leaning_change.value) < 0.03


def _with_fine_tuning(
    alone: list[list[int]], falls: list[list[float]] | None = None
) -> list[Tables]:
    """Three chains whose share rises by 20 points, and those of fine-tuning alone."""
    loops = [_tables([100, 120, 140 + d], [2.0, 1.8, 1.6], seed=s) for s, d in enumerate((0, 3, 1))]
    return loops + [
        _tables(path, falls[s] if falls else None, regime="r", seed=s)
        for s, path in enumerate(alone)
    ]


def test_a_chain_without_its_fine_tuning_does_not_count() -> None:
    """Its change would be taken whole, beside others from which fine-tuning is subtracted."""
    uneven = _with_fine_tuning([[100, 110, 120], [100, 110, 119], [100]])
    loop, _ = _judge(*uneven, regimes=("s", "r"), fine_tuned="r")
    assert loop.beyond_fine_tuning
    assert (loop.last, loop.chains) == (2, 2)
    without = [t for t in uneven if 2 not in t.leaning_scores["seed"].unique()]
    (only,) = _judge(*without, fine_tuned="r")
    assert loop.leaning_change == only.leaning_change
    assert loop.leaning_change.value == pytest.approx(0.11, abs=0.005)


def test_a_regime_is_judged_as_far_as_what_is_subtracted_has_come() -> None:
    behind = _with_fine_tuning([[100, 110, 120], [100, 110, 119], [100, 110]])
    (loop,) = _judge(*behind, fine_tuned="r")
    assert (loop.last, loop.chains, loop.beyond_fine_tuning) == (1, 3, True)
    assert loop.leaning_change.value == pytest.approx(0.05)


def test_nothing_is_subtracted_where_fine_tuning_alone_has_no_generation_1() -> None:
    behind = _with_fine_tuning([[100], [100], [100]], [[2.0]] * 3)
    (loop,) = _judge(*behind, fine_tuned="r")
    (gross,) = _judge(*behind[:3])
    assert (loop.last, loop.chains, loop.beyond_fine_tuning) == (2, 3, False)
    assert loop.leaning_change == gross.leaning_change
    assert loop.signs == gross.signs


def test_a_measure_of_which_fine_tuning_lacks_a_score_has_the_chains_that_have_it() -> None:
    quality = [[2.0, 1.9, 1.8], [2.0, 1.9, 1.8], [2.0, 1.9]]
    behind = [_tables([100, 110, 120], regime="r", seed=s) for s in range(3)]
    scored = [
        _tables([100, 110, 120][: len(q)], q, regime="r", seed=s) for s, q in enumerate(quality)
    ]
    for s in range(3):
        behind[s] = make_tables(
            leanings=behind[s].leaning_scores.rows(), scores=scored[s].scores.rows()
        )
    (loop,) = _judge(*_with_fine_tuning([]), *behind, fine_tuned="r")
    assert loop.chains == 3
    (sign,) = loop.signs
    assert sign.change.value == pytest.approx(-0.2, abs=0.03)
    none = [_tables([100, 110, 120], regime="r", seed=s) for s in range(3)]
    (unscored,) = _judge(*_with_fine_tuning([]), *none, fine_tuned="r")
    assert unscored.signs == ()


def test_the_worst_of_unreadable_articles_is_that_of_the_difference() -> None:
    """The loop stays where fine-tuning alone goes the other way: few unreadable articles do not
    undo that, many do."""

    def judged(unread: int) -> Verdict:
        loops = [_tables([140, 140 + d], seed=s) for s, d in enumerate((0, 1, -1))]
        alone = [_tables([140, 80 + d], regime="r", seed=s) for s, d in enumerate((0, -2, 1))]
        tables = [*loops, *alone]
        hidden = [
            make_tables(
                leanings=t.leaning_scores.rows(),
                scores=t.scores.filter(pl.col("generation") == 0).rows()
                + score_rows(
                    (name, s, 1), "outside_domain", (np.arange(200) >= 200 - unread).astype(float)
                ),
            )
            for t, (name, s) in zip(tables, ((n, s) for n in "sr" for s in range(3)), strict=True)
        ]
        return _judge(*hidden, fine_tuned="r")[0]

    assert judged(6).bias == "amplified"
    assert judged(49).bias == "not shown"


def test_what_fine_tuning_alone_wrote_and_cannot_be_read_withholds_the_difference() -> None:
    tables = _with_fine_tuning([])
    tables += [_tables([100, 110, 120], regime="r", seed=s, gone=(2,)) for s in range(3)]
    (loop,) = _judge(*tables, fine_tuned="r")
    assert loop.withheld
    assert loop.reason.startswith("r, which is subtracted: in 3 of 3 chains")


def test_a_withheld_last_generation_has_no_number_but_the_last_readable_one() -> None:
    (verdict,) = _judge(_tables([80, 120, 10, 5], [2.3, 2.2, 0.5, 0.2], gone=(2, 3)))
    assert (verdict.bias, verdict.withheld) == ("withheld", True)
    assert (verdict.amplified, verdict.collapsed) == ("withheld", "in this chain")
    assert verdict.leaning_change is None
    assert "100 % of its articles" in verdict.reason
    assert verdict.readable is not None
    assert (verdict.readable.end, verdict.readable.value) == (1, pytest.approx(0.2))


def test_a_withheld_generation_0_leaves_nothing_readable() -> None:
    (verdict,) = _judge(_tables([80, 120], gone=(0,)))
    assert verdict.withheld
    assert verdict.readable is None
    assert verdict.reason.startswith("Generation 0")


def test_articles_that_cannot_be_read_count_against_the_answer() -> None:
    """A quarter of loops, all read as right, moves no share; a real movement outlasts a few."""

    def with_loops(right: int, loops: int, seed: int) -> Tables:
        hits = np.arange(200) < right
        hits[200 - loops :] = True
        odds = np.where(hits[:, None], [[0.1, 0.9]], [[0.8, 0.2]])
        outside = (np.arange(200) >= 200 - loops).astype(float)
        key = ("s", seed, 1)
        return make_tables(
            scores=score_rows(key, "outside_domain", outside),
            leanings=leaning_rows(key, odds, LABELS),
        )

    def judged(right: int, loops: int) -> Verdict:
        chains = [_tables([100], seed=s) for s in range(3)]
        chains += [with_loops(right + d, loops, s) for s, d in enumerate((0, 2, -3))]
        return _judge(*chains)[0]

    only_loops = judged(76, 49)
    assert only_loops.bias in ("not shown", "held")
    assert only_loops.unread == pytest.approx(49 / 200)
    assert judged(150, 10).bias == "amplified"


def test_a_classifier_that_tells_nothing_apart_withholds_everything() -> None:
    given = [_tables([100, 160], seed=s) for s in range(3)]
    whole = make_tables(leanings=[row for t in given for row in t.leaning_scores.rows()])
    held_out = {"articles": {"labels": ["left", "right"], "confusion": [[50, 50], [49, 51]]}}
    cards = [{"metric": "leaning", "held_out": held_out}]
    (verdict,) = judge(whole, "right", ["s"], ReportConfig(), cards)
    assert verdict.withheld
    assert "tells the leanings apart too little" in verdict.reason


def test_generation_0_alone_measures_no_change() -> None:
    (verdict,) = _judge(_tables([80], [2.0]))
    assert (verdict.bias, verdict.collapsed, verdict.last) == ("not measured", "not measured", 0)
    assert "only Generation 0" in verdict.reason
    (verdict,) = _judge(_tables([80], gone=(0,)))
    assert verdict.withheld


def test_the_last_generation_is_the_last_that_every_chain_reached() -> None:
    (verdict,) = _judge(_tables([80, 90, 100, 190]), _tables([80, 90, 100], seed=1))
    assert (verdict.last, verdict.chains, verdict.articles) == (2, 2, 200)
    assert verdict.leaning_change is not None
    assert verdict.leaning_change.after == pytest.approx(0.5)


def test_regimes_come_in_the_order_asked_for() -> None:
    tables = [_tables([80, 90], regime=name) for name in ("b", "a")]
    assert [v.regime for v in _judge(*tables, regimes=("b", "x", "a"))] == ["b", "a"]


def test_quality_alone_and_leaning_alone() -> None:
    rows = [
        row
        for seed in range(3)
        for g in range(2)
        for row in score_rows(("s", seed, g), "quality", np.linspace(1, 3, 50) - g)
    ]
    (verdict,) = judge(make_tables(scores=rows), "", ["s"], ReportConfig())
    assert (verdict.bias, verdict.collapsed) == ("not measured", "yes")
    assert verdict.reason == "leaning was not scored"
    # An index that was not validated on what models write is told, and is no sign.
    ungraded = make_tables(scores=rows, graded_quality=False)
    (verdict,) = judge(ungraded, "", ["s"], ReportConfig())
    assert (verdict.signs, verdict.collapsed) == ((), "not measured")
    assert verdict.quality.value == pytest.approx(-1)
    (verdict,) = _judge(_tables([80, 90]))
    assert verdict.collapsed == "not measured"


@pytest.mark.parametrize(
    ("fall", "answer"), [(0.0, "no"), (0.05, "not shown"), (0.07, "not shown"), (0.2, "yes")]
)
def test_a_sign_of_collapse_clears_what_is_negligible(
    random: np.random.Generator, fall: float, answer: str
) -> None:
    """A fall of 0.05 is negligible: one of 0.07 whose interval reaches below that is not shown."""
    noise = random.normal(0, 0.15, 100)
    noise -= noise.mean()
    level = random.normal(2, 0.4, 100)
    rows = score_rows(("s", 0, 0), "quality", level)
    rows += score_rows(("s", 0, 1), "quality", level - fall + noise)
    found = outcomes(make_tables(scores=rows))
    (sign,) = collapse_signs(found, "s", 1)
    assert sign.answer == answer


def test_no_change_of_text_is_yes_by_chance_more_often_than_promised(
    random: np.random.Generator,
) -> None:
    """At a true fall of exactly what is negligible."""
    yes = 0
    for _ in range(400):
        level = random.normal(2, 0.4, 40)
        rows = score_rows(("s", 0, 0), "quality", level)
        rows += score_rows(("s", 0, 1), "quality", level - 0.05 + random.normal(0, 0.1, 40))
        (sign,) = collapse_signs(outcomes(make_tables(scores=rows)), "s", 1)
        yes += sign.answer == "yes"
    assert yes / 400 < 0.045


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
    rows += score_rows(("s", 0, 0), "domain_words", np.array([np.nan, 0.9, 0.2, 0.9]))
    rows += score_rows(("s", 0, 0), "leaning_confidence", np.full(4, 0.9))
    rows += score_rows(("s", 0, 1), "quality", np.full(4, 2.0))
    domain = {
        "words": {"low": 0.5, "high": None},
        "confidence": {"low": 0.5, "high": None},
    }
    found = validity(make_tables(scores=rows, domain=domain, outside_share=0.4))
    assert found["withheld"].to_list() == [True, False]
    assert found["outside"].to_list() == [0.5, None]
    assert found["reason"][0].endswith("(too few words that are not said again 50 %)")
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
                "loop": {"generations": 2, "seeds": [0]},
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
    (verdict,) = judge(whole, "", ["s"], ReportConfig())
    assert verdict.collapsed == "in this chain"
    assert {sign.quantity: sign.answer for sign in verdict.signs} == {
        "quality": "no",
        "distinct_2": "no",
        "log_holdout_perplexity": "yes",
    }
    change = verdict.signs[-1].change
    assert change.value == pytest.approx(0.6)
    assert (change.before, change.after) == pytest.approx((4 + noise.mean(), 4.6 + noise.mean()))
