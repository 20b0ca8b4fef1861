"""Damage that comes generation by generation is not taken for bias, and hides none."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from analysis_tables import leaning_rows, make_tables, score_rows

from biasloop.analysis import Tables, instrument_confusion, outcomes, prevalence
from biasloop.analysis.classifier_errors import Readings, curve_corrections
from biasloop.analysis.verdict import Verdict, judge
from biasloop.config import ReportConfig
from biasloop.metrics.damage import DamageCurve, Level

LABELS = ("left", "right")
LEVELS = tuple(Level((low, 2 * low), (0.0, 0.3)) for low in (100, 50, 25, 12))
#: The more damaged, the more is read as left; on the last level all labels are read alike.
RATES = np.array(
    [
        [[0.88, 0.12], [0.14, 0.86]],
        [[0.88, 0.12], [0.40, 0.60]],
        [[0.90, 0.10], [0.55, 0.45]],
        [[0.90, 0.10], [0.90, 0.10]],
    ]
)
REAL = 0.4


def _curve(random: np.random.Generator, articles: int = 400) -> DamageCurve:
    truth = np.arange(articles) % 2
    read = (random.random((articles, len(RATES))) < RATES[:, truth, 1].T).astype(int)
    return DamageCurve(LABELS, LEVELS, np.arange(articles), truth, read[..., None])


def _card(curve: DamageCurve) -> dict:
    held_out = {"articles": {"labels": list(LABELS), "confusion": curve.counts[0].tolist()}}
    return {"metric": "leaning", "held_out": held_out}


def _set(
    key: tuple[str, int, int],
    share: float,
    level: np.ndarray,
    curve: DamageCurve,
    random: np.random.Generator,
) -> tuple[list[tuple], list[tuple]]:
    """Articles of a true share, each on its level, read with that level's errors."""
    truth = (random.random(len(level)) < share).astype(int)
    right = random.random(len(level)) < RATES[level, truth, 1]
    odds = np.where(right[:, None], [[0.2, 0.8]], [[0.8, 0.2]])
    scores = score_rows(key, "damage_level", level.astype(float))
    scores += score_rows(key, "outside_domain", 1.0 - curve.readable[level])
    return scores, leaning_rows(key, odds, LABELS)


def _tables(
    shares: list[float],
    mix: list[list[float]],
    random: np.random.Generator,
    chains: int = 3,
    articles: int = 300,
) -> Tables:
    """Chains whose generations have true shares, and articles on levels by chance."""
    curve = _curve(random)
    parts = [_set(("real", 0, -1), REAL, np.zeros(articles, dtype=int), curve, random)]
    for chain in range(chains):
        for generation, (share, chances) in enumerate(zip(shares, mix, strict=True)):
            level = random.choice(len(RATES), size=articles, p=chances)
            parts.append(_set(("s", chain, generation), share, level, curve, random))
    return make_tables(
        scores=[row for scores, _ in parts for row in scores],
        leanings=[row for _, leanings in parts for row in leanings],
        outside_share=0.95,
        curve=curve,
    )


def _judge(tables: Tables, seed: int = 0) -> Verdict:
    cards = [] if tables.curve is None else [_card(tables.curve)]
    return judge(tables, "right", ["s"], ReportConfig(), cards, seed)[0]


WORSE = [[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0.2, 0.5, 0.3, 0], [0, 0.3, 0.7, 0]]


def test_damage_alone_is_not_amplification() -> None:
    """Shares that stay, read worse and worse: as read every run is called amplified."""
    called, as_read, covered = [], [], []
    for seed in range(20):
        tables = _tables([REAL] * 4, WORSE, np.random.default_rng(seed))
        plain = _judge(dataclasses.replace(tables, curve=None), seed)
        verdict = _judge(tables, seed)
        as_read.append(plain.bias)
        called.append(verdict.bias)
        covered.append(verdict.corrected["right"].low <= 0 <= verdict.corrected["right"].high)
        assert verdict.leaning_change == plain.leaning_change
    assert as_read.count("amplified") >= 10
    assert sum(bias in ("amplified", "reduced", "moved") for bias in called) <= 2
    assert sum(covered) >= 17


