"""The least dose against planted curves, and its parts against brute force."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from biasloop.analysis import (
    Change,
    Design,
    least_dose,
    level_of_look,
    looks_at,
    needed_to_exceed,
    needed_to_hold,
)
from biasloop.analysis.power import power_to_hold
from biasloop.errors import InputError

FILE = Path(__file__).parents[2] / "benchmarks" / "dose.py"
VALUES = (0.0, 0.1, 0.2, 0.5)


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_dose", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def moved(value: float, half: float = 0.01) -> dict[str, Change]:
    ends = (value, value - half, value + half)
    return {
        "b": Change(0, 1, 0.4, 0.4 + value, *ends, 0.5),
        "a": Change(0, 1, 0.6, 0.6 - value, -ends[0], -ends[2], -ends[1], 0.5),
    }


def found(*values: float | None, half: float = 0.01):
    changes = [{} if value is None else moved(value, half) for value in values]
    return least_dose(VALUES, changes, "b", 0.05)


def test_the_least_dose_lies_between_the_last_beyond_and_the_first_held():
    one = found(0.2, 0.1, 0.03, 0.0)
    assert (one.low, one.high, one.bounded) == (0.1, 0.2, True)
    assert one.estimate == pytest.approx(0.1 + 0.1 * (0.1 - 0.05) / (0.1 - 0.03))
    assert one.held == ("beyond", "beyond", "held", "held")
    mirrored = found(-0.2, -0.1, -0.03, 0.0)
    assert (mirrored.low, mirrored.high, mirrored.estimate) == (one.low, one.high, one.estimate)


@pytest.mark.parametrize(
    ("values", "low", "high", "bounded"),
    [
        ((0.2, 0.15, 0.12, 0.1), 0.5, None, False),
        ((0.01, 0.0, 0.0, 0.0), None, 0.0, True),
        ((0.05, 0.0, 0.0, 0.0), None, 0.1, False),
        ((0.2, 0.0, 0.1, 0.0), 0.0, 0.5, True),  # it does not hold from 0.1 on
        ((0.2, None, 0.0, 0.0), 0.0, 0.2, True),
        ((0.2, 0.1, 0.0, None), 0.1, None, False),
        ((None, None, None, None), None, None, False),
    ],
)
def test_an_end_is_told_only_where_a_walk_from_its_side_comes_to_it(values, low, high, bounded):
    one = found(*values)
    assert (one.low, one.high, one.bounded) == (low, high, bounded)


def test_a_dose_holds_only_if_every_leaning_is_within_the_margin():
    past = moved(0.0) | {"c": Change(0, 1, 0.1, 0.2, 0.1, 0.09, 0.11, 0.0)}
    one = least_dose((0.0, 1.0), [moved(0.2), past], "b", 0.05)
    assert one.held == ("beyond", "not shown")


@given(st.lists(st.floats(-0.3, 0.3), min_size=4, max_size=4))
def test_the_fit_falls_and_is_nearest_to_the_changes(values):
    one = found(*values)
    way = np.array(values) * (np.sign(values[0]) or 1.0)
    assert (np.diff(one.fitted) <= 1e-12).all()
    distance = ((np.array(one.fitted) - way) ** 2).sum()
    grid = np.sort(np.random.default_rng(0).uniform(-0.3, 0.3, (500, 4)), axis=1)[:, ::-1]
    assert distance <= ((grid - way) ** 2).sum(axis=1).min() + 1e-9
    ends = (VALUES[0], one.low, one.high, VALUES[-1])
    if one.estimate is not None and one.estimate not in ends:  # there it may have been cut
        assert np.interp(one.estimate, VALUES, one.fitted) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize("curve", ["exponential", "just beyond the margin at 0.1"])
def test_the_interval_holds_a_planted_least_dose(benchmark, curve):
    shares = benchmark.coverage(curve, 200, seed=3, per_source=8)
    # By chance alone, one in a thousand of tests of a coverage of 95 %.
    assert 200 * shares["covers"] >= stats.binom.ppf(0.001, 200, 0.95), shares
    assert 200 * shares["false held"] <= stats.binom.ppf(0.999, 200, 0.025), shares
    assert curve != "exponential" or shares["bounded"] > 0.5, shares


def test_looks_take_equal_batches_of_three_chains_or_more():
    assert [len(one) for one in looks_at(range(9), 3)] == [3, 6, 9]
    assert looks_at(range(3, 9), 2) == [(3, 4, 5), (3, 4, 5, 6, 7, 8)]
    assert looks_at([7], 1) == [(7,)]
    for seeds, looks in ((5, 2), (6, 3), (5, 0)):
        with pytest.raises(InputError, match="cannot be looked at so often"):
            looks_at(range(seeds), looks)
    # Bonferroni: at every look of all, wrong in one of 20 at most.
    assert 3 * (1 - level_of_look(3)) == pytest.approx(0.05)


def test_looking_often_errs_no_more_and_takes_fewer_chains(benchmark):
    """A dose just beyond the margin, with few chains that differ much: the worst case."""
    curve = "just beyond the margin at 0.1"
    shares = benchmark.coverage(curve, 120, 3, 3, 9, apart=0.03, per_source=8)
    assert 120 * shares["false held"] <= stats.binom.ppf(0.999, 120, 0.025), shares
    assert 120 * shares["covers"] >= stats.binom.ppf(0.001, 120, 0.95), shares
    clear = benchmark.coverage("nothing moves", 20, 3, 3, 9, per_source=8)
    assert clear["chains"] < 6
    assert clear["bounded"] > 0.5


def test_the_plan_has_the_power_that_it_says_and_ends_where_nothing_would_do():
    design = Design(0.4, 0.3, common=0.6, between=0.01)
    needed = needed_to_hold(design, 0.01, 0.05, 3)
    assert power_to_hold(design, 0.04, needed.articles, needed.seeds) >= 0.8
    assert power_to_hold(design, 0.04, needed.articles - 1, needed.seeds) < 0.8
    assert needed_to_hold(design, 0.06, 0.05, 3) is None
    assert needed_to_hold(Design(0.4, between=0.03), 0.0, 0.05, 3).seeds > 3
    assert needed_to_exceed(design, 0.04, 0.05, 3) is None
    assert needed_to_exceed(design, -0.12, 0.05, 3).articles > 10
