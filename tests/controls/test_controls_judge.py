"""The rules, on made-up verdicts: each fails on what it is there for."""

from types import SimpleNamespace

import polars as pl
import pytest

from biasloop.controls import Judged, judge

REGIMES = ("synthetic", "overfitting", "preservation", "accumulation")


def verdict(regime, amplified, change):
    moved = None if change is None else SimpleNamespace(value=change)
    return SimpleNamespace(regime=regime, amplified=amplified, leaning_change=moved)


def judged(answers, highs=(-0.05, 0.1)):
    rows = [
        ("share:red", regime, "synthetic", high - 0.1, high - 0.2, high)
        for regime, high in zip(REGIMES[2:], highs, strict=True)
    ]
    names = ("quantity", "regime", "against", "value", "low", "high")
    comparisons = pl.DataFrame(rows, schema=names, orient="row")
    return Judged({name: verdict(name, *answer) for name, answer in answers.items()}, comparisons)


def positive(**changed):
    return dict.fromkeys(REGIMES, ("yes", 0.3)) | changed


def negative(**changed):
    return dict.fromkeys(REGIMES, ("not shown", -0.05)) | changed


def failures(one, other):
    return [check.asked for check in judge(one, other, "red") if not check.passed]


def test_what_was_planted_and_found_passes():
    assert failures(judged(positive()), judged(negative())) == []


@pytest.mark.parametrize("answer", [("not shown", 0.2), ("no", 0.2), ("yes", -0.2)])
def test_planted_growth_has_to_be_found_and_in_its_direction(answer):
    (failed,) = failures(judged(positive(synthetic=answer)), judged(negative()))
    assert "called amplified" in failed


def test_a_withheld_figure_fails():
    for one in (("withheld", None), ("withheld", 0.1), ("not measured", None)):
        failed = failures(judged(positive(accumulation=one)), judged(negative()))
        assert failed == ["no leaning figure is withheld"]


def test_a_missing_regime_fails():
    answers = positive()
    del answers["synthetic"]
    assert any("called amplified" in f for f in failures(judged(answers), judged(negative())))
    assert any("negative" in f for f in failures(judged(positive()), judged({})))


@pytest.mark.parametrize("regime", REGIMES)
def test_amplification_where_there_is_none_fails(regime):
    (failed,) = failures(judged(positive()), judged(negative(**{regime: ("yes", 0.1)})))
    assert failed.startswith("negative control")


@pytest.mark.parametrize("highs", [(0.0, 0.01), (None, 0.2)])
def test_one_mitigation_has_to_move_less(highs):
    one = judged(positive(), (0.01, 0.01))
    rows = one.comparisons.with_columns(pl.Series("high", highs, dtype=pl.Float64))
    (failed,) = failures(Judged(one.verdicts, rows), judged(negative()))
    assert "moves less" in failed
    assert failures(judged(positive(), (0.1, -0.01)), judged(negative())) == []
