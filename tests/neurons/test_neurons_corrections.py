"""Corrections and the permutation test, against other people's code and brute force."""

from itertools import permutations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, hypergeom

from biasloop.errors import InputError, StoreError
from biasloop.neurons import benjamini_hochberg, count_significant, overlap
from biasloop.neurons.ablation import Measured, effects, measured_outcomes, permutation_pvalue
from biasloop.neurons.associate import bonferroni
from biasloop.neurons.association_findings import find, read_ablation, read_findings, write_findings
from biasloop.neurons.methods import permute_chains


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(0, 5))
def test_corrections_are_scipys_and_leave_out_what_was_not_tested(values, holes):
    pvalues = np.array([*values, *[np.nan] * holes])
    corrected = benjamini_hochberg(pvalues)
    # Next to 0 a float has a few bits only: a product and a quotient differ by one of them.
    np.testing.assert_allclose(
        corrected[: len(values)], false_discovery_control(values), atol=1e-300
    )
    np.testing.assert_allclose(
        bonferroni(pvalues)[: len(values)], np.minimum(np.array(values) * len(values), 1)
    )
    assert np.isnan(corrected[len(values) :]).all()
    count = count_significant(pvalues)
    assert (count.tests, count.raw) == (len(values), sum(p < 0.05 for p in values))
    assert count.bonferroni <= count.benjamini_hochberg <= count.raw


@pytest.mark.parametrize("fixed_effects", [False, True])
@pytest.mark.parametrize("differences", [False, True])
def test_permuting_chains_is_going_through_every_deal(fixed_effects, differences):
    random = np.random.default_rng(3)
    chains, length, neurons = 4, 6, 5
    x = random.normal(size=(neurons, chains, length)).cumsum(axis=2)
    y = random.normal(size=(chains, length)).cumsum(axis=1)
    found = permute_chains(
        x.reshape(neurons, -1), y.ravel(), np.repeat(np.arange(chains), length),
        random=random, fixed_effects=fixed_effects, differences=differences,
    )  # fmt: skip
    if differences:
        x, y = np.diff(x, axis=2), np.diff(y, axis=1)
    if fixed_effects:
        x, y = x - x.mean(axis=2, keepdims=True), y - y.mean(axis=1, keepdims=True)
    for neuron in range(neurons):
        sizes = [
            abs(np.corrcoef(x[neuron].ravel(), y[list(deal)].ravel())[0, 1])
            for deal in permutations(range(chains))
        ]
        assert found[neuron] == pytest.approx(np.mean(np.array(sizes) >= sizes[0] - 1e-12))


def test_an_overlap_is_hypergeometric():
    random = np.random.default_rng(0)
    first, second = random.random(400) < 0.3, random.random(400) < 0.1
    meet = overlap(first, second)
    both = int((first & second).sum())
    total = hypergeom(400, int(first.sum()), int(second.sum()))
    assert meet.both == both
    assert meet.more == pytest.approx(total.pmf(np.arange(both, 401)).sum())
    assert meet.fewer == pytest.approx(total.pmf(np.arange(both + 1)).sum())
    assert meet.expected == pytest.approx(total.mean())


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=20, max_size=30), st.floats(-1, 1))
def test_a_permutation_p_value_is_a_rank(random, chosen):
    pvalue = permutation_pvalue(chosen, np.array(random))
    assert 1 / (len(random) + 1) <= pvalue <= 1
    if chosen > max(random) + 1:
        assert pvalue == pytest.approx(1 / (len(random) + 1))


def measured(kind, number, right):
    ids = [f"a{i}" for i in range(len(right))]
    scores = pl.DataFrame({"article_id": ids, "metric": "quality", "value": right})
    rows = [
        (name, leaning, p)
        for name, value in zip(ids, right, strict=True)
        for leaning, p in (("left", 1 - value), ("right", value))
    ]
    columns = ["article_id", "leaning", "probability"]
    return Measured(kind, number, scores, pl.DataFrame(rows, schema=columns, orient="row"))


def test_effects_are_paired_by_article_and_withheld_sets_have_none():
    from biasloop.analysis import Tables
    from biasloop.tables import LEANING_SCORES, SCORES, SET_SCORES

    random = np.random.default_rng(1)
    plain = random.random(40)
    sets = [measured("unedited", 0, plain), measured("chosen", 0, np.clip(plain - 0.3, 0, 1))]
    sets += [
        measured("random", n, np.clip(plain + random.normal(size=40) * 0.02, 0, 1))
        for n in range(20)
    ]
    like = Tables(
        ("left", "right"),
        *(pl.DataFrame(schema=schema) for schema in (SCORES, LEANING_SCORES, SET_SCORES)),
    )
    table, draws = effects(measured_outcomes(sets, like), ["quality"], {"quality": 0.5})
    row = table.row(0, named=True)
    moved = np.clip(plain - 0.3, 0, 1) - plain
    assert row["effect"] == pytest.approx(moved.mean())
    half = 2.0227 * moved.std(ddof=1) / np.sqrt(40)  # t of 39 degrees of freedom
    assert row["effect_high"] - row["effect"] == pytest.approx(half, rel=1e-4)
    assert row["specific"] == pytest.approx(row["effect"] - row["random"])
    assert row["random"] == pytest.approx(draws["effect"].mean())
    assert row["drift"] == 0.5
    assert row["pvalue"] == pytest.approx(1 / 21)


