from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

from biasloop.coding.prediction_powered import CodedSet, estimates, inferences

with warnings.catch_warnings():
    import ppi_py


def made(random, articles=200, labels=60, sources=None, leanings=3, unclear=0.1, accuracy=0.7):
    """One set: who says what, what is read, and which articles were coded."""
    eye = np.eye(leanings)
    truth = random.integers(leanings, size=articles)
    reads = np.where(random.random(articles) < accuracy, truth, random.integers(leanings))
    said = np.where(random.random((articles, 1)) < unclear, 0.0, eye[truth])
    read = np.where(random.random((articles, 1)) < unclear, 0.0, eye[reads])
    coded = random.permutation(articles) < labels
    clusters = np.arange(articles) if sources is None else random.integers(sources, size=articles)
    return CodedSet(clusters, read, np.where(coded[:, None], said, np.nan))


def by_library(coded, kept=None):
    kept = np.ones(len(coded.read), bool) if kept is None else kept
    there = coded.labelled
    means = ppi_py.ppi_mean_pointestimate(
        coded.said[there & kept], coded.read[there & kept], coded.read[~there & kept]
    )
    return np.append(means / means.sum(), 1 - means.sum())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("leanings", [2, 3])
def test_the_estimate_is_that_of_ppi_python(seed, leanings):
    coded = made(np.random.default_rng(seed), leanings=leanings)
    expected = by_library(coded)
    assert np.allclose(estimates(coded).value, expected, atol=1e-12)
    assert np.allclose([one.value for one in inferences(coded)], expected, atol=1e-12)


@pytest.mark.parametrize("sources", [None, 12])
def test_the_error_of_a_change_is_the_jackknife_of_ppi_python_over_sources(sources):
    random = np.random.default_rng(3)
    first, last = (made(random, 80, 30, sources, accuracy=a) for a in (0.9, 0.6))
    names = np.unique(np.concatenate([first.clusters, last.clusters]))
    without = np.array(
        [
            by_library(last, last.clusters != name) - by_library(first, first.clusters != name)
            for name in names
        ]
    )
    spread = ((without - without.mean(axis=0)) ** 2).sum(axis=0) * (len(names) - 1) / len(names)
    found = estimates(first, last)
    assert np.allclose(found.value, by_library(last) - by_library(first), atol=1e-12)
    assert np.allclose(found.error**2, np.maximum(spread, 2 / 32**2), atol=1e-12)
    labelled = [one.clusters[one.labelled] for one in (first, last)]
    assert set(found.freedom) == {len(np.unique(np.concatenate(labelled))) - 1}


def test_of_many_independent_articles_the_interval_is_that_of_ppi_python():
    ratios = []
    for seed in range(30):
        coded = made(np.random.default_rng(seed), 2000, 500, unclear=0, leanings=2)
        there = coded.labelled
        low, high = ppi_py.ppi_mean_ci(
            coded.said[there, 0], coded.read[there, 0], coded.read[~there, 0], alpha=0.05
        )
        own = estimates(coded).intervals()
        assert own[0][0] + own[1][0] == pytest.approx((low + high).item(), abs=1e-9)
        ratios.append((own[1][0] - own[0][0]) / (high - low).item())
    # t for the normal distribution, and the width of one article more: some 1 % at 500 labels.
    assert 1 < np.mean(ratios) < 1.03
    assert np.ptp(ratios) < 0.15


def test_of_articles_that_are_all_coded_the_change_is_the_paired_t_test():
    random = np.random.default_rng(5)
    sets = [made(random, 90, 90, unclear=0, leanings=2) for _ in range(2)]
    expected = stats.ttest_rel(sets[1].said[:, 0], sets[0].said[:, 0])
    found = estimates(*sets)
    assert found.value[0] == pytest.approx(sets[1].said[:, 0].mean() - sets[0].said[:, 0].mean())
    assert found.value[0] / found.error[0] == pytest.approx(expected.statistic, abs=1e-9)
    assert found.freedom[0] == expected.df


