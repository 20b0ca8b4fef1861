"""Sizes and membership of every regime's training set."""

from typing import get_args

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop.config import AnyRegimeConfig, RegimeConfig, TrainingConfig, parse_config
from biasloop.errors import InputError
from biasloop.regimes import REGIMES, make_regime
from biasloop.tables import ARTICLES


def articles(count: int, tag: str) -> pl.DataFrame:
    return pl.DataFrame(
        {name: [f"{tag}-{name}-{i}" for i in range(count)] for name in ARTICLES}, schema=ARTICLES
    )


#: What a kind cannot be without.
REQUIRED = {"counterfactual": {"pairs": [["this", "that"]]}, "edited": {"file": "associations"}}


def regime_of(kind, **settings):
    settings = REQUIRED.get(kind, {}) | settings
    return make_regime(parse_config({"regimes": [{"kind": kind, **settings}]}).regimes[0])


def with_readings(regime, table: pl.DataFrame) -> pl.DataFrame:
    """Add columns of `Regime.metrics`: two leanings, and numbers that every verifier accepts.

    Articles are of the label that they are read as.
    """
    kinds = {"leaning": pl.lit(["a", "b"] * table.height).list.slice(0, table.height).explode()}
    read = table.with_columns(kinds.get(name, pl.lit(3.0)).alias(name) for name in regime.metrics())
    return read.with_columns(label="leaning") if "leaning" in read.columns else read


def build(kind, generation, real_count, seed=0, samples=1, **settings):
    regime = regime_of(kind, **settings)
    real = with_readings(regime, articles(real_count, "real"))
    written = {
        g: with_readings(regime, articles(real_count * samples, f"g{g}"))
        for g in regime.reads(generation)
    }
    return regime, regime.training_set(real, written, np.random.default_rng(seed))


def origins(table: pl.DataFrame) -> dict[str, int]:
    tags = table["body"].str.split("-").list.first()
    return dict(tags.value_counts().sort("body").iter_rows())


counts = st.integers(1, 60)
generations = st.integers(1, 8)


@given(counts, generations, st.sampled_from(["synthetic", "overfitting"]))
def test_synthetic_is_the_previous_generation_and_nothing_else(count, generation, kind):
    _, table = build(kind, generation, count)
    assert origins(table) == {f"g{generation - 1}": count}


@given(counts, generations, st.floats(0.01, 1.0))
def test_preservation_adds_the_fraction_of_distinct_real_articles(count, generation, fraction):
    regime, table = build("preservation", generation, count, fraction=fraction)
    fresh = max(1, round(fraction * count))
    assert origins(table) == {f"g{generation - 1}": count, "real": fresh}
    assert table["article_id"].n_unique() == table.height
    assert table.height == regime.expected_size(generation, count)


def test_preservation_of_the_paper_is_152_of_1518():
    _, table = build("preservation", 1, 1518)
    assert origins(table)["real"] == 152


def test_preservation_is_fresh_for_each_stream():
    one = build("preservation", 1, 60, seed=1)[1]
    same = build("preservation", 1, 60, seed=1)[1]
    other = build("preservation", 1, 60, seed=2)[1]
    assert one.equals(same)
    assert not one.equals(other)


@given(counts, generations, st.floats(0.001, 1.0), st.integers(1, 3))
def test_a_real_share_is_exact_in_a_set_of_the_real_ones_size(count, generation, share, samples):
    regime, table = build("real_share", generation, count, samples=samples, share=share)
    real = max(1, round(share * count))
    assert table.height == count == regime.expected_size(generation, count, samples)
    found = {"real": real, f"g{generation - 1}": count - real}
    assert origins(table) == {origin: size for origin, size in found.items() if size}
    assert table["body"].n_unique() == count
    assert real == regime.real_articles(generation, count, samples)


@pytest.mark.parametrize("share", [0, 1.01, -0.1])
def test_a_real_share_that_is_none_is_refused(share):
    with pytest.raises(InputError, match=r"regimes\.0\.share"):
        regime_of("real_share", share=share)


