from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from biasloop.coding.label_findings import against_classifier, between_coders
from biasloop.coding.sheets import CODES

OPTIONS = ("1", "2", "3", "4", "5")
# The worked example of "Krippendorff's alpha" in Wikipedia, whose nominal alpha is 0.691.
EXAMPLE = (".....34121133.3", "1.213343.......", "..21344.21133.4")


def codes(rows):
    return pl.DataFrame(
        [
            (f"coder {coder}", f"{unit:03d}", label)
            for coder, row in enumerate(rows)
            for unit, label in enumerate(row)
            if label != "."
        ],
        schema=CODES,
        orient="row",
    )


def test_alpha_is_that_of_a_published_example():
    found = between_coders(codes(EXAMPLE), OPTIONS, 200, np.random.default_rng(0))
    assert found.value == pytest.approx(0.691358, abs=1e-6)
    assert found.articles == 12
    assert found.low < found.value < found.high


def by_hand(rows):
    """Observed and expected disagreement, pair by pair."""
    units = [[row[u] for row in rows if row[u] != "."] for u in range(len(rows[0]))]
    units = [u for u in units if len(u) > 1]
    values = [v for u in units for v in u]
    n = len(values)
    observed = sum(
        sum(a != b for i, a in enumerate(u) for j, b in enumerate(u) if i != j) / (len(u) - 1)
        for u in units
    )
    expected = sum(a != b for i, a in enumerate(values) for j, b in enumerate(values) if i != j)
    return 1 - observed / n / (expected / (n * (n - 1)))


def test_alpha_is_its_definition_pair_by_pair():
    random = np.random.default_rng(1)
    truth = random.integers(0, 3, 60)
    rows = []
    for _ in range(3):
        said = np.where(random.random(60) < 0.7, truth, random.integers(0, 3, 60))
        rows.append("".join(OPTIONS[v] if random.random() < 0.8 else "." for v in said))
    found = between_coders(codes(rows), OPTIONS, 400, np.random.default_rng(0))
    assert found.value == pytest.approx(by_hand(rows), abs=1e-12)
    assert found.low < found.value < found.high
    assert 0.15 < found.high - found.low < 0.5


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["12..", "..12"], "no article was coded by two"),
        (["1111", "1111"], "every reading is the same label"),
        (["1212", "1222"], "no interval"),
        (["12" * 10, "12" * 10], "no disagreement"),
    ],
)
def test_where_there_is_no_interval_it_says_why(rows, reason):
    found = between_coders(codes(rows), OPTIONS, 100, np.random.default_rng(0))
    assert reason in found.reason
    assert found.low is None


def test_kappa_is_that_of_sklearn_and_an_article_counts_once():
    random = np.random.default_rng(2)
    articles = np.repeat(np.arange(50), random.integers(1, 4, 50))
    said = random.integers(0, 3, len(articles))
    read = random.integers(0, 3, 50)[articles]
    said = np.where(random.random(len(said)) < 0.5, read, said)
    weights = 1 / np.bincount(articles)[articles]
    found = against_classifier(said, read, articles, 4, 300, np.random.default_rng(0))
    expected = cohen_kappa_score(said, read, sample_weight=weights)
    assert found.agreement.value == pytest.approx(expected, abs=1e-12)
    assert found.confusion.sum() == pytest.approx(50)
    assert np.allclose(
        found.confusion, confusion_matrix(said, read, labels=range(4), sample_weight=weights)
    )
    assert found.agreement.low < expected < found.agreement.high


def test_of_nothing_there_is_no_kappa():
    none = np.zeros(0, int)
    found = against_classifier(none, none, none, 3, 100, np.random.default_rng(0))
    assert found.agreement.value is None
    assert found.agreement.reason