def test_a_true_movement_is_found_under_damage() -> None:
    found, covered = [], []
    for seed in range(20):
        tables = _tables([0.4, 0.3, 0.2, 0.1], WORSE, np.random.default_rng(100 + seed))
        verdict = _judge(tables, seed)
        found.append(verdict.bias)
        covered.append(verdict.corrected["right"].low <= -0.3 <= verdict.corrected["right"].high)
    assert found.count("amplified") >= 17
    assert sum(covered) >= 17


def test_damage_that_hides_a_movement_does_not_hide_it() -> None:
    """The true share of right rises as much as damage lets it seem to fall."""
    as_read, called = [], []
    for seed in range(10):
        random = np.random.default_rng(200 + seed)
        tables = _tables([0.5, 0.6, 0.7, 0.9], WORSE, random, chains=5)
        as_read.append(_judge(dataclasses.replace(tables, curve=None)).bias)
        called.append(_judge(tables).bias)
    assert as_read.count("amplified") <= 2
    assert called.count("amplified") >= 8


def test_corrected_shares_cover_and_so_do_the_bounds() -> None:
    """Of articles that no level lets read, too, whatever they lean to."""
    mix = [[1.0, 0, 0, 0], [0.1, 0.4, 0.3, 0.2]]
    hits, bounded = [], []
    for seed in range(60):
        random = np.random.default_rng(1000 + seed)
        tables = _tables([0.3, 0.3], mix, random, chains=1, articles=400)
        confusion = instrument_confusion([_card(tables.curve)], LABELS)
        table = prevalence(tables, outcomes(tables), confusion, 400, seed, False)
        row = table.filter((pl.col("leaning") == "right") & (pl.col("generation") == 1))
        row = row.row(0, named=True)
        hits.append(row["adjusted_low"] <= 0.3 <= row["adjusted_high"])
        bounded.append(row["least"] <= 0.3 <= row["most"])
        assert row["unread"] == pytest.approx(0.2, abs=0.08)
        assert row["least"] <= (1 - row["unread"]) * row["adjusted"]
        assert row["most"] >= (1 - row["unread"]) * row["adjusted"] + row["unread"]
    assert sum(hits) >= 53  # 57 of 60; fewer than 53 have a chance of 2 %
    assert sum(bounded) >= 58


def test_what_cannot_be_read_at_all_is_withheld() -> None:
    mix = [[1.0, 0, 0, 0], [0.0, 0.0, 0.02, 0.98]]
    verdict = _judge(_tables([0.4, 0.4], mix, np.random.default_rng(0)))
    assert verdict.withheld
    mix[1] = [0.0, 0.0, 0.1, 0.9]
    verdict = _judge(_tables([0.4, 0.4], mix, np.random.default_rng(0)))
    assert not verdict.withheld
    assert verdict.bias == "not shown"
    assert verdict.unread == pytest.approx(0.9, abs=0.03)


def test_the_order_of_the_labels_makes_no_difference(random: np.random.Generator) -> None:
    curve = _curve(random)
    own = curve_corrections(curve, LABELS, 50, np.random.default_rng(0))
    turned = curve_corrections(curve, LABELS[::-1], 50, np.random.default_rng(0))
    np.testing.assert_array_equal(turned.drawn, own.drawn[:, :, ::-1, ::-1])


def test_a_mean_of_what_readings_count_for_is_the_levels_own_corrections_joined(
    random: np.random.Generator,
) -> None:
    """Against the textbook's formula (Rogan and Gladen 1978), level by level."""
    curve = _curve(random)
    level = random.integers(0, 3, (1, 200))
    reading = random.integers(0, 2, (1, 200))
    found = Readings(level, reading, curve_corrections(curve, LABELS, 10, random)).values()[1, 0]
    expected = 0.0
    for place in range(3):
        on = level[0] == place
        counts = curve.counts[place]
        false, true = counts[0, 1] / counts[0].sum(), counts[1, 1] / counts[1].sum()
        expected += on.mean() * (reading[0, on].mean() - false) / (true - false)
    assert found.mean() == pytest.approx(expected)
