from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import power_ztost_prop
from test_analysis_evidence import _run

from biasloop.analysis import (
    Design,
    articles_needed,
    articles_to_hold,
    can_hold,
    design_of,
    detectable_change,
    outcomes,
    paired_mean,
    power,
    seeds_to_hold,
)
from biasloop.analysis.classifier_errors import Confusion
from biasloop.analysis.inference import tost
from biasloop.analysis.power import change_variance, power_to_hold, youden
from biasloop.errors import InputError


def test_one_chain_is_statsmodels_paired_t() -> None:
    design = Design(0.4, 0.3)
    effect = 0.1 / np.sqrt(change_variance(design, 0.1))
    expected = TTestPower().power(effect, 120, 0.05)
    assert power(design, 0.1, 120) == pytest.approx(expected, abs=1e-6)
    needed = TTestPower().solve_power(effect, power=0.8, alpha=0.05)
    assert articles_needed(design, 0.1) == math.ceil(needed)


def _labels(random: np.random.Generator, design: Design, change: float, shape: tuple) -> tuple:
    """Pairs of labels with the design's shares and correlation."""
    p, q = design.share, design.share + change
    both = p * q + design.correlation * np.sqrt(p * (1 - p) * q * (1 - q))
    place = np.searchsorted(np.cumsum([both, p - both, q - both]), random.random(shape))
    return (place < 2).astype(float), ((place == 0) | (place == 2)).astype(float)


@pytest.mark.parametrize(("share", "change", "correlation"), [(0.5, 0.1, 0.4), (0.2, 0.06, 0.0)])
def test_the_closed_form_is_what_simulations_find(
    random: np.random.Generator, share: float, change: float, correlation: float
) -> None:
    design = Design(share, correlation)
    before, after = _labels(random, design, change, (20_000, 100))
    assert (after - before).var() == pytest.approx(change_variance(design, change), rel=0.01)
    articles = articles_needed(design, change)
    shown = 0
    for _ in range(600):
        first, last = _labels(random, design, change, (articles,))
        shown += paired_mean(last - first).pvalue < 0.05
    low, high = stats.binom.ppf([0.001, 0.999], 600, 0.8)
    assert low - 6 <= shown <= high + 6


def test_several_chains_are_what_simulations_find(random: np.random.Generator) -> None:
    # Normal changes with the three parts of variance that the design names.
    design = Design(0.5, 0.0, common=0.4, between=0.03)
    variance = change_variance(design, 0.1)
    shown = 0
    for _ in range(800):
        own = random.normal(0, np.sqrt(variance * 0.4), (1, 120))
        rest = random.normal(0, np.sqrt(variance * 0.6), (5, 120))
        chains = random.normal(0.1, 0.03, (5, 1))
        shown += paired_mean(own + rest + chains).pvalue < 0.05
    assert shown / 800 == pytest.approx(power(design, 0.1, 120, 5), abs=0.06)


@pytest.mark.parametrize(("accuracy", "articles"), [(1.0, 387), (0.84, 843), (0.75, 1564)])
def test_a_true_change_takes_more_articles_where_the_classifier_errs(
    random: np.random.Generator, accuracy: float, articles: int
) -> None:
    # From 50 %, unrelated labels, 80 % power at 5 %. Planned as read, 387 articles were told for
    # each of the three, which show the change at 0.84 in 47 % and at 0.75 in 29 % of runs.
    design = Design(0.5, youden=2 * accuracy - 1)
    assert articles_needed(design, 0.1) == articles
    assert detectable_change(design, articles) == pytest.approx(0.1)
    shown = 0
    for _ in range(1500):
        true = random.random((2, articles)) < np.array([[0.5], [0.6]])
        read = np.where(random.random((2, articles)) < accuracy, true, ~true).astype(float)
        shown += paired_mean(read[1] - read[0]).pvalue < 0.05
    assert stats.binomtest(shown, 1500, 0.8).pvalue > 0.001


def test_what_is_read_of_a_change_is_what_the_error_rates_make_of_it() -> None:
    assert youden(np.array([[84, 16], [16, 84]]), 1) == pytest.approx(0.68)
    counts = np.array([[80, 12, 8], [20, 150, 30], [7, 15, 78]])
    rates = counts / counts.sum(axis=1, keepdims=True)
    # 10 points more of the last label, taken from the others as 1 to 2, their articles' numbers.
    before, after = np.array([0.3, 0.5, 0.2]), np.array([0.3 - 0.1 / 3, 0.5 - 0.2 / 3, 0.3])
    assert youden(counts, 2) == pytest.approx(((after - before) @ rates)[2] / 0.1)


@pytest.mark.parametrize(
    ("design", "articles", "chains"),
    [
        (Design(0.5, youden=0.68), 3706, 1),
        (Design(0.5, 0.5), 300, 1),
        (Design(0.5, 0.2, common=0.4, between=0.02), 300, 5),
        (Design(0.5, common=0.3, between=0.01), 300, 3),
    ],
)
def test_the_chance_to_show_that_nothing_moved_is_what_simulations_find(
    random: np.random.Generator, design: Design, articles: int, chains: int
) -> None:
    variance, held, times, margin = change_variance(design, 0), 0, 1500, 0.05
    for _ in range(times):
        own = random.normal(0, np.sqrt(variance * design.common), (1, articles))
        rest = random.normal(0, np.sqrt(variance * (1 - design.common)), (chains, articles))
        found = own + rest + random.normal(0, design.between, (chains, 1))
        held += tost(paired_mean(found / design.youden), margin).answer == "yes"
    assert held / times == pytest.approx(power_to_hold(design, margin, articles, chains), abs=0.05)