def test_pairs_that_hang_together_make_a_change_surer():
    random = np.random.default_rng(6)
    first = made(random, 300, 100)
    moved = np.where(random.random((300, 1)) < 0.1, np.roll(first.said, 1, axis=1), first.said)
    last = CodedSet(first.clusters, first.read, moved)
    apart = CodedSet(first.clusters + 1000, first.read, moved)
    assert (estimates(first, last).error < 0.7 * estimates(first, apart).error).all()


def test_a_classifier_that_reads_as_people_do_narrows_the_interval_and_one_that_guesses_does_not():
    random = np.random.default_rng(7)
    for accuracy, share in ((1.0, 0.75), (0.0, 1.02)):
        coded = made(random, 2000, 100, unclear=0, accuracy=accuracy, leanings=2)
        blind = CodedSet(coded.clusters, np.zeros_like(coded.read), coded.said)
        assert estimates(coded).error[0] < share * estimates(blind).error[0]


def test_repetitions_are_computed_as_each_alone():
    sets = [made(np.random.default_rng(seed)) for seed in range(3)]
    together = estimates(
        CodedSet(
            sets[0].clusters, np.stack([s.read for s in sets]), np.stack([s.said for s in sets])
        )
    )
    for place, one in enumerate(sets):
        alone = estimates(one)
        for name in ("value", "error", "freedom"):
            assert np.allclose(getattr(together, name)[place], getattr(alone, name))


def test_the_shares_of_the_leanings_sum_to_one_and_of_a_change_to_nothing():
    random = np.random.default_rng(8)
    first, last = made(random), made(random)
    assert estimates(first).value[:3].sum() == pytest.approx(1)
    assert estimates(first, last).value[:3].sum() == pytest.approx(0, abs=1e-12)


def test_a_set_in_which_all_is_alike_still_has_a_width():
    said = np.where(np.arange(200)[:, None] < 50, [1.0, 0.0], np.nan)
    coded = CodedSet(np.arange(200), np.tile([1.0, 0.0], (200, 1)), said)
    found = inferences(coded)[0]
    assert found.value == 1
    assert 0.01 < found.error < 0.05


def test_a_change_in_which_nobody_moved_has_the_width_of_one_who_rose_and_one_who_fell():
    said = np.where(np.arange(200)[:, None] < 50, [1.0, 0.0], np.nan)
    coded = CodedSet(np.arange(200), np.tile([1.0, 0.0], (200, 1)), said)
    found = estimates(coded, coded)
    assert found.value[0] == 0
    assert found.error[0] == pytest.approx(np.sqrt(2) / 52)


def test_where_one_source_has_all_labels_there_is_no_error():
    random = np.random.default_rng(9)
    coded = made(random, 100, 100, unclear=0)
    said = np.where(np.arange(100)[:, None] < 40, coded.said, np.nan)
    found = estimates(CodedSet(np.arange(100) // 50, coded.read, said))
    assert np.isnan(found.error).all()


def test_the_interval_covers_a_planted_change_that_the_classifier_reads_the_other_way():
    random = np.random.default_rng(10)
    shape, hits = (400, 300), []
    first, last = (random.random(shape) < share for share in (0.5, 0.62))
    rates = ((0.85, 0.80), (0.60, 0.90))
    sets = []
    coded = random.random(shape).argsort(axis=1) < 60
    for truth, (sensitivity, specificity) in zip((first, last), rates, strict=True):
        right = random.random(shape) < np.where(truth, sensitivity, specificity)
        read = np.where(right, truth, ~truth).astype(float)
        said = np.where(coded, truth, np.nan)
        both = [np.stack([one, 1 - one], axis=-1) for one in (read, said)]
        sets.append(CodedSet(np.arange(shape[1]), *both))
    low, high = (end[:, 0] for end in estimates(*sets).intervals())
    hits = (low <= 0.12) & (high >= 0.12)
    assert 0.92 < hits.mean() < 0.99
    as_read = sets[1].as_read()[:, 0] - sets[0].as_read()[:, 0]
    assert as_read.mean() < -0.05
