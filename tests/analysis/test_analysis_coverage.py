"""A thin version of benchmarks/intervals.py, with the tolerance that its few simulations need."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from biasloop.analysis import paired_mean
from biasloop.report.cautions import ERRS

pytestmark = pytest.mark.slow

FILE = Path(__file__).parents[2] / "benchmarks" / "intervals.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_coverage", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _within(share: float, simulations: int, low: float, high: float) -> bool:
    """Whether a share could come from a rate between two, at one in a thousand."""
    count = round(share * simulations)
    return (
        stats.binom.ppf(0.0005, simulations, low)
        <= count
        <= stats.binom.ppf(0.9995, simulations, high)
    )


def test_corrected_intervals_cover_and_uncorrected_fail(benchmark: ModuleType) -> None:
    found = benchmark.coverage(200, seed=11)
    assert _within(found["adjusted share"], 200, 0.93, 0.97), found
    assert _within(found["adjusted change"], 200, 0.93, 0.97), found
    assert found["share as read"] < 0.9
    assert found["change as read"] < 0.9


def test_trends_keep_their_level(benchmark: ModuleType) -> None:
    found = benchmark.false_trends(600, seed=12)
    for kind in benchmark.KINDS:
        for name in ("linear trend", "paired Kendall"):
            assert _within(found[f"{name} ({kind})"], 600, 0.035, 0.065), (name, kind)


def test_newcombe_covers_at_the_edge_and_the_percentiles_do_not(benchmark: ModuleType) -> None:
    found = list(benchmark.edges(400, seed=13).values())
    assert found[0] > 0.93 > found[1]


def test_em_is_nearer_than_counting(benchmark: ModuleType) -> None:
    found = benchmark.likelihood_error(60, seed=14)
    by_em, as_read = found.values()
    assert abs(by_em) < 0.01 < abs(as_read)


def test_seeds_that_differ_are_covered_better_than_by_resampling_them(
    benchmark: ModuleType,
) -> None:
    found = benchmark.over_seeds(150, seed=15, resamples=200)
    where = "3 seeds, 5 points apart"
    assert _within(found[f"joined ({where})"], 150, 0.91, 0.97), found
    assert found[f"joined ({where})"] > found[f"seeds resampled ({where})"]
    assert _within(found["joined (3 seeds, 0 points apart)"], 150, 0.95, 1.0), found


def test_what_is_told_of_few_chains_is_what_the_estimator_does(
    benchmark: ModuleType,
) -> None:
    found = benchmark.few_chains(20_000, seed=19)
    assert 0.034 < found["Satterthwaite (3 chains, ratio 16): beyond one end"] < 0.042, found
    assert found["Cochran and Cox (3 chains, ratio 16): beyond one end"] < 0.028
    found = benchmark.few_chains(20_000, seed=21, common=0.98)
    for chains, told in ERRS.items():  # what a report says
        own = [found[name] for name in found if name.startswith(f"Satterthwaite ({chains} chains")]
        assert 100 * max(own[::2]) == pytest.approx(told, abs=0.5)
    random, missed = np.random.default_rng(20), 0
    for _ in range(2000):  # of the same design, article by article: rest / (3 * 100) = 1 / 2
        parts = [random.normal(0, 50**0.5, 100), random.normal(0, 150**0.5, (3, 100))]
        low, high = paired_mean(sum(parts) + random.normal(0, 48**0.5, (3, 1))).interval()
        missed += not low <= 0 <= high
    assert _within(missed / 2000, 2000, 0.068, 0.084), missed


def test_equivalence_keeps_its_level(benchmark: ModuleType) -> None:
    narrow, wide = benchmark.false_equivalence(600, seed=16).values()
    assert narrow < 0.01
    assert _within(wide, 600, 0.035, 0.065), wide


def test_self_bleu_covers_by_jackknife_and_not_by_articles_of_their_own(
    benchmark: ModuleType,
) -> None:
    found = benchmark.self_bleus(100, seed=17)
    for kind in ("words shared", "loops in one of five"):
        assert _within(found[f"self-BLEU, jackknife ({kind})"], 100, 0.93, 0.97), found
    assert found["self-BLEU, articles' own (words shared)"] < 0.9
    # Where whole sentences are shared the jackknife errs on the safe side.
    assert found["self-BLEU, jackknife (sentences shared)"] > 0.93


def test_the_vendi_score_covers_by_jackknife(benchmark: ModuleType) -> None:
    found = benchmark.embeddings(200, seed=18, articles=40, mauve=False)
    assert _within(found["Vendi score"], 200, 0.93, 0.97), found
