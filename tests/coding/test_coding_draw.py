from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import polars as pl
import pytest
from report_made_up import build_results

from biasloop.coding import draw
from biasloop.errors import InputError
from biasloop.tables import REAL


def members_by_set(drawn):
    found = {}
    for own in drawn.members.values():
        for regime, chain, generation, article in own:
            found.setdefault((regime, generation), set()).add((chain, article))
    return found


def test_the_sets_are_real_articles_generation_0_and_the_last_of_every_regime(drawn):
    found = members_by_set(drawn)
    assert set(found) == {
        (REAL, -1),
        *((regime, g) for regime in ("synthetic", "preservation") for g in (0, 2)),
    }
    assert {len(units) for units in found.values()} == {40}


def test_every_set_is_read_on_the_same_prompts(drawn):
    found = members_by_set(drawn)
    real = {article for _, article in found.pop((REAL, -1))}
    units = list(found.values())
    assert all(own == units[0] for own in units)
    assert {article for _, article in units[0]} == real
    assert Counter(chain for chain, _ in units[0]).keys() == {0, 1}


def test_a_text_that_stands_in_several_sets_is_read_once(results, drawn):
    assert len(set(drawn.texts.values())) == len(drawn.texts)
    bodies = {
        (row["regime"], row["seed"], row["generation"], row["article_id"]): row["body"]
        for row in results.articles.iter_rows(named=True)
    }
    for name, own in drawn.members.items():
        for member in own:
            assert member[0] == REAL or bodies[member] == drawn.texts[name]
    # Both regimes share Generation 0, whose texts are the same.
    shared = [own for own in drawn.members.values() if {m[2] for m in own} == {0}]
    assert shared
    assert all({m[0] for m in own} == {"synthetic", "preservation"} for own in shared)


def test_each_article_of_each_seed_is_as_likely_as_any_other(tmp_path):
    results = build_results(
        tmp_path / "run",
        articles=9,
        generations=1,
        seeds=(0, 1, 2),
        regimes=("synthetic",),
        metrics=("leaning",),
    )
    counts: Counter[tuple[int, str]] = Counter()
    for seed in range(540):
        found = members_by_set(draw(results, articles=5, seed=seed))
        counts.update(found["synthetic", 1])
        # No prompt twice before every prompt once.
        assert len({article for _, article in found["synthetic", 1]}) == 5
    assert len(counts) == 27
    expected = 540 * 5 / 27
    chi_squared = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_squared < 54.05  # 99.9 % point at 26 degrees of freedom


def test_coders_share_the_overlap_and_divide_the_rest(drawn):
    first, second = (set(own) for own in drawn.coders.values())
    assert first | second == set(drawn.texts)
    assert len(first & second) == drawn.both == round(0.5 * len(drawn.texts))
    assert abs(len(first) - len(second)) <= 1
    assert all(len(own) == len(set(own)) for own in drawn.coders.values())


def test_neither_ids_nor_order_say_what_a_text_is(drawn):
    for own in drawn.coders.values():
        generations = [drawn.members[name][0][2] for name in own]
        changes = sum(a != b for a, b in itertools.pairwise(generations))
        assert changes > len(own) / 3  # of three equally likely kinds two in three
    by_id = [drawn.members[name][0][2] for name in sorted(drawn.texts)]
    assert sum(a != b for a, b in itertools.pairwise(by_id)) > len(by_id) / 3


def test_one_seed_draws_one_sheet(results, drawn):
    assert draw(results, articles=40, coders=2, overlap=0.5, seed=3) == drawn
    assert draw(results, articles=40, coders=2, overlap=0.5, seed=4).texts != drawn.texts


def test_chosen_regimes_and_generations_only(results):
    found = members_by_set(draw(results, 5, regimes=["base", "synthetic"], generations=[1, 2]))
    assert set(found) == {("base", -1), ("synthetic", 1), ("synthetic", 2)}
    assert set(members_by_set(draw(results, 200, regimes=[REAL]))) == {(REAL, -1)}


def test_a_set_with_fewer_articles_is_read_whole(results):
    found = members_by_set(draw(results, 10_000))
    assert {name: len(units) for name, units in found.items()} == {
        (REAL, -1): 90,
        **{(regime, g): 180 for regime in ("synthetic", "preservation") for g in (0, 2)},
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"regimes": ["sinthetic"]}, "did you mean 'synthetic'"),
        ({"generations": [7]}, "generation 7"),
        ({"articles": 0}, "at least 1"),
        ({"overlap": 1.5}, "from 0 to 1"),
    ],
)
def test_what_is_not_in_the_run_is_refused(results, settings, message):
    with pytest.raises(InputError, match=message):
        draw(results, **settings)


def test_a_prompt_with_several_samples_counts_once_before_any_twice(results):
    config = results.config.model_copy(
        update={
            "generation": results.config.generation.model_copy(update={"samples_per_prompt": 2})
        }
    )
    again = results.articles.with_columns(
        pl.col("article_id") + "#2", pl.col("body") + " once more"
    )
    sampled = replace(results, config=config, articles=pl.concat([results.articles, again]))
    found = members_by_set(draw(sampled, 90, seed=5))
    units = found["synthetic", 2]
    assert len({article.removesuffix("#2") for _, article in units}) == len(units) == 90
    assert {(chain, article.endswith("#2")) for chain, article in units} == {
        (chain, second) for chain in (0, 1) for second in (False, True)
    }
    assert {article for _, article in found[REAL, -1]} == set(results.real["article_id"])
