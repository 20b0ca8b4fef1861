"""What a run answers: contrasts and costs that are planted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from analysis_tables import leaning_rows, make_tables

from biasloop.analysis import RunAnswer, judge, outcomes, run_answer
from biasloop.config import ReportConfig, parse_config
from biasloop.loop.results import Results
from biasloop.tables import TRAINED

LABELS = ("left", "right")
ARTICLES = 200


def _shares(right: int) -> np.ndarray:
    hits = np.arange(ARTICLES) < right
    return np.where(hits[:, None], [[0.1, 0.9]], [[0.8, 0.2]])


def _answer(
    folder: Path, paths: dict[str, list[int]], tokens: dict[tuple[str, int], list[int]]
) -> RunAnswer:
    """Plant the articles read as right by generation, and the tokens of each chain's models."""
    seeds = (0, 1, 2)
    tables = make_tables(
        leanings=[
            row
            for regime, path in {**paths, "real": [100]}.items()
            for seed in (seeds if regime != "real" else (0,))
            for generation, right in enumerate(path)
            for row in leaning_rows(
                (regime, seed, generation if regime != "real" else -1), _shares(right), LABELS
            )
        ]
    )
    empty = pl.DataFrame()
    results = Results(
        folder=folder,
        config=parse_config({"regimes": list(paths), "loop": {"seeds": list(seeds)}}),
        labels=LABELS,
        corpus={},
        real=empty,
        articles=empty,
        scores=tables.scores,
        leaning_scores=tables.leaning_scores,
        set_scores=tables.set_scores,
        cards=(),
        stages=empty,
        bad_rows=empty,
        provenance={},
        trained=pl.DataFrame(
            [
                (regime, seed, generation, count)
                for (regime, seed), counts in tokens.items()
                for generation, count in enumerate(counts)
            ],
            schema=TRAINED,
            orient="row",
        ),
    )
    verdicts = judge(tables, "right", list(paths), ReportConfig())
    return run_answer(results, verdicts, outcomes(tables))


def test_a_contrast_is_the_difference_of_the_changes(tmp_path) -> None:
    paths = {"accumulation": [100, 105, 110], "synthetic": [100, 130, 160]}
    answer = _answer(tmp_path, paths, {})
    assert answer.reference is not None
    assert answer.reference.verdict.regime == "synthetic"
    accumulation, synthetic = answer.regimes
    assert synthetic.contrast is None
    assert accumulation.contrast is not None
    assert accumulation.contrast.value == pytest.approx((10 - 60) / ARTICLES)
    assert accumulation.contrast.low < -0.25 < accumulation.contrast.high < 0
    assert accumulation.contrast.holm < 0.001
    assert accumulation.tokens is accumulation.times is None


def test_equal_changes_have_no_contrast_and_more_regimes_make_it_harder(tmp_path) -> None:
    paths = {"synthetic": [100, 112], "accumulation": [100, 112], "overfitting": [100, 119]}
    _, same, other = _answer(tmp_path, paths, {}).regimes
    assert same.contrast is not None
    assert same.contrast.value == 0
    assert same.contrast.holm == 1
    del paths["accumulation"]
    (_, alone) = _answer(tmp_path, paths, {}).regimes
    assert other.contrast is not None
    assert alone.contrast is not None
    assert other.contrast.holm == pytest.approx(2 * alone.contrast.holm)


def test_tokens_are_a_chains_and_unfinished_chains_do_not_count(tmp_path) -> None:
    paths = {"synthetic": [100, 130, 160], "accumulation": [100, 105, 110]}
    tokens = {
        ("synthetic", 0): [10, 10, 10],
        ("synthetic", 1): [10, 12, 14],
        ("synthetic", 2): [10, 10],
        ("accumulation", 0): [10, 20, 30],
        ("accumulation", 1): [10, 22, 34],
    }
    synthetic, accumulation = _answer(tmp_path, paths, tokens).regimes
    assert synthetic.tokens == (30 + 36) / 2
    assert synthetic.times == 1
    assert accumulation.tokens == (60 + 66) / 2
    assert accumulation.times == pytest.approx(63 / 33)


def test_costs_are_compared_over_the_generations_that_both_have(tmp_path) -> None:
    paths = {"synthetic": [100, 130, 160], "accumulation": [100, 105]}
    tokens = {("synthetic", 0): [10, 10, 10], ("accumulation", 0): [10, 20]}
    _, accumulation = _answer(tmp_path, paths, tokens).regimes
    assert accumulation.tokens == 30
    assert accumulation.times == pytest.approx(30 / 20)


def test_without_a_verdict_there_is_no_reference(tmp_path) -> None:
    answer = _answer(tmp_path, {"synthetic": [100, 130]}, {})
    assert answer.reference is not None
    nothing = replace(answer, regimes=(), reference=None)
    assert nothing == RunAnswer(LABELS, (), None)
