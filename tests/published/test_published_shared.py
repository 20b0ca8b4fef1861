"""Figures of ../shared/facts.md, read from its own text, and all references are met there."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from biasloop.published import lines, read_published, reproduce, series
from biasloop.published.paper import REFERENCES

SHARED = Path(__file__).parents[3] / "shared"
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not (SHARED / "data/published").is_dir(), reason="../shared is absent"),
]


@pytest.fixture(scope="module")
def facts():
    return (SHARED / "facts.md").read_text()


@pytest.fixture(scope="module")
def done():
    return reproduce(read_published(SHARED / "data/published"))


def test_the_table_of_right_leaning_shares(facts, done):
    found = series(done)["shares"]
    table = re.findall(
        r"^\| (synthetic|preservation|accumulation|overfitting) \|(.+)\|$", facts, re.M
    )
    assert len(table) == 4
    for regime, cells in table:
        expected = [float(cell) for cell in cells.split("|")]
        assert len(expected) == len(found[regime]["right"]) == 11
        assert found[regime]["right"] == pytest.approx(expected, abs=0.05)
        whole = [sum(values) for values in zip(*found[regime].values(), strict=True)]
        assert whole == pytest.approx([100] * 11)


def test_the_base_model(facts, done):
    numbers = re.search(r"base GPT-2: left ([\d.]+), center ([\d.]+), right ([\d.]+)", facts)
    base = done.recomputed.filter(regime="base")
    assert base["quantity"].to_list() == ["share:left", "share:center", "share:right"]
    assert base["recomputed"].to_list() == pytest.approx(
        [float(number) for number in numbers.groups()], abs=0.05
    )


def test_quality_and_perplexity(facts, done):
    found = series(done)
    text = re.search(r"Mean text quality index:.+", facts)[0]
    quality = re.findall(r"(\w+) (\d\.\d{3}) (?:falling )?to (\d\.\d{3})", text)
    assert len(quality) == 4
    for regime, first, last in quality:
        ends = (found["quality"][regime][0], found["quality"][regime][10])
        assert ends == pytest.approx((float(first), float(last)), abs=0.0005)
    first, last = re.search(r"perplexity, synthetic: ([\d.]+) falling to (\d\.\d+)", text).groups()
    assert list(found["perplexity"]) == ["synthetic"]
    ends = (found["perplexity"]["synthetic"][0], found["perplexity"]["synthetic"][10])
    assert ends == pytest.approx((float(first), float(last)), abs=0.005)


def test_neurons(done):
    bias, quality = (done.neurons.counts["weight_mean", metric] for metric in ("bias", "quality"))
    assert (bias.raw, bias.benjamini_hochberg, bias.bonferroni) == (3243, 2252, 635)
    assert (quality.raw, quality.benjamini_hochberg, quality.bonferroni) == (1033, 24, 1)
    met = done.neurons.overlaps["weight_mean", "bias", "quality"]
    assert (met.both, round(met.expected, 1), met.total) == (389, 363.5, 9216)
    assert 0.04 < met.more < 0.05


def test_every_reference_is_recomputed_to_its_last_digit(done):
    held = done.recomputed.drop_nulls("reference")
    assert held.height == len(REFERENCES)
    digits = {(f.quantity, f.regime, f.generation): f.digits for f in REFERENCES}
    lacking = held.filter(pl.col("recomputed").is_null())
    assert lacking["quantity"].to_list() == ["classifier:macro F1"]
    for row in held.drop_nulls("recomputed").iter_rows(named=True):
        key = (row["quantity"], row["regime"], row["generation"])
        assert abs(row["difference"]) <= 0.5 * 10 ** -digits[key] + 1e-9, key
    printed = held.filter(source="printed")
    assert printed["reference"].to_list() == [47.9, 46.8, 3243, 1033, 389, 0.9196]
    # Every share, quality and perplexity that the files give has a reference.
    rest = done.recomputed.filter(pl.col("reference").is_null())
    assert rest.is_empty()
    shown = "\n".join(lines(done))
    assert "Preservation_Perplexity.csv" in shown
    assert "Agreement: 5 figures" in shown


def test_the_neuron_tables_contradict_each_other(done):
    (note,) = [note for note in done.experiment.notes if note.startswith("Neuron tables")]
    assert "bias: 4,226 of 9,216 slopes" in note
    assert "significance is 0.00. In a regression" in note


def test_what_the_statistics_add(done):
    answers = {v.regime: (v.amplified, v.collapsed) for v in done.verdicts}
    assert answers["synthetic"] == ("in this chain", "in this chain")
    assert answers["overfitting"] == ("in this chain", "in this chain")
    # Right falls towards the third that is real.
    assert answers["preservation"][0] == answers["accumulation"][0] == "not in this chain"
    trends = done.evidence.trends.filter(quantity="share:right")
    assert trends.height == 4
    assert trends["holm"].max() < 0.001
    less = done.evidence.comparisons.filter(quantity="share:right", regime="preservation")
    assert less["high"].item() < 0


def test_no_regime_amplifies_where_collapse_is_controlled(done):
    """As docs/published.md says of the paper's versions."""
    found = series(done)
    for regime, nearer in (("preservation", 28.0), ("accumulation", 24.0)):
        right = found["shares"][regime]["right"]
        assert max(right[1:]) < right[0]
        assert min(right) > 100 / 3
        apart = np.array(list(found["shares"][regime].values())) - 100 / 3
        distance = np.linalg.norm(apart, axis=0)
        assert distance[[0, 10]].round(1).tolist() == [30.9, nearer]
        assert found["quality"][regime][0] - found["quality"][regime][10] < 0.09
    lost = {r: found["quality"][r][0] - found["quality"][r][10] for r in found["quality"]}
    assert lost["overfitting"] > lost["synthetic"] > 0.6
    met = done.neurons.overlaps["weight_mean", "bias", "quality"]
    assert met.both / met.second > met.first / met.total  # not fewer than of unrelated sets


@pytest.mark.parametrize("regime", ["synthetic", "overfitting"])
def test_rows_without_an_article_are_in_the_articles_order(done, regime):
    """Of all cyclic shifts of one file against the other, none correlates more than no shift."""
    tables = done.experiment.tables
    center = tables.leaning_scores.filter(regime=regime, leaning="center")
    quality = tables.scores.filter(regime=regime, metric="quality")
    center, quality = (
        frame.group_by(pl.col("article_id").cast(int)).agg(pl.col(name).mean()).sort("article_id")
        for frame, name in ((center, "probability"), (quality, "value"))
    )
    found = [
        abs(np.corrcoef(center["probability"], np.roll(quality["value"], shift))[0, 1])
        for shift in range(quality.height)
    ]
    assert len(found) == 1518
    assert found[0] > 1.4 * max(found[1:])
