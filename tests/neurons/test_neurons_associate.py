"""From a run's tables to associations: planted neurons are found, unrelated ones are not."""

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

from biasloop.errors import InputError
from biasloop.neurons import correlations_png, count_significant, counts_png, overlap
from biasloop.neurons.associate import associate, model_scores
from biasloop.neurons.association_figures import layer_counts
from biasloop.neurons.methods import METHODS
from biasloop.tables import LEANING_SCORES, NEURONS, SCORES, SET_SCORES

CHAINS, GENERATIONS, LAYERS, UNITS = 6, 11, 2, 150


def world(seed, planted=()):
    """Chains of random walks, of the metric and of every neuron; the planted ones follow it."""
    random = np.random.default_rng(seed)
    y = random.normal(size=(CHAINS, GENERATIONS)).cumsum(axis=1)
    x = random.normal(size=(LAYERS * UNITS, CHAINS, GENERATIONS)).cumsum(axis=2)
    for neuron in planted:
        x[neuron] = 0.5 * y + 0.02 * random.normal(size=y.shape)
    keys = [(f"r{c}", 0, g) for c in range(CHAINS) for g in range(GENERATIONS)]
    rows = [
        (*key, n // UNITS, n % UNITS, "mlp_out", "weight_mean", x[n, int(key[0][1:]), key[2]])
        for key in keys
        for n in range(len(x))
    ]
    rows += [("base", 0, -1, 0, n, "mlp_out", "weight_mean", 9.0) for n in range(3)]
    scores = pl.DataFrame(
        [(*key, y[int(key[0][1:]), key[2]]) for key in keys],
        schema=["regime", "seed", "generation", "value"],
        orient="row",
    )
    return pl.DataFrame(rows, schema=NEURONS, orient="row"), scores, x, y


def test_planted_neurons_are_found_and_no_others_after_correction():
    planted = (3, 160, 299)
    neurons, scores, _, _ = world(0, planted)
    found = associate(neurons, scores, "bias")
    chosen = found.filter(pl.col("qvalue") < 0.01)
    assert {(row[0] * UNITS + row[1]) for row in chosen.select("layer", "neuron").rows()} == set(
        planted
    )
    assert (chosen["coef"] > 0).all()


def test_the_default_errs_as_often_as_it_says_and_the_published_method_far_more():
    rates = {}
    for method in ("differences", "published"):
        hits = [
            count_significant(associate(*world(seed)[:2], "y", method=method)["pvalue"].to_numpy())
            for seed in range(4)
        ]
        rates[method] = sum(hit.raw for hit in hits) / sum(hit.tests for hit in hits)
    assert rates["differences"] == pytest.approx(0.05, abs=0.03)
    assert rates["published"] > 0.3


def test_the_published_method_is_statsmodels_of_all_versions_in_a_row():
    neurons, scores, x, y = world(1)
    found = associate(neurons, scores, "y", method="published")
    for n in (0, 170):
        model = sm.OLS(y.ravel(), sm.add_constant(x[n].ravel()))
        fitted = model.fit(cov_type="HAC", cov_kwds={"maxlags": 1})
        swapped = sm.OLS(x[n].ravel(), sm.add_constant(y.ravel())).fit(
            cov_type="HAC", cov_kwds={"maxlags": 1}
        )
        row = found.row(n, named=True)
        either = [(f.params[1], f.bse[1], f.pvalues[1]) for f in (fitted, swapped)]
        mine = (row["coef"], row["stderr"], row["pvalue"])
        assert any(mine == pytest.approx(theirs, rel=1e-8) for theirs in either)
        assert row["pearson"] == pytest.approx(np.corrcoef(x[n].ravel(), y.ravel())[0, 1])


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_gives_p_values(method):
    neurons, scores, _, _ = world(2)
    pvalues = associate(neurons, scores, "y", method=method)["pvalue"].to_numpy()
    assert ((pvalues >= 0) & (pvalues <= 1)).all()


def test_what_is_refused():
    neurons, scores, _, _ = world(3)
    with pytest.raises(InputError, match="no neurons of site 'mlp_hidden'"):
        associate(neurons, scores, "y", site="mlp_hidden")
    with pytest.raises(InputError, match=r"unknown method 'publshed'.*published"):
        associate(neurons, scores, "y", method="publshed")
    with pytest.raises(InputError, match="nothing goes with it"):
        associate(neurons, scores.with_columns(pl.lit(1.0).alias("value")), "y")
    with pytest.raises(InputError, match="2 versions have both"):
        associate(neurons, scores.head(2), "y")
    with pytest.raises(InputError, match="has 2 neurons where"):
        associate(
            neurons.filter(~((pl.col("regime") == "r1") & (pl.col("neuron") > 0))), scores, "y"
        )


def test_a_version_is_scored_by_its_articles():
    leanings = pl.DataFrame(
        [
            ("s", 0, 0, f"a{i}", label, p if label == "right" else 1 - p)
            for i, p in enumerate((0.9, 0.8, 0.2))
            for label in ("left", "right")
        ],
        schema=LEANING_SCORES,
        orient="row",
    )
    scores = pl.DataFrame(
        [("s", 0, 0, f"a{i}", "quality", v) for i, v in enumerate((1.0, 2.0, 3.0))],
        schema=SCORES,
        orient="row",
    )
    sets = pl.DataFrame(
        [("s", 0, 0, "vocabulary", 40.0, None, None)], schema=SET_SCORES, orient="row"
    )

    def value(metric):
        return model_scores(scores, leanings, sets, metric).rows()

    assert value("leaning:right") == [("s", 0, 0, pytest.approx(2 / 3))]
    assert value("quality") == [("s", 0, 0, 2.0)]
    assert value("vocabulary") == [("s", 0, 0, 40.0)]
    with pytest.raises(InputError, match=r"unknown metric 'leaning:rigt'.*leaning:right"):
        value("leaning:rigt")


def test_overlap_and_pictures():
    neurons, scores, _, _ = world(4, planted=(1, 2))
    found = associate(neurons, scores, "y")
    counts = layer_counts(found)
    assert counts["tests"].to_list() == [UNITS] * LAYERS
    assert counts["raw"].sum() == count_significant(found["pvalue"].to_numpy()).raw
    for picture in (counts_png(found), correlations_png(found)):
        assert picture.startswith(b"\x89PNG")
    first = np.arange(20) < 10
    meet = overlap(first, np.arange(20) < 5)
    assert (meet.both, meet.expected) == (5, 2.5)
    # All five among the first ten of twenty: C(10, 5) / C(20, 5).
    assert meet.more == pytest.approx(252 / 15504)
