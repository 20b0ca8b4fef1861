"""A set of articles in parts: the same articles and scores, put together in order."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import biasloop as bl
from biasloop.config import parse_config
from biasloop.loop import config_hash, make_plan
from biasloop.loop.work import Shard
from biasloop.tables import read_table

CONTENTS = {"corpus": "x", "base": None, "instruments": {}}


@given(st.integers(0, 60), st.integers(1, 40))
def test_shards_are_the_whole_in_order_and_even(height, count):
    table = pl.DataFrame({"row": range(height)}, schema={"row": pl.Int64})
    shards = [Shard(number, count).of(table) for number in range(count)]
    assert_frame_equal(pl.concat(shards), table)
    sizes = [shard.height for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


def test_one_shard_is_what_it_always_was(tiny):
    plain = make_plan(parse_config(tiny), CONTENTS)
    one = make_plan(parse_config(tiny, ["loop.shards=1"]), CONTENTS)
    assert list(one.stages) == list(plain.stages)
    assert {stage.kind for stage in plain.generated.values()} == {"generate"}
    cut = make_plan(parse_config(tiny, ["loop.shards=3"]), CONTENTS)
    key = ("synthetic", 0, 1)
    assert cut.generated[key].kind == cut.scored[key].kind == "join"
    seeds = [s.settings["seed"] for s in cut.generated[key].inputs.values()]
    assert len(set(seeds)) == 3
    assert plain.generated[key].settings["seed"] not in seeds
    # What does not depend on a generated article is shared with the run in one piece.
    first = ("synthetic", 0, 0)
    assert cut.finetuned[first].key == plain.finetuned[first].key
    assert cut.finetuned[key].key != plain.finetuned[key].key


def test_how_it_is_run_is_not_part_of_what_is_computed(tiny):
    plain = parse_config(tiny)
    other = parse_config(tiny, ["executor.cpus=3", "executor.stages.generate.gpus=1"])
    assert list(make_plan(other, CONTENTS).stages) == list(make_plan(plain, CONTENTS).stages)
    assert config_hash(other) == config_hash(plain)
    assert config_hash(parse_config(tiny, ["loop.shards=2"])) != config_hash(plain)


def greedy(tiny, *more):
    one = ["regimes=[synthetic]", "loop.generations=0", "generation.decoding=greedy"]
    return [*one, "loop.bias_direction=none", *more]


@pytest.mark.usefixtures("own_cache")
def test_shards_give_what_the_whole_gives(tiny, tmp_path):
    whole = bl.run(tiny, tmp_path / "whole", greedy(tiny))
    # More shards than fit evenly, and some that are empty: 12 articles.
    cut = bl.run(tiny, tmp_path / "cut", greedy(tiny, "loop.shards=13"))
    assert_frame_equal(cut.articles(), whole.articles())  # greedy in float32: token for token
    close = {"rel_tol": 1e-4, "abs_tol": 1e-7}  # batches of other lengths round otherwise
    assert_frame_equal(cut.scores(), whole.scores(), **close)
    assert_frame_equal(cut.leaning_scores(), whole.leaning_scores(), **close)
    assert_frame_equal(cut.results.set_scores, whole.results.set_scores, **close)
    blocks = [
        read_table(
            next(run.folder.glob(f"stages/{kind}-*/blocks.parquet")).parent / "blocks.parquet"
        )
        for run, kind in ((whole, "generate"), (cut, "join"))
    ]
    assert blocks[0].columns == blocks[1].columns
    assert bl.load_run(tmp_path / "cut").report().is_file()
