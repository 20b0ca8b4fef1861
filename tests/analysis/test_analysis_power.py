from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower
from test_analysis_evidence import _run

from biasloop.analysis import (
    Design,
    articles_needed,
    change_variance,
    design_of,
    detectable_change,
    outcomes,
    paired_mean,
    power,
)
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
    with pytest.raises(InputError, match="no regime 'c'"):
        design_of(found, "right", "c")
    with pytest.raises(InputError, match="no leaning scores of 'center'"):
        design_of(found, "center")