def test_versions_whose_leaning_is_withheld_are_left_out(tmp_path, monkeypatch):
    from types import SimpleNamespace

    import test_neurons_associate as world

    from biasloop.neurons import association_findings as findings

    neurons, scores, _, _ = world.world(0, planted=(3,))
    leanings = pl.concat(
        scores.with_columns(
            pl.lit(f"a{i}").alias("article_id"),
            pl.lit(leaning).alias("leaning"),
            ((pl.col("value") > i - 5) == (leaning == "right")).cast(pl.Float64)
            .alias("probability"),
        )
        for i in range(10)
        for leaning in ("left", "right")
    ).drop("value")  # fmt: skip
    held = scores.select("regime", "seed", "generation").with_columns(
        (pl.col("generation") > 8).alias("withheld")
    )
    monkeypatch.setattr(findings, "tables_of", lambda run: run)
    monkeypatch.setattr(findings, "validity", lambda run: held)
    run = SimpleNamespace(
        neurons=neurons,
        scores=scores.with_columns(
            pl.lit("a").alias("article_id"), pl.lit("quality").alias("metric")
        ),
        leaning_scores=leanings,
        stages=pl.DataFrame({"kind": ["finetune", "score"], "key": ["model", "figures"]}),
        set_scores=pl.DataFrame(
            schema={**{k: scores.schema[k] for k in ("regime", "seed", "generation")},
                    "metric": pl.String, "value": pl.Float64}
        ),
    )  # fmt: skip
    found = find([run], ["leaning:right", "quality"])
    assert found.models == ("model",)
    assert found.left_out == {"leaning:right": 12}
    let_in = find([run], ["leaning:right"], include_withheld=True)
    assert (let_in.left_out, let_in.let_in) == ({}, {"leaning:right": 12})
    assert let_in.associations["coef"].to_list() != found.associations["coef"].head(300).to_list()
    # What is wrong with what was asked for is not put down to the versions left out.
    for wrong in ({"site": "mlp_hidden"}, {"quantity": "weigt"}, {"method": "publshed"}):
        with pytest.raises(InputError) as refused:
            find([run], ["leaning:right"], **wrong)
        assert "withheld" not in str(refused.value)
    held = held.with_columns(pl.lit(value=True).alias("withheld"))
    with pytest.raises(InputError, match="66 of 66 versions are left out"):
        find([run], ["leaning:right"])
    write_findings(tmp_path / "neurons", found)
    again = read_findings(tmp_path / "neurons")
    assert again.counts() == found.counts()
    assert again.overlap() == found.overlap()
    assert (again.left_out, again.versions) == (found.left_out, 66)
    assert read_findings(tmp_path / "none") is None
    (tmp_path / "neurons" / "associations.json").write_text('{"metrics": []}')
    with pytest.raises(StoreError, match="run 'biasloop neurons' again"):
        read_findings(tmp_path / "neurons")
    for damage in (
        "[]",
        '{"top": 3}',
        '{"neurons": [], "effects": 1, "draws": [], "withheld": []}',
    ):
        (tmp_path / "neurons" / "ablation.json").write_text(damage)
        with pytest.raises(StoreError, match="run 'biasloop ablate' again"):
            read_ablation(tmp_path / "neurons")


def test_the_overlap_is_of_neurons_tested_for_both():
    from biasloop.neurons import ASSOCIATIONS, AssociationFindings

    nan = float("nan")
    pvalues = {"a": [0.01, 0.01, 0.9, nan, 0.01], "b": [0.01, 0.9, 0.01, 0.01, nan]}
    rows = [
        (0, n, "mlp_out", "weight_mean", metric, 0.1, 1.0, 1.0, p, p)
        for metric, own in pvalues.items()
        for n, p in enumerate(own)
    ]
    table = pl.DataFrame(rows, schema=ASSOCIATIONS, orient="row")
    meet = AssociationFindings(table, ("a", "b"), "differences", 9, {}).overlap()
    assert (meet.first, meet.second, meet.both, meet.total) == (2, 2, 1, 3)