@pytest.mark.parametrize("kind", sorted(REGIMES))
def test_the_real_articles_of_a_set_are_counted_on_average(kind):
    regime = regime_of(kind)
    drawn = [origins(build(kind, 2, 30, s, 2)[1]).get("real", 0) for s in range(100)]
    assert regime.real_articles(2, 30, 2) == pytest.approx(np.mean(drawn), abs=1)
    assert regime.real_articles(0, 30, 2) == 30


@given(counts, generations)
def test_accumulation_is_everything_so_far(count, generation):
    regime, table = build("accumulation", generation, count)
    assert origins(table) == {"real": count} | {f"g{g}": count for g in range(generation)}
    assert table.height == regime.expected_size(generation, count)


@given(counts, generations)
def test_accumulate_subsample_keeps_its_size_and_draws_without_replacement(count, generation):
    regime, table = build("accumulate_subsample", generation, count)
    assert table.height == count == regime.expected_size(generation, count)
    assert table["article_id"].n_unique() == count
    assert set(origins(table)) <= {"real"} | {f"g{g}" for g in range(generation)}


def test_overfitting_trains_25_epochs_without_weight_decay_unless_told_otherwise():
    training = regime_of("overfitting").training(TrainingConfig())
    assert (training.epochs, training.weight_decay) == (25, 0.0)
    told = regime_of("overfitting", epochs=7).training(TrainingConfig())
    assert (told.epochs, told.weight_decay) == (7, 0.0)
    usual = regime_of("overfitting", epochs=None).training(TrainingConfig(epochs=3))
    assert (usual.epochs, usual.weight_decay) == (3, 0.0)


@pytest.mark.parametrize("kind", [k for k in REGIMES if k != "overfitting"])
def test_other_regimes_leave_the_training_settings_alone(kind):
    assert regime_of(kind).training(TrainingConfig()) == TrainingConfig()


@given(counts, generations, st.integers(1, 4), st.sampled_from(sorted(REGIMES)))
def test_sets_with_several_samples_per_real_article(count, generation, samples, kind):
    regime, table = build(kind, generation, count, samples=samples)
    assert table.height == regime.expected_size(generation, count, samples)
    assert regime.expected_size(0, count, samples) == count
    found = origins(table)
    if kind in {"synthetic", "overfitting", "preservation"}:
        assert found[f"g{generation - 1}"] == count * samples
    if kind in {"accumulate_subsample", "real"}:
        assert table.height == count


@given(counts, generations)
def test_real_trains_on_real_articles_only_and_reads_no_generation(count, generation):
    regime, table = build("real", generation, count)
    assert regime.reads(generation) == ()
    assert origins(table) == {"real": count}
    assert regime.part(generation) == "real"


def test_fresh_real_articles_are_of_another_part_each_generation():
    values = {
        "regimes": [{"kind": "real", "fresh": True}],
        "loop": {"generations": 3},
        "corpus": {"fresh_sets": 3},
    }
    regime = make_regime(parse_config(values).regimes[0])
    assert len({regime.part(generation) for generation in (1, 2, 3)}) == 3


@pytest.mark.parametrize("kind", sorted(REGIMES))
def test_every_setting_that_only_its_kind_has_is_part_of_a_models_key(kind):
    regime = regime_of(kind, **({"perplexity": [0, 9]} if kind == "verified" else {}))
    own = {*type(regime.config).model_fields} - {*AnyRegimeConfig.model_fields}
    # When neurons are edited is in what the models are made from.
    assert set(regime.settings()) == own - {"file", "first", "last", "draw"}
    assert kind != "edited" or regime_of(kind, draw=0).settings()["draw"] == 0


@pytest.mark.parametrize("kind", sorted(REGIMES))
def test_only_a_regime_with_a_change_of_its_own_changes_models(kind):
    assert regime_of(kind).changes_model == (kind == "edited")
    if kind == "anchored":
        assert regime_of(kind, interpolate=0.1).changes_model


def test_every_kind_in_the_config_is_a_regime():
    values = {"regimes": [{"kind": kind, **REQUIRED.get(kind, {})} for kind in sorted(REGIMES)]}
    assert {regime.kind for regime in parse_config(values).regimes} == set(REGIMES)
    kinds = get_args(get_args(RegimeConfig)[0])
    assert {get_args(kind.model_fields["kind"].annotation)[0] for kind in kinds} == set(REGIMES)