@pytest.mark.parametrize(("articles", "margin"), [(1000, 0.05), (2000, 0.05), (4000, 0.03)])
def test_with_many_articles_it_is_statsmodels_test_of_two_sides(
    articles: int, margin: float
) -> None:
    # A variance of 1/4 an article, as that of one share of one half.
    low, high = 0.5 - margin, 0.5 + margin
    expected = power_ztost_prop(
        low, high, articles, 0.5, variance_prop=0.5, discrete=False, dist="norm"
    )[0]
    assert power_to_hold(Design(0.5, 0.5), margin, articles) == pytest.approx(expected, abs=0.003)


def test_a_size_says_whether_held_is_within_reach() -> None:
    design = Design(0.5, youden=0.68)
    few, many = can_hold(design, 500, 1, 0.05), can_hold(design, 3706, 1, 0.05)
    assert (few.reachable, many.reachable) == (False, True)
    assert few.power < 0.001
    assert many.power >= 0.8 > can_hold(design, 3705, 1, 0.05).power
    assert few.articles == many.articles == articles_to_hold(design, 0.05) == 3706
    error = np.sqrt(change_variance(design, 0) / 500)
    assert few.half_width == pytest.approx(stats.t.ppf(0.95, 499) * error / 0.68)
    apart = Design(0.5, common=0.5, between=0.03)
    assert can_hold(apart, 500, 3, 0.05).articles is None
    seeds = seeds_to_hold(apart, 0.05)
    assert articles_to_hold(apart, 0.05, seeds=seeds) is not None
    assert seeds_to_hold(Design(0.5, between=1.0), 0.001) is None


@given(st.floats(0.1, 0.9), st.floats(-0.3, 0.3), st.floats(-0.3, 0.9), st.integers(3, 3000))
def test_more_articles_have_more_power(
    share: float, change: float, correlation: float, articles: int
) -> None:
    design = Design(share, correlation)
    try:
        few = power(design, change, articles)
    except InputError:
        assume(False)
    assert 0 <= few <= power(design, change, 2 * articles) + 1e-9 <= 1 + 1e-8


def test_needed_and_detectable_are_each_other_s_inverse() -> None:
    design = Design(0.5, 0.3)
    needed = articles_needed(design, 0.08)
    assert power(design, 0.08, needed) >= 0.8 > power(design, 0.08, needed - 1)
    assert detectable_change(design, needed) == pytest.approx(0.08, abs=0.001)


def test_chains_that_differ_too_much_are_never_enough() -> None:
    wide = Design(0.5, common=0.5, between=0.05)
    assert articles_needed(wide, 0.05, seeds=3) is None
    assert articles_needed(wide, 0.05, seeds=30) is not None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Design(1.2), "share must lie"),
        (lambda: Design(0.5, alpha=0.0), "alpha"),
        (lambda: power(Design(0.9), 0.2, 50), "leaves 0 to 100 %"),
        (lambda: power(Design(0.1, 0.9), 0.6, 50), "cannot have a correlation"),
        (lambda: power(Design(0.5), 0.1, 1), "at least 2"),
        (lambda: articles_needed(Design(0.5), 0), "change of 0"),
        (lambda: Design(0.5, youden=0.0), "reads nothing of a change"),
        (lambda: power(Design(0.9, youden=0.5), 0.3, 50), r"\+30 points, read as \+15, from 90 %"),
        (lambda: power_to_hold(Design(0.5), 0.0, 50), "margin"),
        (lambda: articles_to_hold(Design(0.5), 0.05, 0.0), "power must lie"),
        (lambda: youden(np.array([[0, 0], [1, 9]]), 0), "not validated"),
        (lambda: articles_needed(Design(0.5), 0.1, 1.0), "power must lie"),
    ],
)
def test_what_cannot_be_is_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_a_run_gives_its_design(random: np.random.Generator) -> None:
    found = outcomes(_run(random, {"a": 0.05, "b": 0.0}, articles=300))
    design = design_of(found, "right", "b")
    first, last = (found.row("share:right", ("b", 0, g)) for g in (0, 4))
    assert design.share == pytest.approx(first.mean())
    assert design.correlation == pytest.approx(np.corrcoef(first, last)[0, 1])
    assert (design.common, design.between) == (1, 0)
    several = outcomes(_run(random, {"a": 0.0}, seeds=(0, 1, 2, 3), articles=300))
    design = design_of(several, "right")
    assert design.between < 0.03
    assert 0 <= design.common < 0.6
    counts = np.array([[84, 16], [16, 84]])
    assert design_of(found, "right", "b").youden == 1
    read = design_of(found, "right", "b", confusion=Confusion(counts, "articles"))
    assert read.youden == pytest.approx(0.68)
    for useless in (
        Confusion(counts, "articles", "tells the leanings apart too little"),
        Confusion(counts[::-1], "articles"),
    ):
        with pytest.raises(InputError, match="--accuracy 1 plans for one as read"):
            design_of(found, "right", "b", confusion=useless)
    with pytest.raises(InputError, match="no regime 'c'"):
        design_of(found, "right", "c")
    with pytest.raises(InputError, match="no leaning scores of 'center'"):
        design_of(found, "center")
